"""A port of a bridge, as OpenFlow sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.base.record import replace
from netloom.netdev.device import NOTHING_COUNTED, Device, DeviceStats
from netloom.netdev.tunnel import TunnelDevice
from netloom.netdev.tunnel_config import LEGACY_L3
from netloom.ofproto.settings import PortSettings

if TYPE_CHECKING:
    from netloom.ofproto.bridge import Ofproto
    from netloom.ofproto.bundle import Bundle


class OfPort:
    """`number` is OpenFlow's (32 bits, 0xfffffffe the local port), `dp_port` the data path's, -1
    for a patch port, which exists in translation only. `config` are OFPPC_* bits."""

    __slots__ = (
        "bridge", "bundle", "config", "created_ms", "device", "dp_port", "forwards", "is_watched",
        "learns", "marks", "number", "relays_bpdus", "rx_bytes", "rx_packets", "settings",
        "stp_bits", "tunnel", "tx_bytes", "tx_packets",
    )  # fmt: skip

    def __init__(self, bridge: Ofproto, settings: PortSettings, number: int, now_ms: int) -> None:
        self.bridge = bridge
        self.settings = settings
        self.number = number
        self.dp_port = -1
        #: None: a patch port.
        self.device: Device | None = None
        #: The device, if it is a tunnel's and in the data path.
        self.tunnel: TunnelDevice | None = None
        self.bundle: Bundle | None = None
        self.config = 0
        #: What a spanning tree lets it do, and what OpenFlow calls that (OFPPS_STP_*).
        self.forwards = self.learns = self.relays_bpdus = True
        self.stp_bits = 0
        #: Does BFD or CFM watch the way behind it?
        self.is_watched = False
        #: Priority -> TOS of packets that leave by that queue.
        self.marks: dict[int, int] = {}
        self.created_ms = now_ms
        self.rx_packets = 0
        self.rx_bytes = 0
        self.tx_packets = 0
        self.tx_bytes = 0

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def is_patch(self) -> bool:
        return self.settings.type == "patch"

    @property
    def is_layer3(self) -> bool:
        """Is it a tunnel that carries packets without Ethernet headers?"""
        return self.tunnel is not None and self.tunnel.config.pt_mode == LEGACY_L3

    def link(self) -> tuple[bool, str]:
        """Is its link up, and its address."""
        if self.device is None:
            return True, self.settings.mac
        state = self.device.state()
        return state.link_up and state.admin_up, state.mac

    def patch_stats(self) -> DeviceStats:
        """What went through a patch port."""
        return replace(
            NOTHING_COUNTED, rx_packets=self.rx_packets, rx_bytes=self.rx_bytes,
            tx_packets=self.tx_packets, tx_bytes=self.tx_bytes,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<port {self.name} {self.number}>"


class PatchCrossing:
    """Credits what went out of one end of a patch pair and into the other."""

    __slots__ = ("into", "out_of")

    def __init__(self, out_of: OfPort, into: OfPort) -> None:
        self.out_of = out_of
        self.into = into

    def credit(self, n_packets: int, n_bytes: int, used_ms: int) -> None:
        self.out_of.tx_packets += n_packets
        self.out_of.tx_bytes += n_bytes
        self.into.rx_packets += n_packets
        self.into.rx_bytes += n_bytes
