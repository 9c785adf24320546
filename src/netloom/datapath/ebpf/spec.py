"""What C and Python have to agree on: operations, records, maps. Written here once.

`c_header` is the header that the programs are compiled with; Python packs and unpacks by the same
tables. Records are in the machine's byte order (little-endian: the object is built for bpfel),
members of keys in network byte order.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from netloom.datapath.drop_reasons import PIPELINE_DROPS
from netloom.datapath.ebpf.layout import (
    FIRST_HOT_WORD,
    HOT_WORDS,
    KERNEL_KEY_BYTES,
    MEMBERS,
    N_WORDS,
    OPTION_WORDS,
)

#: Changes whenever a map or a record does: a daemon adopts only what has its own number.
ABI_VERSION = 9

# Map types of linux/bpf.h.
HASH, ARRAY, PROG_ARRAY, PERCPU_ARRAY, RINGBUF = 1, 2, 3, 6, 27
NO_PREALLOC, MMAPABLE = 0x01, 0x400

#: Flows (and continuations of long ones) that the kernel holds at most.
MAX_SLOTS = 65_536
#: Masks that it holds at most.
MAX_MASKS = 256
#: Data-path ports above this are served in user space.
MAX_PORTS = 4_096
#: Addresses times ports at which tunnels may listen.
MAX_ENDS = 4_096
#: Devices found by their index in one step; others take a hash.
DEVICE_SLOTS = 4_096
#: Entries of the exact-match caches, of each CPU: by packets' first bytes, and by keys.
QUICK_ENTRIES, CACHE_ENTRIES = 16_384, 8_192
#: Of these, entries whose rare words are known; and addresses of switches that each CPU remembers.
RARE_ENTRIES, RECENT_ENTRIES = 2_048, 1_024
#: Actions in one slot, and slots that one flow may take.
SLOT_ACTIONS = 13
MAX_CHAIN = 12
#: Each CPU has a block of counters of its own.
MAX_CPUS, COUNTER_STRIDE = 512, 48
#: How often one packet may be looked up again.
MAX_RECIRCULATIONS = 6

#: Actions. Each is a record of 16 bytes: {op, a8, a16, a32, a64}.
OPERATIONS = (
    "END",
    "OUTPUT",  # a32 port
    "SET",  # a8 layer | checksum << 4, a16 offset, a32 mask, a64 value | which header << 32
    "PUSH_VLAN",  # a16 tci, a32 tpid
    "POP_VLAN",
    "SET_VLAN",  # a16 tci, a32 mask
    "TRUNC",  # a32 length
    "SLOW",  # all of the flow's actions in user space
    "USERSPACE",  # a32 which
    "DROP",  # a32 reason
    "RECIRC",  # a32 id
    "SET_MARK",  # a32 value, a64 mask
    "SET_PRIORITY",  # a32 value, a64 mask
    "SKIP",  # a16 records
    "CHECK_LENGTH",  # a32 longest, a16 records to skip if the packet is not longer
    "SAMPLE",  # a32 probability, a16 records to skip otherwise
    "SAVE",  # what follows up to RESTORE is undone; a8: by what is there itself
    "RESTORE",
    "CUT",  # a32 bytes that the next output may have
    "HASH",  # a8 which, a32 basis
    "METER",  # a32 which
    "COUNT_DROP",  # of a copy: the packet goes on; a32 reason
    "CT_CLEAR",
    "CT_LABEL",  # a8 which half, + 2 for the mask; a64 the bytes
    "CT_NAT",  # a8 NAT_FLAGS, a32 the ports, least | greatest << 16
    "CT_NAT_ADDRESS",  # a8 which half, + 2 for the greatest; a64 the bytes
    "NORMAL",  # a32 switch
    # From here on, what user space does where the programs cannot.
    "CT",  # a8 flags, a16 zone, a32 mark, a64 its mask | policy << 32
    "RESUME_AT",  # a32 which actions are left if the next record is such a case
    "RESUME",  # a32 which actions are left
    "TUNNEL_PUSH",  # a8 PUSH_FLAGS, a16 port that it leaves by, a32 template, a64 port it is of
    "TUNNEL_POP",  # a16 type, a32 port
    "PUSH_MPLS",  # a16 type, a32 label stack entry
    "POP_MPLS",  # a16 type of what follows
    "LAYER_DATA",  # a64 eight bytes of the next PUSH_LAYER's header, at 8 * a16
    "PUSH_LAYER",  # a16 length, a32 type, a64 the first eight bytes of a header
    "POP_NSH",
    "PUSH_ETHERNET",  # a64, a32 the addresses
    "POP_ETHERNET",
)
#: What a TUNNEL_PUSH is: headers of a packet that goes on as one of port a64; headers that will be
#: taken off again; in place of those that the last one put on; none any more.
PUSH_FLAG = {"GOES_ON": 1, "SPREADS": 2, "AGAIN": 4, "ENDS": 8}
#: Which header a SET's offset counts from, and the checksum that its bytes are part of.
LAYERS = ("ETHERNET", "NETWORK", "TRANSPORT")
CHECKSUMS = ("NONE", "IPV4", "IPV4_PSEUDO", "PSEUDO", "TRANSPORT")
#: What a packet comes up for; the ring is chosen by it.
#: What is behind a port: nothing, a device of the kernel, or one that user space serves.
PORT_KINDS = ("NONE", "DEVICE", "USERSPACE", "UPLINK")
#: In the argument of a USERSPACE upcall: send the packet to the port in the other bits.
TO_PORT = 1 << 31
#: The same: run the actions of the number in the other bits.
TO_ACTIONS = 1 << 30
#: Numbers of types of tunnels, as in actions, that the programs know; headers that they may put on.
TUNNELS = {"gre": 3, "vxlan": 4, "geneve": 5}
#: Those whose headers the programs put on: GRE over IPv6 has a number of its own there.
PUSHED_TUNNELS = frozenset({*TUNNELS.values(), 109})
MAX_TEMPLATES, TEMPLATE_BYTES = 16_384, 328
UPCALLS = ("MISS", "SLOW", "USERSPACE", "UNPARSED")
#: Counters of packets, by CPU: hits and what became of the rest. The programs count hits by flow
#: only; what is here are those of flows that are no more, and Python counts them.
COUNTERS = (
    "HITS",
    "UPCALLS",
    "SLOW",
    "LOST",
    "DROP_PORT",
    "DROP_RECIRCULATION",
    "DROP_INVALID",
    "DROP_ACTION",
    "DROP_METER",
    "LOST_MISS",
    "CT_INVALID",
    "CT_FULL",
    "CT_ZONE_FULL",
    "CT_OPENED",
    "CT_FLAGS",
    "CT_SEQUENCE",
    "CT_UNCHECKED",
    "DROP_NSH",
    # And one for each further number of `drop_reasons`.
    "DROP_REASON",
)
#: Numbers of reasons in actions that drop.
N_REASONS = len(PIPELINE_DROPS)
#: Flags of CT: TRANSLATES has a new connection translated as CT_NAT before it says; one that is
#: HELPED only user space commits. And of the configuration: that every connection has an entry,
#: that sequence numbers are looked at.
CT_FLAGS = ("COMMIT", "FORCE", "NAT", "LABEL", "TRANSLATES", "HELPED", "ANEW")
CT_COMPLETE, CT_CHECKS_SEQUENCE = 1, 2
NAT_FLAGS = ("SOURCE", "RANDOM", "PERSISTENT", "HAS_ADDRESS")
#: What Python asks of `nl_track`: see `REQUEST`. REMOVE_WHERE takes those of a zone, or all;
#: SWEEP those that expired.
REQUESTS = ("ADD", "UPDATE", "REMOVE", "REMOVE_WHERE", "SWEEP")
#: Packets that one system call sends, the longest of them, ports that each may go to; and that a
#: packet was not sent, or its connection not added.
PARCELS, PARCEL_BYTES, PARCEL_PORTS = 64, 512, 8
PARCEL_REFUSED = 1 << 31
#: Places that one run of `nl_track` looks at, when it looks at many.
SWEPT_AT_ONCE = 64
#: How long an entry has expired when it is swept: the programs' clock is coarse.
SWEEP_MARGIN_NS = 20_000_000
MAX_ZONES = ALL_ZONES = 0x10000
#: Policies of timeouts; number 0 is the default.
MAX_POLICIES = 256
#: Connections that the programs know at most, and what they are: those that are SLOW are only known
#: to be there.
MAX_CONNECTIONS = 262_144
CONNECTION_KINDS = ("FREE", "SLOW", "TCP", "UDP", "ICMP")
NATS = ("NONE", "SOURCE", "DESTINATION")
#: Limits of a connection's silence, by kind, in the order of their places.
CT_LIMITS = {
    "TCP": (
        "tcp_first_packet",
        "tcp_opening",
        "tcp_established",
        "tcp_closing",
        "tcp_fin_wait",
        "tcp_closed",
    ),
    "UDP": ("udp_first", "udp_single", "udp_multiple"),
    "ICMP": ("icmp_first", "icmp_reply"),
}
#: What packets are hashed by: the connection, or the connection alike in both directions.
HASHES = ("L4", "SYMMETRIC_L4")
#: Meters that the programs know; those of higher numbers are user space's.
MAX_METERS, MAX_BANDS = 4_096, 8
#: The level of a band that drops.
BAND_DROPS = (1 << 64) - 1
#: Switches that the programs run by themselves, ports of one, addresses of all.
MAX_SWITCHES, MAX_MEMBERS, MAX_ADDRESSES = 256, 256, 65_536
SWITCH_FLAGS = ("FORWARDS_BPDUS",)
MEMBER_FLAGS = ("NO_TAGS", "NATIVE_UNTAGGED", "NO_FLOOD", "PROTECTED")
#: Bytes of packet that one record of a ring has room for: short packets, MTUs, GSO.
UPCALL_ROOMS = (256, 2_048, 16_384, 65_664)

OP = {name: number for number, name in enumerate(OPERATIONS)}
LAYER = {name: number for number, name in enumerate(LAYERS)}
CHECKSUM = {name: number for number, name in enumerate(CHECKSUMS)}
UPCALL = {name: number for number, name in enumerate(UPCALLS)}
PORT_KIND = {name: number for number, name in enumerate(PORT_KINDS)}
HASH_KIND = {name: number for number, name in enumerate(HASHES)}
CT_FLAG = {name: 1 << bit for bit, name in enumerate(CT_FLAGS)}
NAT_FLAG = {name: 1 << bit for bit, name in enumerate(NAT_FLAGS)}
REQUEST_KIND = {name: number for number, name in enumerate(REQUESTS)}
CONNECTION_KIND = {name: number for number, name in enumerate(CONNECTION_KINDS)}
COUNTER = {name: number for number, name in enumerate(COUNTERS)}
COUNTER |= {f"DROP_REASON_{n}": COUNTER["DROP_REASON"] + n for n in range(1, N_REASONS)}
SWITCH_FLAG = {name: 1 << bit for bit, name in enumerate(SWITCH_FLAGS)}
MEMBER_FLAG = {name: 1 << bit for bit, name in enumerate(MEMBER_FLAGS)}


_MEMBER_FORMATS = {"s32": "i", "u8": "B", "u16": "H", "u32": "I", "u64": "Q"}


class Structure:
    """A C struct: `text` has a member a line, "type name" or "type name[count]", with no holes."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.members: list[tuple[str, str, int]] = []
        self.offsets: dict[str, int] = {}
        layout = "<"
        size = 0
        for line in text.strip().split("\n"):
            kind, _, member = line.strip().partition(" ")
            label, _, count = member.rstrip("]").partition("[")
            n = int(count or 1)
            self.members.append((kind, label, n if count else 0))
            self.offsets[label] = size
            layout += f"{n}{_MEMBER_FORMATS[kind]}" if count else _MEMBER_FORMATS[kind]
            size = Struct(layout).size
        self.size = size
        self.pack = Struct(layout).pack
        self.unpack_from = Struct(layout).unpack_from

    def c_text(self) -> str:
        lines = [
            f"\t{kind} {label}[{count}];" if count else f"\t{kind} {label};"
            for kind, label, count in self.members
        ]
        check = f'_Static_assert(sizeof(struct nl_{self.name}) == {self.size}, "{self.name}");'
        return f"struct nl_{self.name} {{\n" + "\n".join(lines) + f"\n}};\n{check}\n"


