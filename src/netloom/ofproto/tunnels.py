"""The tunnels of one backer: which share a port of the data path, and whose packet this is.

Tunnels with the same type and UDP port share one port of the data path (`vxlan_sys_4789`); a packet
that comes in there belongs to the tunnel whose configuration fits its addresses and key best. The
order of preference, as in Open vSwitch: a fixed key before `in_key=flow`; then a fixed `remote_ip`
before `remote_ip=flow`; then a fixed `local_ip` before none before `local_ip=flow`. Two tunnels
cannot have the same configuration.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from netloom.base.errors import ConfigError
from netloom.base.log import get_logger
from netloom.datapath.dpif import Dpif, DpPortNo
from netloom.flow.fields import SLOT
from netloom.flow.key import (
    PACKET_TYPE_SHIFT,
    TUN_DST_SHIFT,
    TUN_ID_SHIFT,
    TUN_IPV6_DST_SHIFT,
    TUN_IPV6_SRC_SHIFT,
    TUN_SRC_SHIFT,
)
from netloom.flow.mapped import format_mapped, map_ipv4
from netloom.flow.print import format_flow
from netloom.netdev.tunnel import TunnelDevice, TunnelPort
from netloom.netdev.tunnel_config import LEGACY_L2, LEGACY_L3, PTAP, TunnelConfig

if TYPE_CHECKING:
    from netloom.ofproto.ports import OfPort
    from netloom.ofproto.underlay import Underlay

log: Final = get_logger("tunnel")

_IN_PORT: Final = SLOT["in_port"]
_ONES_128: Final = (1 << 128) - 1
#: What `local_ip` says: an address, nothing, or that the flow decides.
_FIXED, _ANY, _FLOW = range(3)
TUNNEL_DST_MASK: Final = SLOT["tun_dst"].mask | SLOT["tun_ipv6_dst"].mask


def tunnel_src(key: int) -> int:
    """The outer source address in a key (mapped; 0 for none)."""
    return map_ipv4(key >> TUN_SRC_SHIFT & 0xFFFFFFFF) or key >> TUN_IPV6_SRC_SHIFT & _ONES_128


def tunnel_dst(key: int) -> int:
    return map_ipv4(key >> TUN_DST_SHIFT & 0xFFFFFFFF) or key >> TUN_IPV6_DST_SHIFT & _ONES_128


class _Kind(NamedTuple):
    """Which parts of a packet a tunnel is particular about; sorts by preference."""

    key_by_flow: bool
    remote_by_flow: bool
    local: int


class _Name(NamedTuple):
    """What a tunnel's packets have in common, and nobody else's."""

    kind: _Kind
    key: int
    remote: int
    local: int
    dp_port: int
    pt_mode: str

    def describe(self) -> str:
        if not self.kind.remote_by_flow:
            text = f"{format_mapped(self.local)}->{format_mapped(self.remote)}"
        elif self.kind.local != _FLOW:
            text = f"{format_mapped(self.local)}->flow"
        else:
            text = "flow->flow"
        key = "flow" if self.kind.key_by_flow else _hex(self.key)
        return f"{text}, key={key}, {self.pt_mode}, dp port={self.dp_port}"


def _name(config: TunnelConfig, dp_port: int) -> _Name:
    local = _FLOW if config.local_flow else _FIXED if config.local_ip else _ANY
    kind = _Kind(config.in_key_flow, config.remote_flow, local)
    return _Name(kind, config.in_key, config.remote_ip, config.local_ip, dp_port, config.pt_mode)


def _hex(value: int) -> str:
    return f"{value:#x}" if value else "0"


class Tunnels:
    """See the module. `underlay` is told where to listen."""

    def __init__(self, dpif: Dpif, underlay: Underlay) -> None:
        self._dpif = dpif
        self._underlay = underlay
        #: Shared ports by name: number and number of tunnels.
        self._shared: dict[str, tuple[int, int]] = {}
        self._ports: dict[_Name, OfPort] = {}
        self._names: dict[OfPort, tuple[_Name, TunnelConfig]] = {}
        self._kinds: Counter[_Kind] = Counter()
        self._followed = -1

    def __bool__(self) -> bool:
        """Are there any?"""
        return bool(self._names)

    def add(self, port: OfPort, device: TunnelDevice) -> int:
        """Take a tunnel in; returns the number of its data-path port. Raises ConfigError."""
        config = device.config
        number = self._acquire(config)
        name = _name(config, number)
        other = self._ports.get(name)
        if other is not None:
            self._release(config)
            log.warn("%s: attempting to add tunnel port with same config as port '%s' (%s)",
                     port.name, other.name, name.describe())  # fmt: skip
            raise ConfigError(f"could not add network device {port.name} to ofproto (File exists)")
        self._ports[name] = port
        self._names[port] = (name, config)
        self._kinds[name.kind] += 1
        self._followed = -1
        self._listen(config, number)
        log.info("adding tunnel port %s (%s)", port.name, name.describe())
        return number

    def remove(self, port: OfPort) -> None:
        name, config = self._names.pop(port)
        del self._ports[name]
        self._kinds[name.kind] -= 1
        if not self._kinds[name.kind]:
            del self._kinds[name.kind]
        for nw_proto in config.row.known_by if self._listens(config) else ():
            self._underlay.listeners.remove(name.dp_port, nw_proto)
        log.info("removing tunnel port %s (%s)", port.name, name.describe())
        self._release(config)

    def config_of(self, port: OfPort) -> TunnelConfig:
        """What the tunnel was added with."""
        return self._names[port][1]

    def _listens(self, config: TunnelConfig) -> bool:
        return self._dpif.pushes_tunnels and config.type != "bareudp"

    def _listen(self, config: TunnelConfig, number: int) -> None:
        row = config.row
        for nw_proto in row.known_by if self._listens(config) else ():
            self._underlay.listeners.add(
                number, config.port_name, nw_proto, config.dst_port if row.has_dst_port else 0
            )

    def _acquire(self, config: TunnelConfig) -> int:
        number, users = self._shared.get(config.port_name, (-1, 0))
        if not users:
            number = self._dpif.port_add(TunnelPort(config)).number
        self._shared[config.port_name] = (number, users + 1)
        return number

    def _release(self, config: TunnelConfig) -> None:
        number, users = self._shared[config.port_name]
        if users > 1:
            self._shared[config.port_name] = (number, users - 1)
            return
        del self._shared[config.port_name]
        self._dpif.port_del(DpPortNo(number))

    def follow_routes(self) -> None:
        """Note through which device of the host each tunnel leaves, if its end is fixed."""
        generation = self._underlay.generation
        if generation == self._followed:
            return
        self._followed = generation
        for port, (_, config) in self._names.items():
            route = self._underlay.routes.lookup(config.remote_ip) if config.remote_ip else None
            if port.tunnel is None:
                continue
            if route is None or route.is_user:
                port.tunnel.egress = ("", None)
            else:
                port.tunnel.egress = (route.device, self._underlay.has_carrier(route.device))

    def shared_ports(self) -> dict[int, str]:
        """Number -> name of the data path's ports for tunnels."""
        return {number: name for name, (number, _) in self._shared.items()}

    def find(self, key: int) -> OfPort | None:
        """The port of the tunnel that a packet came through."""
        tun_id = key >> TUN_ID_SHIFT & (1 << 64) - 1
        local, remote = tunnel_dst(key), tunnel_src(key)
        is_l3 = key >> PACKET_TYPE_SHIFT & 0xFFFFFFFF
        modes = (LEGACY_L3 if is_l3 else LEGACY_L2, PTAP)
        dp_port = key >> _IN_PORT.shift & _IN_PORT.ones
        for kind in sorted(self._kinds):
            for mode in modes:
                name = _Name(
                    kind,
                    0 if kind.key_by_flow else tun_id,
                    0 if kind.remote_by_flow else remote,
                    local if kind.local == _FIXED else 0,
                    dp_port,
                    mode,
                )
                port = self._ports.get(name)
                if port is not None:
                    return port
        log.warn_rl("receive tunnel port not found (%s)", format_flow(key))
        return None

    def describe(self) -> str:
        """The text of `ofproto/list-tunnels`."""
        return "".join(
            f"port {name.dp_port}: {port.name} ({config.type}: {name.describe()}{_more(config)})\n"
            for port, (name, config) in self._names.items()
        )


def _more(config: TunnelConfig) -> str:
    """What stands behind the part that tells tunnels apart."""
    words = []
    received = (config.in_key, config.has_in_key, config.in_key_flow)
    if (config.out_key, config.has_out_key, config.out_key_flow) != received:
        key = "none" if not config.has_out_key else _hex(config.out_key)
        words.append(f"out_key={'flow' if config.out_key_flow else key}")
    words.append(f"ttl={'inherit' if config.ttl_inherit else config.ttl}")
    if config.tos_inherit:
        words.append("tos=inherit")
    elif config.tos:
        words.append(f"tos={config.tos:#x}")
    if not config.dont_fragment:
        words.append("df=false")
    if config.csum:
        words.append("csum=true")
    return "".join(f", {word}" for word in words)
