"""The Link Aggregation Control Protocol (IEEE 802.1AX, clause 6.4): one aggregator, as a machine.

Both ends of a link say who they are (system, key, port), what they know of the other, and in which
state they are. Links whose partner is one and the same system, with one key, may be used together:
these are *attached*. A link is used when it is attached and the partner says that it is in sync.

A member is `current` while it hears from its partner, `expired` for three seconds after it does
not, and `defaulted` then: there is no partner. As in Open vSwitch a link whose state is not known
yet collects and distributes until any negotiation has succeeded.

Nothing here sends or looks at a clock: `receive` takes what follows the Ethernet header, `run` lets
timers end, `packets` are PDUs to be sent. All times are ms.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct

from netloom.base.log import get_logger
from netloom.base.record import Record

log = get_logger("lacp")

CURRENT, EXPIRED, DEFAULTED = "current", "expired", "defaulted"
OFF, CONFIGURED, NEGOTIATED = "off", "configured", "negotiated"
FAST_MS, SLOW_MS = 1_000, 30_000
#: So many PDUs may be lost before their sender is held to be gone.
_LOSSES = 3

ACTIVITY, TIMEOUT, AGGREGATION, SYNC = 0x01, 0x02, 0x04, 0x08
COLLECTING, DISTRIBUTING, DEFAULTED_BIT, EXPIRED_BIT = 0x10, 0x20, 0x40, 0x80
_STATE_WORDS = ("activity", "timeout", "aggregation", "synchronized", "collecting",
                "distributing", "defaulted", "expired")  # fmt: skip
#: What has the partner told at once when it changes.
_TOLD = ACTIVITY | TIMEOUT | AGGREGATION | SYNC

_LACP, _MARKER = 1, 2
_MARKER_REQUEST, _MARKER_RESPONSE = 1, 2
_MARKER_AT = 2
_INFO = Struct("!H6sHHHB")
_PDU = Struct("!BB BB15s3x BB15s3x BBH 64x")
_INFO_LEN, _COLLECTOR_LEN = 20, 16


class LacpSettings(Record):
    """Port.lacp and the `lacp-*` keys. `system_id` 0: the bridge's own address."""

    active: bool = True
    fast: bool = False
    system_id: int = 0
    priority: int = 65_535
    fallback_ab: bool = False


class MemberSettings(Record):
    """The `lacp-*` keys of an interface; `key` 0: that of the aggregator."""

    port_id: int
    priority: int = 65_535
    key: int = 0


class Info(Record):
    """What a system says of itself, or of its partner, on a link."""

    sys_priority: int = 0
    sys_id: int = 0
    key: int = 0
    port_priority: int = 0
    port_id: int = 0
    state: int = 0

    def pack(self) -> bytes:
        return _INFO.pack(self.sys_priority, self.sys_id.to_bytes(6, "big"), self.key,
                          self.port_priority, self.port_id, self.state)  # fmt: skip

    @property
    def identity(self) -> tuple[int, ...]:
        """What has the partner told at once when it changes."""
        return (self.sys_priority, self.sys_id, self.key, self.port_priority, self.port_id,
                self.state & _TOLD)  # fmt: skip

    @property
    def rank(self) -> tuple[int, ...]:
        """Less is better."""
        return self.sys_priority, self.sys_id, self.port_priority, self.port_id


def unpack_info(data: bytes) -> Info:
    sys_priority, sys_id, key, port_priority, port_id, state = _INFO.unpack(data)
    return Info(sys_priority, int.from_bytes(sys_id, "big"), key, port_priority, port_id, state)


def state_text(state: int) -> str:
    """The words of a state, each after a space."""
    return "".join(f" {word}" for bit, word in enumerate(_STATE_WORDS) if state >> bit & 1)


class LacpMember:
    """One link."""

    def __init__(self, name: str, settings: MemberSettings) -> None:
        self.name = name
        self.settings = settings
        self.status = DEFAULTED
        self.attached = False
        self.carrier: bool | None = None
        self.partner = Info()
        #: What the partner knows of this end.
        self.known = Info()
        self.receive_due_ms: int | None = None
        self.send_due_ms = 0
        self.n_sent = self.n_received = self.n_bad = self.n_markers = 0
        self.n_expired = self.n_defaulted = self.n_carrier = 0


