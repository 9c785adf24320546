"""The interface of a device: an end of a wire that packets go into and come out of.

Devices are opened by name and type through a `DeviceFactory`, which a program assembles: `dummy`
devices for tests, `linux` ones (TAP, packet sockets) for real traffic. A device says what it is and
what state it is in (`DeviceState`, compared by value to see changes) and keeps counters.

A `Packet` is bytes plus what the sender's offloads left undone. A sender that relies on checksum
offload hands over packets whose L4 checksum covers only the pseudo header, and one that relies
on segmentation hands over packets of up to 64 KiB: `offload` says so, and whoever sends the packet
on must pass it on (to a device that can) or do the work (`packet.offload.finish_offload`).

What must hold: `receive` and `send` never block and never raise because of a packet; a device that
went away reports `present=False` and drops what it is sent, counted in `tx_dropped`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from netloom.base.record import Record
from netloom.packet.offload import Offload


class Packet:
    """Bytes from the Ethernet header on, and what is left to do before they can be on a wire
    (None: nothing). `priority` chooses a queue of the device that it is sent to (0: none)."""

    __slots__ = ("data", "offload", "priority")

    def __init__(self, data: bytes, offload: Offload | None = None, priority: int = 0) -> None:
        self.data = data
        self.offload = offload
        self.priority = priority

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Packet):
            return False
        return self.data == other.data and self.offload == other.offload

    def __hash__(self) -> int:
        return hash((self.data, self.offload))


#: Packets that are one batch for devices.
BATCH_PACKETS: Final = 32


def n_growths(n_packets: int) -> int:
    """How often a batch had to grow, by as many as it first holds, to hold so many."""
    return max(n_packets - 1, 0) // BATCH_PACKETS


#: A counter that a device does not keep: OpenFlow's number for that, shown as "?".
UNKNOWN_COUNT: Final = (1 << 64) - 1


class Wire(Protocol):
    """What a dummy device is plugged into."""

    def send(self, frame: bytes) -> None:
        """Have a frame go to whoever is at the other end; nobody may be."""

    def receive(self) -> list[bytes]:
        """Frames that came since the last call."""

    @property
    def state(self) -> str:
        """ "connected", "disconnected", or "unknown" for one that waits for others."""

    def close(self) -> None:
        """Unplug it."""


class DeviceStats(Record):
    """Counters, most with the names of the Interface table's `statistics`. `custom` are others
    that only this kind of device has, as (name, count)."""

    rx_packets: int = 0
    rx_bytes: int = 0
    tx_packets: int = 0
    tx_bytes: int = 0
    rx_dropped: int = 0
    rx_frame_err: int = 0
    rx_over_err: int = 0
    rx_crc_err: int = 0
    rx_errors: int = 0
    tx_dropped: int = 0
    tx_errors: int = 0
    collisions: int = 0
    tx_aborted: int = 0
    tx_carrier: int = 0
    #: What else the device counts, by name.
    custom: tuple[tuple[str, int], ...] = ()


#: Of a device that keeps no counters at all.
NOTHING_COUNTED: Final = DeviceStats(
    UNKNOWN_COUNT, UNKNOWN_COUNT, UNKNOWN_COUNT, UNKNOWN_COUNT, UNKNOWN_COUNT, UNKNOWN_COUNT,
    UNKNOWN_COUNT, UNKNOWN_COUNT, UNKNOWN_COUNT, UNKNOWN_COUNT, UNKNOWN_COUNT, UNKNOWN_COUNT,
    UNKNOWN_COUNT, UNKNOWN_COUNT,
)  # fmt: skip


class DeviceState(Record):
    """What a device reports of itself; `ifindex` is 0 and `mac` is "" where there is none."""

    present: bool
    admin_up: bool
    link_up: bool
    mtu: int
    mac: str
    ifindex: int = 0
    speed_bps: int = 0
    max_speed_bps: int = 0
    full_duplex: bool = True
    #: Number of times the carrier went or came, for `link_resets`.
    carrier_changes: int = 0
    #: Driver name, version, firmware for the Interface row's `status`.
    driver: tuple[tuple[str, str], ...] = ()
    is_loopback: bool = False
    is_ethernet: bool = True
    #: Index of the device (a Linux bridge, a bond, a VRF) that takes what comes in; 0: none.
    master: int = 0
    #: What is done to packets behind `send`, so that nobody has to do it before: bits of
    #: `packet.marks.TX_OFFLOADS`.
    tx_offloads: int = 0


class Device(Protocol):
    """One open device."""

    name: str
    #: The Interface type it was opened as: "system", "internal", "tap", "dummy", "patch" ...
    type: str

    def state(self) -> DeviceState:
        """The present state; cheap enough to be asked once per turn of the main loop."""

    def stats(self) -> DeviceStats: ...

    def receive(self, limit: int) -> list[Packet]:
        """Up to `limit` packets that wait; empty when none does."""

    def send(self, packets: list[Packet]) -> None: ...

    def fileno(self) -> int | None:
        """What becomes readable when packets wait; None if the device is polled (dummies)."""

    def set_options(self, options: Mapping[str, str]) -> None:
        """Take over `Interface.options`; raises ConfigError for one that is wrong."""

    def set_mtu(self, mtu: int) -> None:
        """Raises ConfigError when the device refuses."""

    def set_mac(self, mac: str) -> None: ...

    def set_admin_up(self, up: bool) -> None: ...

    def close(self) -> None:
        """Let go of the device; one that this process made (internal, tap) is destroyed."""


class DeviceFactory(Protocol):
    """Opens devices of the types that it knows."""

    def types(self) -> frozenset[str]: ...

    def open(self, name: str, type_: str, options: Mapping[str, str]) -> Device:
        """Raises ConfigError with the text for the Interface row's `error` column, such as
        "could not open network device p1 (No such device)"."""

    def changes(self) -> int:
        """A number that grows whenever a device may have appeared, vanished or changed: the
        switch then looks again. Polled once per turn of the main loop."""

    def poll_fds(self) -> list[int]:
        """File descriptors whose readability means that `changes` may have grown."""
