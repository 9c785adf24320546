"""Dummy devices: ends of wires that a test holds in its hands.

Packets are put in with `inject` (`ovs-appctl netdev-dummy/receive`) and what is sent piles up in
`sent`; or two are plugged into each other (`options:stream`, `pstream`). State changes only by
command, and only those who look at it mind: one that is down carries packets, as in Open vSwitch.
With `--enable-dummy=override` every type of interface is a dummy, with `--enable-dummy=system`
those of type system; then whole switches run without the kernel.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from netloom.base.errors import CommandError, ConfigError
from netloom.base.log import DBG, get_logger
from netloom.base.numbers import decimal, leading_int
from netloom.base.record import replace
from netloom.netdev.device import (
    UNKNOWN_COUNT,
    Device,
    DeviceFactory,
    DeviceState,
    DeviceStats,
    Packet,
    Wire,
    n_growths,
)
from netloom.netdev.dummy_offloads import (
    NO_OFFLOADS,
    describe_received,
    describe_sent,
    read_offloads,
)
from netloom.netdev.dummy_queues import DummyQueues
from netloom.netdev.errors import unknown_type
from netloom.netdev.tunnel_config import TYPES
from netloom.packet.offload import Offload, finish_offload, is_of_tunnel
from netloom.packet.pcap import PcapWriter

log = get_logger("netdev_dummy")
segmentation_log = get_logger("userspace_tso")

#: Packets that may wait at a dummy device: a test that forgets to run the switch fills no memory.
QUEUE_PACKETS = 10_000
#: How many sent packets are remembered for a test to look at.
SENT_PACKETS = 10_000
#: First five bytes of a dummy's MAC address; the last is its number.
MAC_PREFIX = "aa:55:aa:55:00"

OVERRIDES = ("", "override", "system")
#: Of a device that threads poll (`netdev.dummy_queues`).
POLLED_TYPE = "dummy-pmd"
DUMMY_TYPES = frozenset({"dummy", "dummy-internal", POLLED_TYPE})
#: Types of real devices, which dummies may stand in for.
REPLACED_TYPES = frozenset({"system", "internal", "tap"}) | frozenset(TYPES)
#: Least length that --len may ask for: the shortest frame of an Ethernet, less its checksum.
LEAST_LENGTH = 60
MIN_MTU, MAX_MTU = 68, 65_535
ETH_LEN = 14
_TAGS = (b"\x81\x00", b"\x88\xa8")
#: What a dummy counts for others to see; it keeps no other counters, as Open vSwitch's.
_COUNTERS = ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes")
_UNKNOWN = {
    "rx_dropped": UNKNOWN_COUNT, "rx_frame_err": UNKNOWN_COUNT, "rx_over_err": UNKNOWN_COUNT,
    "rx_crc_err": UNKNOWN_COUNT, "rx_errors": UNKNOWN_COUNT, "tx_dropped": UNKNOWN_COUNT,
    "tx_errors": UNKNOWN_COUNT, "collisions": UNKNOWN_COUNT,
    "tx_aborted": UNKNOWN_COUNT, "tx_carrier": UNKNOWN_COUNT,
}  # fmt: skip


#: Opens the wire that an option ("stream" or "pstream") with its target asks for.
OpenWire = Callable[[str, str], Wire | None]


class DummyDevice:
    """A device of type dummy (or of the type that it stands in for)."""

    def __init__(
        self,
        name: str,
        type_: str,
        number: int,
        wall_ms: Callable[[], int],
        open_wire: OpenWire | None = None,
        leaves_segments: Callable[[], bool] = lambda: True,
    ) -> None:
        self.name = name
        self._leaves_segments = leaves_segments
        self.type = type_
        self.sent: deque[Packet] = deque(maxlen=SENT_PACKETS)
        #: Do threads poll it?
        self.is_polled = type_ == POLLED_TYPE
        self.queues = DummyQueues()
        #: Says which queue a packet is sent from; None: always the first.
        self.choose_queue: Callable[[bytes], int] | None = None
        self._counts = dict.fromkeys(_COUNTERS, 0)
        #: Packets that did not fit, and packets that were too long or met a device that is down.
        self.rx_dropped = 0
        self.tx_dropped = 0
        self._wall_ms = wall_ms
        self._open_wire = open_wire
        self._wire: Wire | None = None
        self._wire_option = ("", "")
        self._offloads = NO_OFFLOADS
        #: Told of packets that were cut into segments: into how many.
        self.note_segments: Callable[[int], None] | None = None
        self._rx_log: PcapWriter | None = None
        self._tx_log: PcapWriter | None = None
        self._log_names: tuple[str, str] = ("", "")
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
        counts = self._counts
        received = counts["rx_packets"]
        custom = (
            ("rx_custom_packets_1", received), ("rx_custom_packets_2", received),
            *(self.queues.counts() if self.is_polled else self._only_queue()),
        )  # fmt: skip
        return DeviceStats(**_UNKNOWN | counts, custom=custom)

    def _only_queue(self) -> list[tuple[str, int]]:
        """The counters of its queues, if it has one for each direction."""
        counts = self._counts
        return [(f"{name[:2]}_q0_{name[3:]}", counts[name]) for name in sorted(counts)]

    def inject(self, data: bytes, queue: int = 0) -> None:
        """A packet comes in over the wire, into a queue."""
        waiting = self.queues.waiting[queue]
        if len(waiting) >= QUEUE_PACKETS:
            self.rx_dropped += 1
            return
        if self._rx_log is not None:
            self._rx_log.write(data, self._wall_ms())
        waiting.append(Packet(data))

    def receive(self, limit: int) -> list[Packet]:
        return self.receive_from(0, limit)

    def receive_from(self, queue: int, limit: int) -> list[Packet]:
        """As `receive`, from one of its queues."""
        if self._wire is not None:
            for frame in self._wire.receive():
                self.inject(frame)
        waiting = self.queues.waiting[queue]
        if not waiting:
            return []
        packets = [waiting.popleft() for _ in range(min(limit, len(waiting)))]
        self._counts["rx_packets"] += len(packets)
        n_bytes = sum(len(packet.data) for packet in packets)
        self._counts["rx_bytes"] += n_bytes
        if self.is_polled:
            self.queues.count_received(queue, len(packets), n_bytes)
        if self._offloads is not NO_OFFLOADS:
            for packet in packets:
                packet.offload = self._offloads.of_received(packet.data)
        if log.threshold >= DBG:
            for packet in packets:
                log.dbg("Rx: %s", describe_received(packet.offload))
        return packets

    def send(self, packets: list[Packet]) -> None:
        for packet in packets:
            if log.threshold >= DBG:
                log.dbg("Tx: %s", describe_sent(packet.offload))
            if packet.offload is None:
                self._send(packet.data)
            else:
                self._send_unfinished(packet.data, packet.offload)

    def _send_unfinished(self, data: bytes, offload: Offload) -> None:
        if not offload.gso_size:
            if offload.marks:
                self._send(self._offloads.finish(data, offload.marks))
            else:
                self._send(finish_offload(data, offload)[0])
            return
        if self._offloads.segment_size and not is_of_tunnel(data, offload):
            self._send(data, is_whole=True)
            return
        parts = finish_offload(data, offload)
        if self.note_segments is not None:
            self.note_segments(len(parts))
        for part in parts:
            self._send(part)

    def _send(self, data: bytes, is_whole: bool = False) -> None:
        longest = self._state.mtu + (18 if data[12:14] in _TAGS else 14)
        if len(data) > longest and not is_whole:
            self.tx_dropped += 1
            return
        self._counts["tx_packets"] += 1
        self._counts["tx_bytes"] += len(data)
        if self.is_polled:
            queue = self.choose_queue(data) if self.choose_queue is not None else 0
            self.queues.count_sent(queue, len(data))
        if self._tx_log is not None:
            self._tx_log.write(data, self._wall_ms())
        self.sent.append(Packet(data))
        if self._wire is not None:
            self._wire.send(data)

    def fileno(self) -> int | None:
        return None

    def set_options(self, options: Mapping[str, str]) -> None:
        """`pcap`, or `rxq_pcap` and `tx_pcap`, name files for what is received and sent; `stream`
        or `pstream` is where the other end of the wire is; `ifindex` is its number. For `ol_` see
        `dummy_offloads`."""
        self._plug(options)
        if self.is_polled:
            self.queues.configure(self.name, options)
        index = options.get("ifindex", "")
        self._offloads = read_offloads(options, self._leaves_segments())
        self._state = replace(
            self._state, ifindex=decimal(index) or 0, tx_offloads=self._offloads.announced
        )
        both = options.get("pcap", "")
        names = options.get("rxq_pcap", both), options.get("tx_pcap", both)
        if names == self._log_names:
            return
        self._close_logs()
        self._log_names = names
        try:
            self._rx_log = PcapWriter(names[0]) if names[0] else None
            same = names[0] == names[1]
            self._tx_log = self._rx_log if same else PcapWriter(names[1]) if names[1] else None
        except OSError as error:
            raise ConfigError(f"{error.filename}: open failed ({error.strerror})") from error

    def _plug(self, options: Mapping[str, str]) -> None:
        asked = [(key, options[key]) for key in ("pstream", "stream") if key in options]
        if len(asked) > 1:
            log.warn("Open failed: both %s and %s are configured", asked[0][1], asked[1][1])
            return
        option = asked[0] if asked else ("", "")
        if option == self._wire_option:
            return
        self._wire_option = option
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        if asked and self._open_wire is None:
            raise ConfigError(f"{self.name}: there is nothing to plug option {option[0]} into")
        if asked and self._open_wire is not None:
            self._wire = self._open_wire(*option)

    @property
    def options(self) -> dict[str, str]:
        """What it shows of its configuration: its number, its queues if it is one that is polled
        elsewhere, and where its wire goes."""
        index = self._state.ifindex
        shown = {"ifindex": str(index)} if index else {}
        if self.is_polled:
            shown |= self.queues.shown()
        shown |= dict(self._offloads.shown)
        return shown if self._wire is None else shown | dict([self._wire_option])

    @property
    def wire_state(self) -> str:
        """ "connected", "disconnected" or "unknown"."""
        return "unknown" if self._wire is None else self._wire.state

    def _close_logs(self) -> None:
        for log in (self._rx_log, self._tx_log):
            if log is not None:
                log.close()
        self._rx_log = self._tx_log = None

    def set_mtu(self, mtu: int) -> None:
        if not MIN_MTU <= mtu <= MAX_MTU:
            raise ConfigError("Invalid argument", "setting MTU failed")
        self._state = replace(self._state, mtu=mtu)

    def set_mac(self, mac: str) -> None:
        self._state = replace(self._state, mac=mac)

    def set_admin_up(self, up: bool) -> None:
        self._state = replace(self._state, admin_up=up, link_up=up)

    def close(self) -> None:
        self._close_logs()
        self._plug({})
        self._state = replace(self._state, present=False)


class DummyFactory:
    """Opens dummies; hands every other type to `inner`, unless `mode` has them replaced. `wall_ms`
    is the time of packets in pcap files."""

    def __init__(
        self,
        inner: DeviceFactory | None,
        mode: str = "",
        wall_ms: Callable[[], int] = lambda: 0,
        open_wire: OpenWire | None = None,
    ) -> None:
        if mode not in OVERRIDES:
            raise ConfigError(f"unknown mode {mode} of --enable-dummy")
        self._inner = inner
        self._mode = mode
        self._wall_ms = wall_ms
        self._open_wire = open_wire
        self._opened = 0
        self._changes = 0
        #: Do devices leave TCP uncut? Once they do it stays so (other_config:userspace-tso-enable).
        self.has_segmentation = False
        #: Packets that dummies cut into segments, and how often their batches grew by that.
        self.n_segmented = self.n_growths = 0
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
        if type_ not in REPLACED_TYPES | DUMMY_TYPES:
            raise unknown_type(name, type_)
        device = DummyDevice(
            name, type_, self._opened, self._wall_ms, self._open_wire,
            lambda: self.has_segmentation,
        )  # fmt: skip
        device.note_segments = self._note_segments
        device.set_options(options)
        self._opened += 1
        self.devices[name] = device
        return device

    def leave_segments(self) -> None:
        """From now on `ol_tso_segsz` means something."""
        if not self.has_segmentation:
            self.has_segmentation = True
            segmentation_log.info("Userspace TCP Segmentation Offloading support enabled")

    def _note_segments(self, n_segments: int) -> None:
        self.n_segmented += 1
        self.n_growths += n_growths(n_segments)

    def find(self, name: str) -> DummyDevice | None:
        """The open dummy of that name."""
        device = self.devices.get(name)
        return device if device is not None and device.state().present else None

    def changes(self) -> int:
        return self._changes + (self._inner.changes() if self._inner else 0)

    def poll_fds(self) -> list[int]:
        return self._inner.poll_fds() if self._inner else []

    # ovs-appctl

    def command_receive(self, args: list[str], build: Callable[[str, int], bytes]) -> str:
        """`netdev-dummy/receive NAME [--qid N] PACKET|FLOW [--len N] ...`: PACKET is hex digits;
        `build` makes a packet of a FLOW in data-path syntax, of --len bytes if that is not 0."""
        device = self.find(args[0])
        if device is None:
            raise CommandError("no such dummy netdev")
        rest = args[1:]
        queue = 0
        if rest[0] == "--qid":
            queue = leading_int(rest[1]) if len(rest) > 1 else -1
            if not 0 <= queue < len(device.queues.waiting):
                raise CommandError("bad rx queue id.")
            rest = rest[2:]
        while rest:
            text = rest.pop(0)
            length = 0
            if rest[:1] == ["--len"]:
                length = _parse_length(rest[1] if len(rest) > 1 else "")
                rest = rest[2:]
            device.inject(_parse_hex(text) or build(text, length), queue)
        return ""

    def command_set_admin_state(self, args: list[str]) -> str:
        """`netdev-dummy/set-admin-state [NAME] up|down`"""
        states = {"up": True, "down": False}
        if args[-1].lower() not in states:
            raise CommandError("Invalid Admin State")
        named = [self.find(args[0])] if len(args) > 1 else [*map(self.find, self.devices)]
        if named == [None]:
            raise CommandError("Unknown Dummy Interface")
        for device in named:
            if device is not None:
                device.set_admin_up(states[args[-1].lower()])
        self._changes += 1
        return "OK"

    def command_conn_state(self, args: list[str]) -> str:
        """`netdev-dummy/conn-state [NAME]`: all that connect, or one."""
        if args:
            device = self.find(args[0])
            return f"{args[0]}: {'unknown' if device is None else device.wire_state}\n"
        states = {name: device.wire_state for name, device in self.devices.items()}
        return "".join(f"{name}: {state}\n" for name, state in states.items()
                       if state != "unknown")  # fmt: skip


def _parse_hex(text: str) -> bytes:
    """The packet that `text` spells in hex digits, or nothing if it is something else."""
    try:
        data = bytes.fromhex(text)
    except ValueError:
        return b""
    return data if len(data) >= ETH_LEN else b""


def _parse_length(text: str) -> int:
    length = decimal(text) or 0
    if length < LEAST_LENGTH:
        raise CommandError("too small packet len")
    return length