ACTION = Structure("action", "u8 op\nu8 a8\nu16 a16\nu32 a32\nu64 a64")
FLOW = Structure(
    "flow",
    "u64 packets\nu64 bytes\nu64 used_ns\nu32 tcp_flags\nu32 n_actions\nu32 next\nu32 pad\n"
    f"u64 actions[{2 * SLOT_ACTIONS}]\nu64 spare",
)
#: The halves of the key's words that a mask touches, and its bits in them.
MASK = Structure(
    "mask",
    f"u32 size_class\nu32 n_halves\nu64 hits\nu8 index[{2 * N_WORDS + 2}]\nu32 bits[{2 * N_WORDS}]",
)
#: An entry of the cache, in two: what is rarely looked at would only fill lines of the processor's.
CACHED = Structure(
    "cached",
    f"u32 slot\nu32 generation\nu32 rare\nu32 pad\nu64 words[{HOT_WORDS}]\nu64 spare[2]",
)
#: An entry of the cache by first bytes; `ports` and `origin` as in `struct nl_raw`, `decision` see
#: `bpf/decision.h`.
QUICK = Structure(
    "quick",
    "u64 words[4]\nu64 ports\nu64 origin\nu32 generation\nu32 slot\nu64 decision",
)
CACHED_RARE = Structure("cached_rare", f"u64 words[{FIRST_HOT_WORD}]")
CONFIG = Structure(
    "config",
    "u32 generation\nu32 n_masks\nu32 vlan_limit\nu32 wants_rare\nu32 ct_flags\nu32 raw_tcp_flags\n"
    "u64 raw[4]\nu32 raw_ports\nu32 n_policers\n"
    f"u64 wanted[{N_WORDS}]\nu32 order[{MAX_MASKS}]",
)
DEVICE = Structure("device", "u32 ifindex\nu32 port")
#: Where a port sends to. What leaves by the shortcut to the device's other end (`peer_mac` is that
#: end's address as the machine loads it, 0 for no shortcut; `longest` what it takes) is counted
#: here, for the device does not. `most` is what the device itself takes, 0 if that is not known;
#: what is longer is counted, too.
OUTPUT = Structure(
    "output",
    "u32 ifindex\nu32 kind\nu64 peer_mac\nu32 longest\nu32 most\nu64 packets\nu64 bytes\n"
    "u64 too_long\nu64 spare[2]",
)
#: A meter. Buckets hold bits or thousandths of packets; `level` is by how much a band raises the
#: drop precedence, or BAND_DROPS.
METER = Structure(
    "meter",
    "u32 lock\nu32 n_bands\nu32 kbps\nu32 pad\nu64 used_ms\nu64 packets\nu64 bytes\n"
    + "\n".join(
        f"u64 {name}[{MAX_BANDS}]"
        for name in ("rate", "size", "bucket", "level", "band_packets", "band_bytes")
    ),
)
#: What may come in at a port: bits and packets a millisecond, and buckets of both.
POLICER = Structure(
    "policer",
    "u32 lock\nu32 pad\nu64 used_ms\nu64 kbps\nu64 kpps\nu64 max_bits\nu64 max_packets\n"
    "u64 bits\nu64 packets\nu64 dropped",
)
#: The sides of a TCP connection, as in `userspace.conntrack.tcp`.
SIDE = Structure("side", "u32 state\nu32 low\nu32 high\nu32 window\ns32 scale")
#: A tracked connection: its first packet's tuple (src ...), that of answers as they come, and the
#: seconds that it may be silent, by CT_LIMITS. Ports are numbers, addresses as in packets. `serial`
#: is the connection's own; who takes it to 0 removes the connection.
CONNECTION = Structure(
    "connection",
    "u32 lock\nu32 kind\nu32 serial\nu32 pad\nu32 phase\nu32 nat\nu64 expires_ns\nu64 used_ns\n"
    "u64 label[2]\nu32 mark\nu32 limits[8]\nu32 first[5]\nu32 second[5]\n"
    "u32 src[4]\nu32 dst[4]\nu32 sport\nu32 dport\n"
    "u32 reply_src[4]\nu32 reply_dst[4]\nu32 reply_sport\nu32 reply_dport\n"
    "u16 zone\nu8 proto\nu8 family",
)
#: All of them: places that are free are those of `places` from `head` up to `tail`.
TRACKER = Structure(
    "tracker",
    "u64 head\nu64 tail\nu32 serial\nu32 n_connections\nu32 max_connections\nu32 default_limit\n"
    "u32 cursor\nu32 n_swept",
)
ZONE = Structure("zone", "u32 has_limit\nu32 limit\nu32 count\nu32 pad")
#: Limits of silence, by CT_LIMITS; `name` is a number that stands for the policy's name.
POLICY = Structure("policy", "u64 name\nu32 tcp[8]\nu32 udp[8]\nu32 icmp[8]")
#: What a packet to `nl_track` begins with. ADD and UPDATE have a CONNECTION behind it.
REQUEST = Structure("request", "u32 kind\nu32 place\nu32 serial\nu32 zone")
#: Where a tuple's connection is: place << 1, + 1 for the direction of answers.
ENTRY = Structure("entry", "u32 place\nu32 serial")
#: What a connection is found by, in either direction.
TUPLE = Structure(
    "tuple", "u32 src[4]\nu32 dst[4]\nu32 sport\nu32 dport\nu16 zone\nu8 proto\nu8 family"
)
#: A switch that the programs run by themselves: `learned` less `removed` is how many addresses it
#: has. Only the programs write `learned`, `moved` and `refused`, only Python the rest; `version`
#: grows with what Python changes.
SWITCH = Structure(
    "switch",
    "u64 name\nu32 flags\nu32 n_ports\nu64 max_entries\nu64 learned\nu64 moved\nu64 refused\n"
    f"u64 removed\nu64 version\nu32 ports[{MAX_MEMBERS}]",
)
#: A port of a switch; bits of `admits` and `carries` by VLAN.
MEMBER = Structure("member", "u32 vlan\nu32 flags\nu64 admits[64]\nu64 carries[64]")
#: What an address is found by, and what is known of it.
PLACE = Structure("place", "u32 switch_no\nu16 vlan\nu8 mac[6]")
ADDRESS = Structure("address", "u32 port\nu32 is_static\nu64 used_ns")
#: What a CPU remembers of an address, as long as the switch's `version` is the same.
RECENT = Structure("recent", "u64 place\nu32 switch_no\nu32 port\nu64 version\nu64 used_ns")
#: Headers of a tunnel, Ethernet's first; `*_port` is the range of UDP source ports.
TEMPLATE = Structure(
    "template",
    "u16 length\nu16 low_port\nu16 high_port\nu8 is_ipv6\nu8 is_udp\nu64 has_checksum\n"
    f"u64 header[{TEMPLATE_BYTES // 8}]",
)
#: Where a tunnel listens: address (IPv4 mapped), UDP port as in packets (0: all), protocol.
END = Structure("end", "u32 address[4]\nu16 port\nu16 proto")
#: A packet that user space sends to some ports, and the connection that it opens, if it does.
#: `failed` are the ports (by bits) that did not get it, or PARCEL_REFUSED. `next`, `count` and
#: `n_failed` are of all; those of the first count.
PARCEL = Structure(
    "parcel",
    f"u32 next\nu32 n_failed\nu32 failed\nu32 n_ports\nu32 ports[{PARCEL_PORTS}]\nu32 zone\n"
    f"u32 opens\nu32 count\nu32 length\nu64 connection[{CONNECTION.size // 8}]\n"
    f"u64 data[{PARCEL_BYTES // 8}]",
)
SHARE = Structure("share", "u64 produced[3]\nu64 consumed[3]\nu64 lost\nu64 limit")
UPCALL_RECORD = Structure(
    "upcall",
    "u32 kind\nu32 port\nu32 length\nu32 captured\nu32 argument\nu32 gso_size\n"
    "u32 vlan\nu32 room\n"
    f"u64 key[{N_WORDS}]",
)
#: Halves of words of a masked key that its hash has room for, beside the number of the mask.
SIZE_CLASSES = (3, 7, 15, 31, 63, 2 * N_WORDS)
STRUCTURES = (
    ACTION, FLOW, MASK, QUICK, CACHED, CACHED_RARE, CONFIG, DEVICE, OUTPUT, METER, SIDE, CONNECTION,
    TUPLE, TRACKER, ZONE, POLICY, REQUEST, ENTRY, SHARE, TEMPLATE, UPCALL_RECORD, SWITCH, MEMBER,
    PLACE, ADDRESS, RECENT, PARCEL, END, POLICER,
)  # fmt: skip


