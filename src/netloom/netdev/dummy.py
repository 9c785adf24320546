"""Dummy devices: ends of wires that a test holds in its hands.

Packets are put in with `inject` (`ovs-appctl netdev-dummy/receive`) and what is sent piles up in
`sent`. State changes only by command. With `--enable-dummy=override` every type of interface is a
dummy, with `--enable-dummy=system` those of type system; then whole switches run without the
kernel.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from netloom.base.errors import CommandError, ConfigError
from netloom.base.record import replace
from netloom.netdev.device import Device, DeviceFactory, DeviceState, DeviceStats, Packet
from netloom.packet.offload import finish_offload

#: Packets that may wait at a dummy device: a test that forgets to run the switch fills no memory.
QUEUE_PACKETS = 10_000
#: How many sent packets are remembered for a test to look at.
SENT_PACKETS = 10_000
#: First five bytes of a dummy's MAC address; the last is its number.
MAC_PREFIX = "aa:55:aa:55:00"

OVERRIDES = ("", "override", "system")
DUMMY_TYPES = frozenset({"dummy", "dummy-internal", "dummy-pmd"})


class DummyDevice:
    """A device of type dummy (or of the type that it stands in for)."""

    def __init__(self, name: str, type_: str, number: int) -> None:
        self.name = name
        self.type = type_
        self.sent: deque[Packet] = deque(maxlen=SENT_PACKETS)
        self._waiting: deque[Packet] = deque()
        self._stats = DeviceStats()
        self._state = DeviceState(
            present=True,
            admin_up=True,
            link_up=True,
            mtu=1500,
            mac=f"{MAC_PREFIX}:{number & 0xFF:02x}",
        )

    def state(self) -> DeviceState:
        return self._state

    def stats(self) -> DeviceStats:
        return self._stats

    def inject(self, data: bytes) -> None:
        """A packet comes in over the wire."""
        if not self._state.admin_up:
            return
        if len(self._waiting) >= QUEUE_PACKETS:
            self._stats = replace(self._stats, rx_dropped=self._stats.rx_dropped + 1)
            return
        self._waiting.append(Packet(data))

    def receive(self, limit: int) -> list[Packet]:
        waiting = self._waiting
        if not waiting:
            return []
        packets = [waiting.popleft() for _ in range(min(limit, len(waiting)))]
        self._stats = replace(
            self._stats,
            rx_packets=self._stats.rx_packets + len(packets),
            rx_bytes=self._stats.rx_bytes + sum(len(packet.data) for packet in packets),
        )
        return packets

    def send(self, packets: list[Packet]) -> None:
        if not self._state.admin_up:
            dropped = self._stats.tx_dropped + len(packets)
            self._stats = replace(self._stats, tx_dropped=dropped)
            return
        for packet in packets:
            whole = finish_offload(packet.data, packet.offload) if packet.offload else [packet.data]
            self.sent.extend(Packet(data) for data in whole)
            self._stats = replace(
                self._stats,
                tx_packets=self._stats.tx_packets + len(whole),
                tx_bytes=self._stats.tx_bytes + sum(map(len, whole)),
            )

    def fileno(self) -> int | None:
        return None

    def set_options(self, options: Mapping[str, str]) -> None:
        for key in ("stream", "pstream"):
            if key in options:
                raise ConfigError(f"{self.name}: dummy devices do not support option {key} yet")

    def set_mtu(self, mtu: int) -> None:
        self._state = replace(self._state, mtu=mtu)

    def set_mac(self, mac: str) -> None:
        self._state = replace(self._state, mac=mac)

    def set_admin_up(self, up: bool) -> None:
        self._state = replace(self._state, admin_up=up)

    def close(self) -> None:
        self._state = replace(self._state, present=False)


class DummyFactory:
    """Opens dummies; hands every other type to `inner`, unless `mode` has them replaced."""

    def __init__(self, inner: DeviceFactory | None, mode: str = "") -> None:
        if mode not in OVERRIDES:
            raise ConfigError(f"unknown mode {mode} of --enable-dummy")
        self._inner = inner
        self._mode = mode
        self._opened = 0
        self._changes = 0
        self.devices: dict[str, DummyDevice] = {}

    def types(self) -> frozenset[str]:
        inner = self._inner.types() if self._inner else frozenset()
        return inner | DUMMY_TYPES

    def _is_dummy(self, type_: str) -> bool:
        if type_ in DUMMY_TYPES or self._mode == "override" or self._inner is None:
            return True
        return self._mode == "system" and type_ == "system"

    def open(self, name: str, type_: str, options: Mapping[str, str]) -> Device:
        if not self._is_dummy(type_):
            assert self._inner is not None
            return self._inner.open(name, type_, options)
        device = DummyDevice(name, type_, self._opened)
        device.set_options(options)
        self._opened += 1
        self.devices[name] = device
        return device

    def find(self, name: str) -> DummyDevice:
        """The open dummy of that name; raises CommandError with ovs-appctl's text."""
        device = self.devices.get(name)
        if device is None or not device.state().present:
            raise CommandError("no such dummy netdev")
        return device

    def changes(self) -> int:
        return self._changes + (self._inner.changes() if self._inner else 0)

    def poll_fds(self) -> list[int]:
        return self._inner.poll_fds() if self._inner else []

    # ovs-appctl

    def command_receive(self, args: list[str], build: Callable[[str, int], bytes]) -> str:
        """`netdev-dummy/receive NAME [--qid N] PACKET|FLOW [--len N] ...`: PACKET is hex digits;
        `build` makes a packet of a FLOW in data-path syntax, of at least --len bytes."""
        device = self.find(args[0])
        rest = args[1:]
        if rest[:1] == ["--qid"]:
            rest = rest[2:]
        while rest:
            text = rest.pop(0)
            length = 0
            if rest[:1] == ["--len"]:
                length = _parse_length(rest[1] if len(rest) > 1 else "")
                rest = rest[2:]
            device.inject(_parse_hex(text) or build(text, length))
        return ""

    def command_set_admin_state(self, args: list[str]) -> str:
        """`netdev-dummy/set-admin-state [NAME] up|down`"""
        states = {"up": True, "down": False}
        if args[-1] not in states:
            raise CommandError("Invalid Admin State")
        if len(args) > 1 and args[0] not in self.devices:
            raise CommandError("Unknown Dummy Interface")
        devices = [self.find(args[0])] if len(args) > 1 else list(self.devices.values())
        for device in devices:
            device.set_admin_up(states[args[-1]])
        self._changes += 1
        return "OK"

    def command_conn_state(self, args: list[str]) -> str:
        """`netdev-dummy/conn-state [NAME]`: dummies without stream have no connection."""
        if args:
            return f"{self.find(args[0]).name}: unknown\n"
        return ""


def _parse_hex(text: str) -> bytes:
    """The packet that `text` spells in hex digits, or nothing if it is something else."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _parse_length(text: str) -> int:
    if not text.isdigit() or not 5 <= int(text) <= 65_535:
        raise CommandError(f"bad packet length {text}")
    return int(text)
