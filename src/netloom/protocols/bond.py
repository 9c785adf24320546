"""Bonds: several links that carry the packets of one port (ovs-vswitchd.conf.db(5), Port table).

`balance-tcp` spreads connections, needs LACP, and is carried out by the data path: each bucket
of its hash is a rule (`rules_wanted`).

`active-backup` uses one member, the *active* one, and another when that fails. `balance-slb`
spreads source addresses (with their VLAN) over all members by hash, and moves buckets of the hash
from loaded members to others now and then; the network behind need not know of it, so packets that
come back on another member are dropped (`admits`).

A member whose link comes up, or goes down, is enabled, or disabled, after a delay. What must hold:
as long as any member is enabled, one of these is active. `changes` grows with whatever the
forwarding of packets depends on. All times are ms.
"""

from __future__ import annotations

from collections.abc import Mapping

from netloom.base.log import get_logger
from netloom.base.record import Record
from netloom.flow.hashes import add_word, finish
from netloom.protocols.rebalancing import moves

log = get_logger("bond")

BUCKETS = 256
_WORD = 0xFFFFFFFF
ACCEPT, DROP, DROP_IF_MOVED = "accept", "drop", "drop if moved"
_GROUP_BIT = 1 << 40


class Hint:
    """A value that says something, and makes no two records differ."""

    __slots__ = ("value",)

    def __init__(self, value: str) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hint)

    def __hash__(self) -> int:
        return 0


class BondSettings(Record):
    """The columns of a Port row. `mode` is "active-backup", "balance-slb" or "balance-tcp"."""

    mode: str = "active-backup"
    updelay_ms: int = 0
    downdelay_ms: int = 0
    hash_basis: int = 0
    #: 0: never.
    rebalance_ms: int = 10_000
    #: Of `active-backup`, and of what falls back to it.
    primary: str = ""
    all_members_active: bool = False
    #: Have the data path choose members of `balance-tcp` by itself, where it can.
    lb_output: bool = False
    #: Without a partner that speaks LACP, be as `active-backup`.
    fallback_ab: bool = False
    #: The address of the member that was active in the daemon before; "" for none.
    last_active: Hint = Hint("")


def hash_source(mac: int, vlan: int, basis: int) -> int:
    """The hash by which `balance-slb` chooses, of which the low byte is the bucket."""
    return finish(add_word(add_word(basis, mac & _WORD), vlan << 16 | mac >> 32), 8)