class MapSpec(NamedTuple):
    """A map: its name in C and on the pin, type, sizes and flags."""

    name: str
    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int = 0


#: Rings, by what they are for: misses, actions that bring packets up, and the slow path. They are
#: drained in the order USERSPACE, SLOW, MISS.
RINGS = ("ring_miss", "ring_slow", "ring_userspace")
RING_BYTES = 4 * 1024 * 1024
#: Bytes of one ring that one port may fill.
PORT_SHARE_BYTES = RING_BYTES // 4
#: A variable of a map's name and this is the map's only value, reached without a lookup.
VALUE_SUFFIX = "_now"
PROGRAMS = (
    "nl_ingress", "nl_recirculate", "nl_parse_only", "nl_track", "nl_found", "nl_deliver",
    "nl_uplink",
)  # fmt: skip
#: Where programs find one another: those, and the lookup that is made for the masks in use.
LOOKUP_PROGRAM = len(PROGRAMS)
#: Where in the scratch map are a masked key, and the slot of the flow that was found.
MASKED_AT = KERNEL_KEY_BYTES
SLOT_AT = MASKED_AT + 4 * (2 * N_WORDS + 2)

MAPS = (
    MapSpec("config", ARRAY, 4, CONFIG.size, 1, MMAPABLE),
    MapSpec("devices", ARRAY, 4, DEVICE.size, DEVICE_SLOTS, MMAPABLE),
    MapSpec("more_devices", HASH, 4, 4, MAX_PORTS, NO_PREALLOC),
    MapSpec("outputs", ARRAY, 4, OUTPUT.size, MAX_PORTS, MMAPABLE),
    MapSpec("shares", ARRAY, 4, SHARE.size, MAX_PORTS, MMAPABLE),
    MapSpec("policers", ARRAY, 4, POLICER.size, MAX_PORTS, MMAPABLE),
    MapSpec("meters", ARRAY, 4, METER.size, MAX_METERS, MMAPABLE),
    MapSpec("templates", ARRAY, 4, TEMPLATE.size, MAX_TEMPLATES, MMAPABLE),
    MapSpec("tuples", HASH, TUPLE.size, ENTRY.size, 2 * MAX_CONNECTIONS, NO_PREALLOC),
    MapSpec("connections", ARRAY, 4, CONNECTION.size, MAX_CONNECTIONS, MMAPABLE),
    MapSpec("places", ARRAY, 4, 8, MAX_CONNECTIONS, MMAPABLE),
    MapSpec("tracker", ARRAY, 4, TRACKER.size, 1, MMAPABLE),
    MapSpec("zones", ARRAY, 4, ZONE.size, MAX_ZONES, MMAPABLE),
    MapSpec("policies", ARRAY, 4, POLICY.size, MAX_POLICIES, MMAPABLE),
    MapSpec("flows", ARRAY, 4, FLOW.size, MAX_SLOTS, MMAPABLE),
    MapSpec("masks", ARRAY, 4, MASK.size, MAX_MASKS, MMAPABLE),
    *(
        MapSpec(f"keys_{number}", HASH, 4 * (room + 1), 4, MAX_SLOTS, NO_PREALLOC)
        for number, room in enumerate(SIZE_CLASSES)
    ),
    MapSpec("outbox", ARRAY, 4, PARCEL.size, PARCELS, MMAPABLE),
    MapSpec("switches", ARRAY, 4, SWITCH.size, MAX_SWITCHES, MMAPABLE),
    MapSpec("members", ARRAY, 4, MEMBER.size, MAX_PORTS, MMAPABLE),
    MapSpec("addresses", HASH, PLACE.size, ADDRESS.size, MAX_ADDRESSES, NO_PREALLOC),
    MapSpec("quick", PERCPU_ARRAY, 4, QUICK.size, QUICK_ENTRIES),
    MapSpec("cache", PERCPU_ARRAY, 4, CACHED.size, CACHE_ENTRIES),
    MapSpec("cache_rare", PERCPU_ARRAY, 4, CACHED_RARE.size, RARE_ENTRIES),
    MapSpec("recent", PERCPU_ARRAY, 4, RECENT.size, RECENT_ENTRIES),
    MapSpec("scratch", PERCPU_ARRAY, 4, 3_072, 1),
    MapSpec("counters", ARRAY, 4, 8, COUNTER_STRIDE * MAX_CPUS, MMAPABLE),
    MapSpec("ends", HASH, END.size, 4, MAX_ENDS, NO_PREALLOC),
    MapSpec("programs", PROG_ARRAY, 4, 4, LOOKUP_PROGRAM + 1),
    *(MapSpec(name, RINGBUF, 0, 0, RING_BYTES) for name in RINGS),
)


