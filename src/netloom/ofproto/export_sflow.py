"""sFlow of a bridge: samples of its packets, and counters of its ports.

The agent is known to collectors by an address of the host: the one that the row names, that of the
device that it names, or the one that the host uses on the way to the first collector that there is
a route to. Without any there is no sFlow.

Interfaces are named by ifIndex; ports without one (most dummies) have no counters, and packets
that come in at them come from interface 0.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, Final

from netloom.base.log import get_logger
from netloom.base.record import Record
from netloom.datapath import actions as dp
from netloom.flow.fields import SLOT
from netloom.flow.key import TUNNEL_MASK
from netloom.flow.mapped import address_bytes
from netloom.netdev.tunnel_config import TYPES_BY_NUMBER
from netloom.ofproto import sflow_counters
from netloom.ofproto.export_host import Audience
from netloom.telemetry import sflow_format as form
from netloom.telemetry.sflow import PORT, Agent, SflowSettings

if TYPE_CHECKING:
    from netloom.datapath.dpif import Upcall
    from netloom.ofproto.bridge import Ofproto
    from netloom.ofproto.ports import OfPort

log: Final = get_logger("sflow")

_IN_PORT: Final = SLOT["in_port"]
_VLAN_TCI: Final = SLOT["vlan_tci"]
_TUN_ID: Final = SLOT["tun_id"]
_TUN_SRC, _TUN_DST, _TUN_TOS = SLOT["tun_src"], SLOT["tun_dst"], SLOT["tun_tos"]
_TUN_TP_SRC, _TUN_TP_DST, _TUN_FLAGS = SLOT["tun_tp_src"], SLOT["tun_tp_dst"], SLOT["tun_flags"]
_HAS_KEY: Final = 0x8
_LABEL: Final = SLOT["mpls_lse0"]
_LABELS: Final = tuple(SLOT[f"mpls_lse{number}"] for number in range(3))
_BOTTOM: Final = 0x100
_DL_TYPE: Final = SLOT["dl_type"]
_MPLS_TYPES: Final = (0x8847, 0x8848)
_LABEL_HEADERS: Final = frozenset({"mpls", dp.KNOWN_LABEL})
#: Where numbers of parts of the machine begin.
_FIRST_ENTITY: Final = 1_000
_IP_AT: Final = 14
_GRE_CSUM, _GRE_KEY = 0x80, 0x20


class Leaving(Record):
    """How a packet leaves: the outer header of the tunnel that it leaves by (in key layout, 0 for
    none), the tunnel's protocol, labels that were put in front of it, outermost first, and how many
    of its own it loses."""

    tunnel: int = 0
    protocol: int = 0
    labels: tuple[int, ...] = ()
    n_popped: int = 0

    def stack(self, key: int) -> tuple[int, ...]:
        """The labels with which a packet of this key leaves."""
        return (*self.labels, *_own_labels(key)[self.n_popped :])

    @classmethod
    def of(cls, actions: list[dp.DpAction], port: OfPort | None) -> Leaving:
        """What the actions of a flow say of that; `port` is where its packets leave last."""
        reader = _ActionReader()
        reader.read(actions)
        if reader.n_tunnels != 1:
            return cls(labels=tuple(reader.labels), n_popped=reader.n_popped)
        protocol = reader.protocol
        if not protocol and port is not None and port.tunnel is not None:
            protocol = port.tunnel.config.row.nw_proto
        return cls(reader.tunnel, protocol, tuple(reader.labels), reader.n_popped)


class _ActionReader:
    """Follows the headers that actions put on."""

    def __init__(self) -> None:
        self.tunnel = self.protocol = self.n_tunnels = self.n_popped = 0
        self.labels: list[int] = []

    def read(self, actions: Any) -> None:
        for action in actions:
            if isinstance(action, dp.Set) and action.header == "tunnel":
                self.tunnel, self.n_tunnels = action.value & TUNNEL_MASK, 1
            elif isinstance(action, dp.Set) and action.header in _LABEL_HEADERS:
                self._pop()
                self.labels.insert(0, _LABEL.get(action.value))
            elif isinstance(action, dp.TunnelPush):
                self._push(action)
            elif isinstance(action, dp.PushMpls):
                self.labels.insert(0, action.lse)
            elif isinstance(action, dp.PopMpls):
                self._pop()
            elif isinstance(action, dp.Clone):
                self.read(action.actions)

    def _pop(self) -> None:
        if self.labels:
            del self.labels[0]
        else:
            self.n_popped += 1

    def _push(self, action: dp.TunnelPush) -> None:
        self.n_tunnels += 1
        header, row = action.header, TYPES_BY_NUMBER.get(action.type)
        if row is None or header[_IP_AT] >> 4 != 4:
            return
        self.protocol = row.nw_proto
        ip, behind = header[_IP_AT:], header[_IP_AT + 20 :]
        key = _TUN_SRC.put(0, int.from_bytes(ip[12:16], "big"))
        key = _TUN_DST.put(key, int.from_bytes(ip[16:20], "big"))
        key = _TUN_TOS.put(key, ip[1])
        if row.has_dst_port:
            key = _TUN_TP_SRC.put(key, int.from_bytes(behind[:2], "big"))
            key = _TUN_TP_DST.put(key, int.from_bytes(behind[2:4], "big"))
            key = _TUN_ID.put(key, int.from_bytes(behind[12:15], "big"))
        elif behind[0] & _GRE_KEY:
            at = 8 if behind[0] & _GRE_CSUM else 4
            key = _TUN_ID.put(key, int.from_bytes(behind[at : at + 4], "big"))
        self.tunnel = key


class SflowExport:
    """The sFlow agent of one bridge."""

    def __init__(self, bridge: Ofproto, settings: SflowSettings) -> None:
        self._bridge = bridge
        self._audience = Audience(bridge.backer.export_host, PORT)
        self._agent: Agent | None = None
        self._known: tuple[SflowSettings, bytes] | None = None
        #: The configuration in which the ports were looked at last.
        self._ports_at = -1
        self._ports: dict[form.Source, OfPort] = {}
        self.configure(settings)

    @property
    def probability(self) -> int:
        """Of 2**32 packets so many are sampled; 0 while nobody is told."""
        return self._agent.settings.probability if self._agent is not None else 0

    def configure(self, settings: SflowSettings) -> None:
        """Make the agent anew if anything has changed."""
        if not settings.targets or not settings.sampling:
            self._agent = self._known = None
            self._audience.close()
            return
        self._audience.follow(settings.targets)
        if not len(self._audience):
            log.warn_rl("no collectors could be initialized, sFlow disabled")
            self._agent = self._known = None
            return
        address = self._choose_address(settings)
        if not address:
            log.err("could not determine IP address for sFlow agent")
            self._agent = self._known = None
            self._audience.close()
            return
        if (settings, address) == self._known:
            return
        self._known = (settings, address)
        log.info("creating sFlow agent %d", settings.sub_id)
        now_ms = self._bridge.backer.clock.now_ms()
        self._agent = Agent(settings, address, self._entity(settings), now_ms)
        self._ports_at = -1

    @staticmethod
    def _entity(settings: SflowSettings) -> form.Source:
        return form.Source(form.ENTITY, _FIRST_ENTITY + settings.sub_id)

    def _choose_address(self, settings: SflowSettings) -> bytes:
        """The agent's address; empty if there is none."""
        underlay = self._bridge.backer.underlay
        if settings.agent:
            known = [address for address, _ in underlay.addresses(settings.agent)]
            for address in known or underlay.host_addresses(settings.agent):
                return address_bytes(address)
            try:
                return ipaddress.ip_address(settings.agent).packed
            except ValueError:
                text = '%s: bad IP address "%s"'
                get_logger("socket_util").err(text, settings.agent, settings.agent)
        for target in settings.targets:
            route = underlay.routes.lookup(_target_address(target))
            if route is not None and route.source:
                return address_bytes(route.source)
        try:
            return ipaddress.ip_address(settings.control_ip).packed
        except ValueError:
            return b""

    # Packets

    def interface_of(self, port: OfPort) -> int:
        """The ifIndex of a port; 0 if it has none."""
        return port.device.state().ifindex if port.device is not None else 0

    def receive(self, upcall: Upcall, packet: bytes, now_ms: int) -> None:
        """A packet was picked out."""
        agent = self._agent
        if agent is None:
            return
        vid, pcp, output, _, leaving = upcall.cookie
        key = upcall.key
        port = self._bridge.backer.port_of(key)
        tci = _VLAN_TCI.get(key)
        assert isinstance(vid, int) and isinstance(pcp, int)
        assert isinstance(output, int) and isinstance(leaving, Leaving)
        sample = form.FlowSample(
            self.interface_of(port) if port is not None else 0,
            output,
            len(packet),
            packet[: agent.settings.header],
            (tci & 0xFFF, tci >> 13 & 7),
            (vid, pcp),
            self._more(key, port, leaving, agent),
        )
        agent.add_packet(sample, now_ms)

    def _more(
        self, key: int, port: OfPort | None, leaving: Leaving, agent: Agent
    ) -> tuple[form.Element, ...]:
        """Tunnels and labels, if there are any."""
        found: list[form.Element] = []
        if labels := leaving.stack(key):
            found.append(form.mpls_element(labels))
        if leaving.protocol and _TUN_DST.get(leaving.tunnel):
            found += _tunnel_elements(True, leaving.tunnel, leaving.protocol)
        if port is not None and port.tunnel is not None and _TUN_DST.get(key):
            found += _tunnel_elements(False, key, port.tunnel.config.row.nw_proto)
        return tuple(found)

    # Counters

    def run(self, now_ms: int) -> None:
        """Tell what has to be told."""
        agent = self._agent
        if agent is None:
            return
        generation = self._bridge.backer.config_generation
        if generation != self._ports_at:
            self._ports_at = generation
            self._ports = {
                form.Source(form.INTERFACE, number): port
                for port in self._bridge.ports_by_number.values()
                if (number := self.interface_of(port))
            }
            agent.watch({*self._ports, self._entity(agent.settings)})
        for source in agent.tick(now_ms):
            port = self._ports.get(source)
            if port is not None:
                elements = sflow_counters.of_port(self._bridge, port, source.index)
            else:
                elements = sflow_counters.of_datapath(self._bridge.backer)
            agent.add_counters(source, elements, now_ms)
        for datagram in agent.take(now_ms):
            self._audience.send(datagram)

    def deadline(self) -> int | None:
        return self._agent.deadline() if self._agent is not None else None

    def close(self) -> None:
        self._audience.close()
        self._agent = None


def _own_labels(key: int) -> list[int]:
    """The labels of a packet, as far as its key has them."""
    found: list[int] = []
    if _DL_TYPE.get(key) in _MPLS_TYPES:
        for slot in _LABELS:
            found.append(slot.get(key))
            if found[-1] & _BOTTOM:
                break
    return found


def _target_address(target: str) -> int:
    """The address of a target, mapped; 0 if it is none."""
    host = target[1:].partition("]")[0] if target.startswith("[") else target.partition(":")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return 0
    return int(address) | (0xFFFF << 32 if address.version == 4 else 0)


def _tunnel_elements(is_egress: bool, key: int, protocol: int) -> list[form.Element]:
    addresses = _TUN_SRC.get(key), _TUN_DST.get(key)
    ports = _TUN_TP_SRC.get(key), _TUN_TP_DST.get(key)
    outside = form.tunnel_element(is_egress, protocol, addresses, ports, _TUN_TOS.get(key))
    if _TUN_FLAGS.get(key) & _HAS_KEY or _TUN_ID.get(key):
        return [form.vni_element(is_egress, _TUN_ID.get(key)), outside]
    return [outside]