class Member:
    """One link. `delay_due_ms` is when it will be enabled or disabled, if nothing changes."""

    __slots__ = ("delay_due_ms", "enabled", "mac", "may_enable", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.mac = ""
        self.may_enable = False
        self.enabled = False
        self.delay_due_ms: int | None = None


class Bucket:
    """A share of the packets, and the member that it goes to."""

    __slots__ = ("member", "n_bytes")

    def __init__(self) -> None:
        self.member: Member | None = None
        self.n_bytes = 0

    def credit(self, n_packets: int, n_bytes: int, used_ms: int) -> None:
        self.n_bytes += n_bytes


class Bond:
    """The state of one bond."""

    def __init__(self, name: str, settings: BondSettings, now_ms: int) -> None:
        self.name = name
        self.settings = settings
        self.members: dict[str, Member] = {}
        self.active: Member | None = None
        #: Who becomes active first, if that member is there.
        self._last_active = settings.last_active.value
        self.changes = 0
        self.lacp_status = "off"
        #: Other switches have to be told where addresses are now.
        self.should_announce = False
        self.next_rebalance_ms = now_ms + settings.rebalance_ms
        #: What new settings make overdue is done with the next look at loads.
        self._configured_ms = now_ms
        self._buckets: list[Bucket] = []
        self._turn: list[Member] = []
        self._knows_no_member = False

    @property
    def is_balanced(self) -> bool:
        return self.settings.mode != "active-backup" and not self.falls_back

    @property
    def falls_back(self) -> bool:
        """Is it as `active-backup` for want of a partner?"""
        return self.lacp_status == "configured" and self.settings.fallback_ab

    def set_lacp_status(self, status: str) -> None:
        """ "off", "configured" or "negotiated"."""
        if status != self.lacp_status:
            self.lacp_status = status
            self.changes += 1

    @property
    def _mode(self) -> str:
        """How packets are sent now; "" for not at all."""
        if self.lacp_status == "configured":
            return "active-backup" if self.settings.fallback_ab else ""
        if self.settings.mode == "balance-tcp" and self.lacp_status == "off":
            return ""
        return self.settings.mode

    @property
    def recirculates(self) -> bool:
        """Does the data path choose members?"""
        return self._mode == "balance-tcp"

    def configure(
        self, settings: BondSettings, links: Mapping[str, tuple[bool, str]], now_ms: int
    ) -> None:
        """Set what is wished, and the members: whether each one's link is up, and its address."""
        if settings != self.settings:
            if settings.mode != self.settings.mode:
                self._buckets = []
            self._set_rebalancing(settings, now_ms)
            self._configured_ms = now_ms
            self.settings = settings
            self.changes += 1
        for name in [name for name in self.members if name not in links]:
            self._remove(name)
        for name, (up, mac) in links.items():
            if name not in self.members:
                member = self.members[name] = Member(name)
                member.mac, member.may_enable = mac, up
                if up:
                    self._enable(member, True)
        self.run(links, now_ms)

    def _set_rebalancing(self, settings: BondSettings, now_ms: int) -> None:
        """What has passed of an interval counts for one of another length."""
        if settings.mode != self.settings.mode or not self.settings.rebalance_ms:
            self.next_rebalance_ms = now_ms + settings.rebalance_ms
        else:
            self.next_rebalance_ms += settings.rebalance_ms - self.settings.rebalance_ms

    def _remove(self, name: str) -> None:
        member = self.members.pop(name)
        self._enable(member, False, quiet=True)
        if self.active is member:
            self.active = None
        self.changes += 1

    # -- links ---------------------------------------------------------------------------

    def run(self, links: Mapping[str, tuple[bool, str]], now_ms: int) -> None:
        """Follow links, and let delays end."""
        for name, member in self.members.items():
            up, member.mac = links.get(name, (False, member.mac))
            self._follow_link(member, up, now_ms)
        self._choose_active(now_ms)
        is_due = now_ms >= self.next_rebalance_ms and now_ms > self._configured_ms
        if is_due and self.is_balanced and self.settings.rebalance_ms:
            self.next_rebalance_ms = now_ms + self.settings.rebalance_ms
            self._rebalance()

    def _follow_link(self, member: Member, up: bool, now_ms: int) -> None:
        member.may_enable = up
        if (up == member.enabled) != (member.delay_due_ms is None):
            word = "up" if up else "down"
            log.info_rl("member %s: link state %s", member.name, word)
            if up == member.enabled:
                member.delay_due_ms = None
                log.info_rl("member %s: will not be %s", member.name,
                            "disabled" if up else "enabled")  # fmt: skip
            else:
                delay_ms = self._delay_ms(up)
                member.delay_due_ms = now_ms + delay_ms
                if delay_ms:
                    log.info_rl("member %s: will be %s if it stays %s for %d ms", member.name,
                                "enabled" if up else "disabled", word, delay_ms)  # fmt: skip
        if member.delay_due_ms is not None and member.delay_due_ms <= now_ms:
            self._enable(member, up)

    def _delay_ms(self, up: bool) -> int:
        """LACP has its own ways to know that a link is good."""
        if self.lacp_status != "off":
            return 0
        return self.settings.updelay_ms if up else self.settings.downdelay_ms

    def _enable(self, member: Member, enable: bool, *, quiet: bool = False) -> None:
        member.delay_due_ms = None
        if member.enabled == enable:
            return
        member.enabled = enable
        self.changes += 1
        if enable:
            self._turn.append(member)
        else:
            self._turn.remove(member)
        if not quiet:
            log.info("member %s: %s", member.name, "enabled" if enable else "disabled")

    def _choose_active(self, now_ms: int) -> None:
        chosen = self._best()
        if chosen is None:
            chosen = self._hasten(now_ms)
        elif chosen is not self.active:
            log.info("bond %s: active member is now %s", self.name, chosen.name)
        if chosen is None and not self._knows_no_member:
            log.info_rl("bond %s: all members disabled", self.name)
        self._knows_no_member = chosen is None
        if chosen is not self.active:
            self.should_announce = self.active is not None or chosen is not None
            self.active = chosen
            self._last_active = ""
            self.changes += 1

    def _best(self) -> Member | None:
        """The primary, else the one that is active already or was in the daemon before, else any
        that is enabled."""
        primary = self.members.get(self.settings.primary)
        if primary is not None and primary.enabled:
            return primary
        if self.active is not None and self.active.enabled:
            return self.active
        enabled = [member for member in self.members.values() if member.enabled]
        known = [member for member in enabled if member.mac == self._last_active != ""]
        return next(iter(known or enabled), None)

    def _hasten(self, now_ms: int) -> Member | None:
        """Nobody is enabled: do not wait for the one that would be soonest."""
        waiting = [
            (member.delay_due_ms, name)
            for name, member in self.members.items()
            if member.may_enable and member.delay_due_ms is not None
        ]
        if not waiting:
            return None
        due_ms, name = min(waiting)
        log.info("bond %s: active member is now %s, skipping remaining %d ms updelay (since no "
                 "member was enabled)", self.name, name, due_ms - now_ms)  # fmt: skip
        self._enable(self.members[name], True)
        return self.members[name]

    def deadline(self) -> int | None:
        due = [member.delay_due_ms for member in self.members.values()]
        has_load = self.recirculates or any(bucket.n_bytes for bucket in self._buckets)
        if has_load and self.settings.rebalance_ms:
            due.append(self.next_rebalance_ms)
        return min((at for at in due if at is not None), default=None)

    # -- packets -------------------------------------------------------------------------

    def admits(self, name: str, destination: int) -> str:
        """What becomes of a packet that came in on a member: ACCEPT, DROP, or DROP_IF_MOVED: it is
        dropped if its source was seen elsewhere."""
        if self.lacp_status == "negotiated":
            member = self.members.get(name)
            return ACCEPT if member and (member.enabled or member.may_enable) else DROP
        mode = self._mode
        if not mode:
            return DROP
        is_active = self.active is not None and self.active.name == name
        takes_all = mode == "balance-slb" and self.settings.all_members_active
        if destination & _GROUP_BIT and not is_active and not takes_all:
            return DROP
        if mode == "balance-slb":
            return DROP_IF_MOVED
        return ACCEPT if is_active else DROP

    def choose(self, source: int, vlan: int) -> tuple[str, Bucket | None] | None:
        """The member that carries a packet, and the bucket that its bytes count for, if any; None
        if there is no member."""
        mode = self._mode
        if mode == "active-backup":
            return None if self.active is None else (self.active.name, None)
        if not mode:
            return None
        return self.choose_by_hash(hash_source(source, vlan, self.settings.hash_basis))

    def choose_by_hash(self, hash_: int) -> tuple[str, Bucket] | None:
        """The member that carries packets of a hash."""
        bucket = self._bucket(hash_)
        if bucket.member is None or not bucket.member.enabled:
            bucket.member = self._next_member()
        return None if bucket.member is None else (bucket.member.name, bucket)

    def _bucket(self, hash_: int) -> Bucket:
        if not self._buckets:
            self._buckets = [Bucket() for _ in range(BUCKETS)]
        return self._buckets[hash_ % BUCKETS]

    def _next_member(self) -> Member | None:
        """Enabled members take turns."""
        if not self._turn:
            return None
        self._turn.append(self._turn.pop(0))
        return self._turn[-1]

    def rules_wanted(self) -> list[tuple[str, Bucket]]:
        """The member of each bucket, for `balance-tcp`; none if there is none."""
        if not self.recirculates:
            return []
        chosen = [self.choose_by_hash(number) for number in range(BUCKETS)]
        return [found for found in chosen if found is not None]

    def loads(self) -> dict[str, dict[int, int]]:
        """Bytes by member and bucket, of buckets that carried any."""
        found: dict[str, dict[int, int]] = {name: {} for name in self.members}
        for number, bucket in enumerate(self._buckets):
            if bucket.member is not None and bucket.n_bytes:
                found[bucket.member.name][number] = bucket.n_bytes
        return found

    def _rebalance(self) -> None:
        """Move buckets from members with many bytes to those with few; then half of what was
        counted is forgotten."""
        enabled = {member.name: member for member in self._turn}
        loads = self.loads()
        carried = {name: sum(shares.values()) for name, shares in loads.items()}
        moved = moves({name: shares for name, shares in loads.items() if name in enabled})
        for move in moved:
            carried[move.source], carried[move.target] = move.source_load, move.target_load
            bucket = self._buckets[move.bucket]
            log.dbg("bond %s: shift %dkB of load (with hash %d) from %s to %s (now carrying %dkB "
                    "and %dkB load, respectively)", self.name, bucket.n_bytes // 1_024,
                    move.bucket, move.source, move.target, move.source_load // 1_024,
                    move.target_load // 1_024)  # fmt: skip
            bucket.member = enabled[move.target]
            self.changes += 1
        if moved:
            text = " and ".join(f"{name}:{load // 1_024}kB" for name, load in carried.items())
            log.info("bond %s: rebalanced (now carrying: %s)", self.name, text)
        for bucket in self._buckets:
            bucket.n_bytes //= 2

    # -- commands ------------------------------------------------------------------------

    def migrate(self, hash_: int, member: Member) -> None:
        """Move a bucket by hand."""
        self._bucket(hash_).member = member
        self.changes += 1

    def set_active(self, member: Member) -> None:
        """Make an enabled member the active one."""
        if self.active is not member:
            self.active = member
            self.should_announce = True
            self.changes += 1
            log.info("bond %s: active member is now %s", self.name, member.name)

    def enable(self, member: Member, enable: bool, now_ms: int) -> None:
        """Have a member used, or not, until its link changes."""
        self._enable(member, enable)
        self._choose_active(now_ms)