def _key_struct() -> str:
    types = {1: "u8", 2: "be16", 4: "be32", 8: "be64"}
    lines = [
        f"\t{types[slot.n_bytes]} {slot.name};"
        if slot.n_bytes in types
        else f"\tu8 {slot.name}[{slot.n_bytes}];"
        for slot in MEMBERS
    ]
    return "struct nl_key {\n" + "\n".join(lines) + "\n} __attribute__((packed, aligned(8)));\n"


def _constants() -> dict[str, object]:
    """What C calls NL_... -> its value."""
    return {
        "KEY_WORDS": N_WORDS,
        "FIRST_HOT": FIRST_HOT_WORD,
        "OPTION_WORDS": OPTION_WORDS,
        "MAX_SLOTS": MAX_SLOTS,
        "MAX_MASKS": MAX_MASKS,
        "MAX_PORTS": MAX_PORTS,
        "DEVICE_SLOTS": DEVICE_SLOTS,
        "QUICK_ENTRIES": QUICK_ENTRIES,
        "CACHE_ENTRIES": CACHE_ENTRIES,
        "RARE_ENTRIES": RARE_ENTRIES,
        "RECENT_ENTRIES": RECENT_ENTRIES,
        "SLOT_ACTIONS": SLOT_ACTIONS,
        "MAX_CHAIN": MAX_CHAIN,
        "MAX_METERS": MAX_METERS,
        "MAX_BANDS": MAX_BANDS,
        "BAND_DROPS": f"{BAND_DROPS:#x}ull",
        **{f"CT_{name}": 1 << bit for bit, name in enumerate(CT_FLAGS)},
        **{f"SWITCH_{name}": flag for name, flag in SWITCH_FLAG.items()},
        **{f"MEMBER_{name}": flag for name, flag in MEMBER_FLAG.items()},
        "MAX_MEMBERS": MAX_MEMBERS,
        **{f"PUSH_{name}": flag for name, flag in PUSH_FLAG.items()},
        **{f"NAT_IS_{name}": 1 << bit for bit, name in enumerate(NAT_FLAGS)},
        "MAX_CONNECTIONS": MAX_CONNECTIONS,
        "SWEPT_AT_ONCE": SWEPT_AT_ONCE,
        "SWEEP_MARGIN_NS": f"{SWEEP_MARGIN_NS}ull",
        "ALL_ZONES": ALL_ZONES,
        "CT_COMPLETE": CT_COMPLETE,
        "PARCEL_PORTS": PARCEL_PORTS,
        "PARCEL_REFUSED": f"{PARCEL_REFUSED:#x}",
        "CT_CHECKS_SEQUENCE": CT_CHECKS_SEQUENCE,
        **{
            f"LIMIT_{name.upper()}": at
            for names in CT_LIMITS.values()
            for at, name in enumerate(names)
        },
        "TO_PORT": f"{TO_PORT:#x}",
        "TO_ACTIONS": f"{TO_ACTIONS:#x}",
        "TEMPLATE_BYTES": TEMPLATE_BYTES,
        **{f"TUNNEL_{name.upper()}": number for name, number in TUNNELS.items()},
        "TUNNEL_IS_OAM": 1,
        "TUNNEL_HAS_CHECKSUM": 4,
        "TUNNEL_HAS_KEY": 8,
        "COUNTER_STRIDE": COUNTER_STRIDE,
        "N_REASONS": N_REASONS,
        "MAX_RECIRCULATIONS": MAX_RECIRCULATIONS,
        "PROGRAM_INGRESS": PROGRAMS.index("nl_ingress"),
        "PROGRAM_RECIRCULATE": PROGRAMS.index("nl_recirculate"),
        "PROGRAM_LOOKUP": LOOKUP_PROGRAM,
        "MASKED_AT": MASKED_AT,
        "SLOT_AT": SLOT_AT,
        **{f"ROOM_{n}": room for n, room in enumerate(UPCALL_ROOMS)},
        "SCRATCH_BYTES": next(spec.value_size for spec in MAPS if spec.name == "scratch"),
    }


