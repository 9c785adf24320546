"""RSTP's values (IEEE 802.1D-2004, clauses 9 and 17.6): BPDUs, priority vectors, times, settings.

Times are whole seconds, as the protocol counts them; on the wire they are in 1/256 s.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from netloom.base.record import Record

ROOT, DESIGNATED, ALTERNATE, BACKUP, DISABLED_ROLE = (
    "Root", "Designated", "Alternate", "Backup", "Disabled",
)  # fmt: skip
DISABLED, DISCARDING, LEARNING, FORWARDING = "Disabled", "Discarding", "Learning", "Forwarding"
#: States in which packets pass, and in which their sources are learned. A port that takes no part
#: is as good as one that forwards.
FORWARDS = frozenset({DISABLED, FORWARDING})
LEARNS = frozenset({DISABLED, LEARNING, FORWARDING})

MAX_PORTS = 4_095
HELLO_S = 2
MIGRATE_S = 3
PRIORITY_STEP, MAX_PRIORITY = 4_096, 61_440
PORT_PRIORITY_STEP, MAX_PORT_PRIORITY = 16, 240
MAX_PATH_COST = 200_000_000
MAX_AGES, FORWARD_DELAYS, HOLD_COUNTS = (6, 40), (4, 30), (1, 10)
_ADDRESS = 0xFFFF_FFFF_FFFF
_ONES32 = 0xFFFF_FFFF

CONFIG_KIND, RST_KIND, TCN_KIND = 0x00, 0x02, 0x80
TOPOLOGY_CHANGE, PROPOSAL, LEARNING_FLAG, FORWARDING_FLAG, AGREEMENT, CHANGE_ACK = (
    0x01, 0x02, 0x10, 0x20, 0x40, 0x80,
)  # fmt: skip
_ROLE_SHIFT = 2
#: A port's role in the flags of a BPDU; 0 is none.
ROLE_CODES = {ALTERNATE: 1, BACKUP: 1, ROOT: 2, DESIGNATED: 3}
ALTERNATE_CODE, ROOT_CODE, DESIGNATED_CODE = 1, 2, 3

_BPDU = Struct("!HBBBQIQHHHHHB")
_CONFIG_SIZE, _TCN_SIZE = _BPDU.size - 1, 4
_NOTHING = bytes(_BPDU.size)
#: Mbps from which on, and what a way of that speed costs (table 17-3).
_COSTS = ((10_000_000, 2), (1_000_000, 20), (100_000, 200), (10_000, 2_000), (1_000, 20_000),
          (100, 200_000), (10, 2_000_000), (1, 20_000_000))  # fmt: skip
_DEFAULT_COST = 200_000


class RstpSettings(Record):
    """A bridge's; `address` 0: the bridge's own, which the caller puts in. `force_version` 0 has
    it speak STP only, 2 RSTP."""

    address: int = 0
    priority: int = 32_768
    force_version: int = 2
    max_age_s: int = 20
    forward_delay_s: int = 15
    hold_count: int = 6

    @property
    def bridge_id(self) -> int:
        """Priority and address, as RSTP compares them."""
        return self.priority << 48 | self.address


class RstpPortSettings(Record):
    """A port's; `number` 0: any that is free, `cost` 0: that of its speed."""

    number: int = 0
    priority: int = 128
    cost: int = 0
    admin_edge: bool = False
    auto_edge: bool = True
    #: Send RST BPDUs for a while, to see whether all STP bridges have gone.
    mcheck: bool = False
    is_enabled: bool = True
    point_to_point: bool = True


class Times(NamedTuple):
    """What a root has all bridges use, and how old it is (17.19.15, 17.19.22)."""

    forward_delay: int = 0
    hello: int = 0
    max_age: int = 0
    message_age: int = 0


class Vector(NamedTuple):
    """A priority vector (17.6): smaller is better."""

    root: int = 0
    cost: int = 0
    bridge: int = 0
    port: int = 0
    #: Of the port that got it; decides between ways that are equal otherwise.
    receiver: int = 0


def is_same(one: Vector, other: Vector) -> bool:
    """Are they the same, and got by the same port?"""
    return one == other


def is_superior(one: Vector, other: Vector) -> bool:
    """Does `one` replace `other`? It does if it is better or from the same sender. The same
    vector is no replacement."""
    if one[:4] == other[:4]:
        return one.receiver < other.receiver
    return one < other or (one.bridge, one.port) == (other.bridge, other.port)


def is_inferior(one: Vector, other: Vector) -> bool:
    """Is `one` neither the same nor a replacement?"""
    return not is_same(one, other) and not is_superior(one, other)


def is_own(vector: Vector, bridge_id: int) -> bool:
    """Did a bridge of our address say so?"""
    return vector.bridge & _ADDRESS == bridge_id & _ADDRESS


class Bpdu(NamedTuple):
    """A BPDU of any kind; one that tells of a topology change has nothing but its kind."""

    kind: int
    flags: int = 0
    vector: Vector = Vector()
    times: Times = Times()

    @property
    def role_code(self) -> int:
        """The sender's port's role: who sends configuration BPDUs is designated."""
        return DESIGNATED_CODE if self.kind == CONFIG_KIND else self.flags >> _ROLE_SHIFT & 3

    def encode(self) -> bytes:
        """The payload behind LLC. All kinds are as long as the longest."""
        if self.kind == TCN_KIND:
            return bytes((0, 0, 0, TCN_KIND)) + _NOTHING[_TCN_SIZE:]
        version = 2 if self.kind == RST_KIND else 0
        times = self.times
        ages = (times.message_age, times.max_age, times.hello, times.forward_delay)
        ticks = ((seconds & 0xFF) << 8 for seconds in ages)
        return _BPDU.pack(
            0, version, self.kind, self.flags, self.vector.root, self.vector.cost & _ONES32,
            self.vector.bridge, self.vector.port, *ticks, 0)  # fmt: skip


def decode_bpdu(data: bytes) -> Bpdu | None:
    """A BPDU from the payload behind LLC; None if it is not valid (9.3.4)."""
    if len(data) < _TCN_SIZE or data[:2] != b"\0\0":
        return None
    kind = data[3]
    if kind == TCN_KIND:
        return Bpdu(kind)
    flags = data[4] if len(data) > _TCN_SIZE else 0
    if kind == RST_KIND and not flags >> _ROLE_SHIFT & 3:
        # Of an unknown role: it is as good as a configuration BPDU (9.2.9).
        kind = CONFIG_KIND
    least = {CONFIG_KIND: _CONFIG_SIZE, RST_KIND: _BPDU.size}.get(kind)
    if least is None or len(data) < least:
        return None
    (_, _, _, flags, root, cost, bridge, port, age, max_age, hello, delay,
     _) = _BPDU.unpack(data[: _BPDU.size].ljust(_BPDU.size, b"\0"))  # fmt: skip
    times = Times(delay >> 8, hello >> 8, max_age >> 8, age >> 8)
    if kind == CONFIG_KIND and times.message_age >= times.max_age:
        return None
    return Bpdu(kind, flags, Vector(root, cost, bridge, port), times)


def role_flags(role: str) -> int:
    """A port's role as BPDUs say it."""
    return ROLE_CODES.get(role, 0) << _ROLE_SHIFT


def path_cost(mbps: int) -> int:
    """What a link of that speed costs by default."""
    return next((cost for least, cost in _COSTS if mbps >= least), _DEFAULT_COST)


def format_bridge_id(number: int) -> str:
    """Priority, locally assigned extension and address, as the database has them."""
    return f"{number >> 60:x}.{number >> 48 & 0xFFF:03x}.{number & _ADDRESS:012x}"