class Lacp:
    """The aggregator of the port called `name`."""

    def __init__(self, name: str, settings: LacpSettings) -> None:
        self.name = name
        self.settings = settings
        self.members: dict[str, LacpMember] = {}
        self.negotiated = False
        #: Grows with whatever others can see of it.
        self.changes = 0
        #: PDUs to be sent: member and payload.
        self.packets: list[tuple[str, bytes]] = []
        self._must_attach = True
        self._key_member: LacpMember | None = None

    # -- configuration -------------------------------------------------------------------

    def configure(
        self, settings: LacpSettings, members: Mapping[str, MemberSettings], now_ms: int
    ) -> None:
        """Set what is wished, and the members, the first of which lends its key."""
        self._must_attach |= settings != self.settings
        self.settings = settings
        for name in [name for name in self.members if name not in members]:
            gone = self.members.pop(name)
            self._must_attach = True
            if gone is self._key_member:
                self._key_member = next(iter(self.members.values()), None)
        for name, wished in members.items():
            member = self.members.get(name)
            if member is not None and member.settings == wished:
                continue
            if member is None:
                member = self.members[name] = LacpMember(name, wished)
                self._key_member = self._key_member or member
            member.settings = wished
            self._must_attach = True
            if settings.active or self.negotiated:
                self._expire(member, now_ms)

    def set_carrier(self, name: str, up: bool, now_ms: int) -> None:
        """A link went, or came."""
        member = self.members[name]
        if member.carrier == up:
            return
        is_new = member.carrier is None
        member.carrier = up
        if is_new:
            return
        member.n_carrier += 1
        if member.status == CURRENT or self.settings.active:
            self._expire(member, now_ms)

    # -- what is -------------------------------------------------------------------------

    @property
    def status(self) -> str:
        return NEGOTIATED if self.negotiated else CONFIGURED

    @property
    def key(self) -> int:
        """The aggregation key."""
        first = self._key_member
        return 0 if first is None else first.settings.key or first.settings.port_id

    def may_enable(self, name: str) -> bool:
        """May packets use a link?"""
        member = self.members.get(name)
        if member is None or not member.attached:
            return False
        falls_back = self.settings.fallback_ab and member.status == DEFAULTED
        return bool(member.partner.state & SYNC) or falls_back

    def is_current(self, name: str) -> bool:
        """Interface.lacp_current."""
        member = self.members.get(name)
        return member is not None and member.status != DEFAULTED

    def actor(self, member: LacpMember) -> Info:
        """What this end says on a link."""
        bits = (
            (ACTIVITY, self.settings.active),
            (TIMEOUT, self.settings.fast),
            (AGGREGATION, len(self.members) > 1),
            (SYNC, member.attached),
            (COLLECTING | DISTRIBUTING, member.attached or not self.negotiated),
            (DEFAULTED_BIT, member.status == DEFAULTED),
            (EXPIRED_BIT, member.status == EXPIRED),
        )
        state = sum(bit for bit, is_set in bits if is_set)
        return Info(self.settings.priority, self.settings.system_id, self.key,
                    member.settings.priority, member.settings.port_id, state)  # fmt: skip

    # -- packets -------------------------------------------------------------------------

    def receive(self, name: str, data: bytes, now_ms: int) -> None:
        """A PDU of the slow protocols came in."""
        member = self.members.get(name)
        if member is None:
            return
        member.n_received += 1
        if data[:1] == bytes((_MARKER,)) and data[_MARKER_AT:][:1] == bytes((_MARKER_REQUEST,)):
            member.n_markers += 1
            answer = bytes((_MARKER_RESPONSE,))
            self.packets.append((name, data[:_MARKER_AT] + answer + data[_MARKER_AT + 1 :]))
            return
        found = _parse(data)
        if found is None:
            member.n_bad += 1
            log.warn_rl("%s: received an unparsable LACP PDU.", self.name)
            return
        actor, partner = found
        self.changes += member.status != CURRENT
        member.status = CURRENT
        member.receive_due_ms = now_ms + _LOSSES * (FAST_MS if self.settings.fast else SLOW_MS)
        member.known = partner
        if member.partner != actor:
            self._must_attach = True
            member.partner = actor

    def run(self, now_ms: int) -> None:
        """Let timers end, choose what is attached, send what is due."""
        for member in self.members.values():
            due = member.receive_due_ms
            if due is not None and due <= now_ms:
                if member.status == CURRENT:
                    member.n_expired += 1
                    self._expire(member, now_ms)
                elif member.status == EXPIRED:
                    member.n_defaulted += 1
                    self._default(member)
        if self._must_attach:
            self._attach()
        for member in self.members.values():
            if self._may_send(member):
                self._send_if_due(member, now_ms)

    def deadline(self) -> int | None:
        if self._must_attach or self.packets:
            return 0
        due = [member.receive_due_ms for member in self.members.values()]
        due += [m.send_due_ms for m in self.members.values() if self._may_send(m)]
        return min((at for at in due if at is not None), default=None)

    def _may_send(self, member: LacpMember) -> bool:
        return bool(member.carrier) and (self.settings.active or member.status != DEFAULTED)

    def _send_if_due(self, member: LacpMember, now_ms: int) -> None:
        actor = self.actor(member)
        if member.send_due_ms > now_ms and actor.identity == member.known.identity:
            return
        member.known = actor
        self.packets.append((member.name, _PDU.pack(
            _LACP, 1, 1, _INFO_LEN, actor.pack(), 2, _INFO_LEN, member.partner.pack(),
            3, _COLLECTOR_LEN, 0)))  # fmt: skip
        member.n_sent += 1
        member.send_due_ms = now_ms + (FAST_MS if member.partner.state & TIMEOUT else SLOW_MS)

    # -- states --------------------------------------------------------------------------

    def _expire(self, member: LacpMember, now_ms: int) -> None:
        self.changes += 1
        self._must_attach = True
        member.status = EXPIRED
        told = member.partner
        member.partner = Info(told.sys_priority, told.sys_id, told.key, told.port_priority,
                              told.port_id, (told.state | TIMEOUT) & ~SYNC)  # fmt: skip
        member.receive_due_ms = now_ms + _LOSSES * FAST_MS

    def _default(self, member: LacpMember) -> None:
        self.changes += 1
        self._must_attach = True
        member.status = DEFAULTED
        member.partner = Info()
        member.receive_due_ms = None

    def _attach(self) -> None:
        """Choose the best link; those with the same partner are attached with it."""
        self._must_attach = False
        self.changes += 1
        falls_back = self.settings.fallback_ab
        candidates = []
        for member in self.members.values():
            member.attached = False
            if member.partner.sys_id == self.settings.system_id:
                log.warn_rl("member %s: Loopback detected. Member is connected to its own bond",
                            member.name)  # fmt: skip
            elif member.status == DEFAULTED:
                member.attached = falls_back
            else:
                member.attached = True
                candidates.append(member)
        self.negotiated = bool(candidates)
        if not candidates:
            return
        lead = min(candidates, key=lambda m: (not self.may_enable(m.name), self._rank(m))).partner
        for member in self.members.values():
            partner = member.partner
            if (falls_back and member.status == DEFAULTED) or (
                (partner.key, partner.sys_id) != (lead.key, lead.sys_id)
            ):
                member.attached = False

    def _rank(self, member: LacpMember) -> tuple[int, ...]:
        """The end with the better system decides which link is better."""
        actor, partner = self.actor(member), member.partner
        return min(actor, partner, key=lambda info: info.rank[:2]).rank


def _parse(data: bytes) -> tuple[Info, Info] | None:
    """Actor and partner of a PDU."""
    if len(data) < _PDU.size:
        return None
    subtype, _, kind, length, actor, kind2, length2, partner, *_ = _PDU.unpack_from(data)
    if (subtype, kind, length, kind2, length2) != (_LACP, 1, _INFO_LEN, 2, _INFO_LEN):
        return None
    return unpack_info(actor), unpack_info(partner)