def c_header() -> str:
    """The header `generated.h`."""
    names = (
        ("OP", OPERATIONS),
        ("LAYER", LAYERS),
        ("SUM", CHECKSUMS),
        ("UPCALL", UPCALLS),
        ("COUNT", COUNTERS),
        ("PORT", PORT_KINDS),
        ("HASH", HASHES),
        ("CONNECTION", CONNECTION_KINDS),
        ("REQUEST", REQUESTS),
        ("NAT", NATS),
    )
    enums = [
        f"enum {{ {', '.join(f'NL_{prefix}_{name}' for name in words)} }};"
        for prefix, words in names
    ]
    return "\n".join(
        [
            "/* Generated from the field table and datapath/ebpf/spec.py. */",
            *(f"#define NL_{name} {value}" for name, value in _constants().items()),
            *enums,
            _key_struct(),
            f'_Static_assert(sizeof(struct nl_key) == {KERNEL_KEY_BYTES}, "key");',
            *(structure.c_text() for structure in STRUCTURES),
            *(f'struct nl_map {spec.name} SEC("maps");' for spec in MAPS),
            f'struct nl_config config{VALUE_SUFFIX} SEC("values");',
            "",
        ]
    )


def c_offset_checks() -> str:
    """Assertions that every member of the key lies where Python thinks."""
    from netloom.datapath.ebpf.layout import member_offset

    return "\n".join(
        f"_Static_assert(__builtin_offsetof(struct nl_key, {slot.name}) == {member_offset(slot)}, "
        f'"{slot.name}");'
        for slot in MEMBERS
    )
