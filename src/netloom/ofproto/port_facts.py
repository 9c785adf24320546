"""What controllers are told of ports: description, counters, and in which order.

The order of statistics is that of Open vSwitch's hash table of ports, because people compare
dumps: by a hash of the number, in a table that doubles as it fills; of two ports in one place, the
one that was moved or added last comes first.
"""

from __future__ import annotations

from collections.abc import Iterator

from netloom.base.record import replace
from netloom.flow.hashes import hash_pair
from netloom.netdev.device import Device
from netloom.ofproto.liveness import is_usable
from netloom.ofproto.ports import OfPort
from netloom.ofproto.queues import with_policed
from netloom.openflow import messages as m

#: Bits per second -> what OpenFlow calls it.
_SPEEDS = {
    10_000_000: m.OFPPF_10MB_FD,
    100_000_000: m.OFPPF_100MB_FD,
    1_000_000_000: m.OFPPF_1GB_FD,
    10_000_000_000: m.OFPPF_10GB_FD,
    40_000_000_000: m.OFPPF_40GB_FD,
    100_000_000_000: m.OFPPF_100GB_FD,
}
_COUNTERS = ("rx_packets", "tx_packets", "rx_bytes", "tx_bytes", "rx_dropped", "tx_dropped",
             "rx_errors", "tx_errors", "rx_frame_err", "rx_over_err", "rx_crc_err",
             "collisions")  # fmt: skip


def describe_port(port: OfPort, device: Device | None) -> m.PhyPort:
    """The description of a port; without a device it is a patch port."""
    if device is None:
        # It has no address of its own: one that is stable and local will do.
        mac = 0x0200_0000_0000 | hash_name(port.name) & 0xFF_FFFF_FFFF
        if port.settings.mac:
            mac = int(port.settings.mac.replace(":", ""), 16)
        # It is up, whether its other end is there or not.
        state = (m.OFPPS_LIVE if is_usable(port, True) else 0) | port.stp_bits
        return m.PhyPort(port.number, mac, port.name, port.config, state)
    seen = device.state()
    down = 0 if seen.admin_up else m.OFPPC_PORT_DOWN
    up = seen.link_up and seen.admin_up
    return m.PhyPort(
        port.number,
        int(seen.mac.replace(":", "") or "0", 16),
        port.name,
        port.config & ~m.OFPPC_PORT_DOWN | down,
        (0 if up else m.OFPPS_LINK_DOWN)
        | (m.OFPPS_LIVE if is_usable(port, up) else 0)
        | port.stp_bits,
        current=_speed_bits(seen.speed_bps),
        current_speed_kbps=seen.speed_bps // 1_000,
        max_speed_kbps=seen.max_speed_bps // 1_000,
    )


def count_port(port: OfPort, device: Device | None, now_ms: int) -> m.PortStats:
    """The counters of a port."""
    stats = with_policed(device.stats(), port) if device is not None else port.patch_stats()
    sec, ms = divmod(now_ms - port.created_ms, 1_000)
    counters = {name: getattr(stats, name) for name in _COUNTERS}
    basic = m.PortStats(
        port.number, duration_sec=sec, duration_nsec=ms * 1_000_000, custom=stats.custom
    )
    return replace(basic, **counters)


def _speed_bits(speed_bps: int) -> int:
    if not speed_bps:
        return 0
    return _SPEEDS.get(speed_bps, m.OFPPF_OTHER) | m.OFPPF_COPPER


class HashOrder:
    """Numbers, iterated in the order of Open vSwitch's hash tables."""

    __slots__ = ("_count", "_places")

    def __init__(self) -> None:
        self._places: list[list[int]] = [[]]
        self._count = 0

    def add(self, number: int) -> None:
        self._put(self._places, number)
        self._count += 1
        if self._count // 2 > len(self._places) - 1:
            self._grow()

    def remove(self, number: int) -> None:
        for place in self._places:
            if number in place:
                place.remove(number)
                self._count -= 1
                return

    def __iter__(self) -> Iterator[int]:
        return iter([number for place in self._places for number in place])

    def _grow(self) -> None:
        """A place for every two ports at least, and never just two."""
        size = 1 << (self._count // 2).bit_length()
        places: list[list[int]] = [[] for _ in range(4 if size == 2 else size)]
        for number in self:
            self._put(places, number)
        self._places = places

    @staticmethod
    def _put(places: list[list[int]], number: int) -> None:
        places[hash_pair(number, 0) & len(places) - 1].insert(0, number)


class PortOrder(HashOrder):
    """The numbers of a bridge's ports, iterated in the order of statistics."""

    __slots__ = ()

    @staticmethod
    def _put(places: list[list[int]], number: int) -> None:
        # Numbers of 16 bits, as the switch has them inside.
        places[hash_pair(number & 0xFFFF, 0) & len(places) - 1].insert(0, number)


def hash_name(name: str) -> int:
    """A number that only the name decides (Python's own hash differs from run to run)."""
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value
