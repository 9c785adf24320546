"""Tunnel devices: interfaces without a wire, whose packets travel inside those of others.

A `TunnelDevice` is what an Interface row of a tunnel type opens. It neither receives nor sends: the
data path has one `TunnelPort` for all tunnels with the same type and UDP port, and `ofproto` tells
them apart by addresses and keys (`ofproto.tunnels`). Its counters are those that `ofproto` credits.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Final

from netloom.base.log import get_logger
from netloom.base.record import replace
from netloom.netdev.device import (
    UNKNOWN_COUNT,
    Device,
    DeviceFactory,
    DeviceState,
    DeviceStats,
    Packet,
)
from netloom.netdev.errors import OptionsRefused, unknown_type
from netloom.netdev.tunnel_config import (
    TYPES,
    TunnelConfig,
    config_options,
    parse_tunnel_config,
    shared_config,
)

log: Final = get_logger("netdev_vport")

_UNKNOWN = dict.fromkeys(
    ("rx_dropped", "rx_frame_err", "rx_over_err", "rx_crc_err", "rx_errors", "tx_dropped",
     "tx_errors", "collisions", "tx_aborted", "tx_carrier"), UNKNOWN_COUNT
)  # fmt: skip


class TunnelPort:
    """The port of a data path that tunnels of one kind share: a `Device` that exists for its name,
    type and `config` (UDP port, extensions). What comes in through it, the data path makes of
    packets that are for its UDP port or protocol; what is sent to it without a header is lost."""

    def __init__(self, config: TunnelConfig) -> None:
        self.config = shared_config(config)
        self.name = config.port_name
        self.type = config.type
        self.tx_dropped = 0

    @property
    def options(self) -> dict[str, str]:
        """What `dpctl/show` tells of it."""
        options = config_options(self.config)
        del options["remote_ip"]
        return options

    def state(self) -> DeviceState:
        return DeviceState(True, True, True, 0, "")

    def stats(self) -> DeviceStats:
        return DeviceStats()

    def receive(self, limit: int) -> list[Packet]:
        return []

    def send(self, packets: list[Packet]) -> None:
        self.tx_dropped += len(packets)

    def fileno(self) -> int | None:
        return None

    def set_options(self, options: Mapping[str, str]) -> None:
        """Its options are those of the tunnels."""

    def set_mtu(self, mtu: int) -> None:
        """A tunnel is as wide as what it runs over."""

    def set_mac(self, mac: str) -> None:
        """Nobody asks for its address."""

    def set_admin_up(self, up: bool) -> None:
        """It is up."""

    def close(self) -> None:
        """Nothing is open."""


class VxlanPorts:
    """Which tunnels use the UDP ports of VXLAN, and whether with group policies: on one port either
    all do or none, for a packet without a policy could be of either kind."""

    def __init__(self) -> None:
        self._users: dict[str, tuple[int, bool]] = {}

    def take(self, name: str, config: TunnelConfig) -> None:
        """A tunnel is, or is now, so. Raises OptionsRefused."""
        if config.type != "vxlan":
            return
        port, is_gbp = config.dst_port, "gbp" in config.exts
        if (port, not is_gbp) in [users for user, users in self._users.items() if user != name]:
            text = f"{name}: VXLAN-GBP, and non-VXLAN-GBP tunnels can't be configured on the same "
            text += "dst_port"
            log.warn_rl("%s", text)
            raise OptionsRefused(text, errno.EEXIST)
        self._users[name] = port, is_gbp

    def leave(self, name: str) -> None:
        """A tunnel is gone."""
        self._users.pop(name, None)


class TunnelDevice(TunnelPort):
    """One tunnel, as its Interface row configured it. `vxlans` are all tunnels of this process."""

    def __init__(
        self,
        name: str,
        type_: str,
        options: Mapping[str, str],
        vxlans: VxlanPorts | None = None,
    ) -> None:
        config = parse_tunnel_config(name, type_, options)
        self._vxlans = vxlans or VxlanPorts()
        self._vxlans.take(name, config)
        super().__init__(config)
        self.name = name
        self.config = config
        self._given = dict(options)
        #: Where its packets leave, for the row's `status`; ("", None) if that is not known.
        self.egress: tuple[str, bool | None] = ("", None)
        self.rx_packets = self.rx_bytes = self.tx_packets = self.tx_bytes = 0
        self._mac = _made_up_mac(name)

    @property
    def options(self) -> dict[str, str]:
        return config_options(self.config)

    def state(self) -> DeviceState:
        interface, carrier = self.egress
        status: tuple[tuple[str, str], ...] = ()
        if interface:
            status = (
                ("tunnel_egress_iface", interface),
                ("tunnel_egress_iface_carrier", "up" if carrier else "down"),
            )
        return DeviceState(True, True, True, 0, self._mac, driver=status)

    def stats(self) -> DeviceStats:
        counted = DeviceStats(self.rx_packets, self.rx_bytes, self.tx_packets, self.tx_bytes)
        return replace(counted, **_UNKNOWN)

    def set_options(self, options: Mapping[str, str]) -> None:
        if dict(options) != self._given:
            config = parse_tunnel_config(self.name, self.type, options)
            self._vxlans.take(self.name, config)
            self.config = config
            self._given = dict(options)

    def close(self) -> None:
        self._vxlans.leave(self.name)

    def set_mac(self, mac: str) -> None:
        self._mac = mac


def _made_up_mac(name: str) -> str:
    """An address that is local and stable: nobody sees it on a wire."""
    value = 0
    for byte in name.encode():
        value = (value * 131 + byte) & 0xFF_FFFF_FFFF
    return (0x02 << 40 | value).to_bytes(6, "big").hex(":")


class TunnelFactory:
    """Opens tunnels; hands every other type to `inner`."""

    def __init__(self, inner: DeviceFactory | None) -> None:
        self._inner = inner
        self._vxlans = VxlanPorts()

    def types(self) -> frozenset[str]:
        inner = self._inner.types() if self._inner is not None else frozenset()
        return inner | frozenset(TYPES)

    def open(self, name: str, type_: str, options: Mapping[str, str]) -> Device:
        if type_ in TYPES:
            return TunnelDevice(name, type_, options, self._vxlans)
        if self._inner is None:
            raise unknown_type(name, type_)
        return self._inner.open(name, type_, options)

    def changes(self) -> int:
        return self._inner.changes() if self._inner is not None else 0

    def poll_fds(self) -> list[int]:
        return self._inner.poll_fds() if self._inner is not None else []
