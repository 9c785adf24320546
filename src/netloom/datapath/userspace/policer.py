"""Ingress policing: token buckets for what comes in at a port (ovs-vswitchd.conf.db(5)).

One bucket holds bits, one packets; each is full at first and is filled at its rate, to the
millisecond. A packet that finds too little in either is dropped and takes nothing. A packet that is
still to be cut into segments counts as so many packets.
"""

from __future__ import annotations

from netloom.netdev.device import Packet
from netloom.netdev.qos import Policing


class Policer:
    """The buckets of one port."""

    __slots__ = (
        "_bits",
        "_max_bits",
        "_max_packets",
        "_packets",
        "_used_ms",
        "dropped",
        "policing",
    )

    def __init__(self, policing: Policing, now_ms: int) -> None:
        self.policing = policing
        self._max_bits, self._max_packets = policing.buckets()
        self._bits, self._packets = self._max_bits, self._max_packets
        self._used_ms = now_ms
        self.dropped = 0

    def admit(self, packets: list[Packet], now_ms: int) -> list[Packet]:
        """Those of the packets that may come in."""
        policing = self.policing
        elapsed_ms, self._used_ms = max(now_ms - self._used_ms, 0), now_ms
        # A kilobit a second is a bit a millisecond, and so it is with packets.
        self._bits = min(self._bits + elapsed_ms * policing.kbps, self._max_bits)
        self._packets = min(self._packets + elapsed_ms * policing.kpps, self._max_packets)
        admitted = [packet for packet in packets if self._takes(packet)]
        self.dropped += len(packets) - len(admitted)
        return admitted

    def _takes(self, packet: Packet) -> bool:
        policing = self.policing
        n_bits = 8 * len(packet.data) if policing.kbps else 0
        n_packets = count_segments(packet) if policing.kpps else 0
        if n_bits > self._bits or n_packets > self._packets:
            return False
        self._bits -= n_bits
        self._packets -= n_packets
        return True


def count_segments(packet: Packet) -> int:
    """How many packets on a wire it is."""
    offload = packet.offload
    if offload is None or not offload.gso_size:
        return 1
    return max(-(-(len(packet.data) - offload.hdr_len) // offload.gso_size), 1)
