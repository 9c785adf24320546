"""From actions of a flow (`datapath.actions`) to records that the kernel programs run.

What the programs cannot do is no error: `compile_actions` says why, and the flow is run in user
space (`dpif`). So this module must never compile an action to something that merely resembles it.

A `Set` becomes writes of four bytes under a mask, each with the checksums that it is part of. An
output of a cut packet is moved behind other outputs, for the cut changes the packet itself.

The programs cannot copy a packet, except to send it. What goes into a tunnel is sent from there,
and has its headers taken off again (`spread`). What another `Clone` changes, and is not last, is
undone behind it: the writes from a log that the programs keep, a tag by taking it off. What cannot
be undone so is not compiled. Branches are records to be skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from netloom.datapath import actions as dp
from netloom.datapath.ebpf.layer_records import layer_records
from netloom.datapath.ebpf.registry import Registry, has_udp_checksum
from netloom.datapath.ebpf.set_records import METADATA, Uncompilable, record, set_records
from netloom.datapath.ebpf.spec import (
    CT_FLAG,
    HASH_KIND,
    MAX_CHAIN,
    MAX_METERS,
    MAX_PORTS,
    NAT_FLAG,
    OP,
    PUSH_FLAG,
    PUSHED_TUNNELS,
    SLOT_ACTIONS,
)
from netloom.datapath.ebpf.spread import is_tunnelled, spread
from netloom.datapath.ebpf.taken_back import (
    Headers,
    can_be_taken_back,
    inverse,
    left_over,
    put_on,
)
from netloom.datapath.ebpf.truncation import CUT, place_cuts
from netloom.datapath.userspace.conntrack.nat import nat_words
from netloom.flow.fields import SLOT

#: Records that one flow may have.
MAX_RECORDS: Final = SLOT_ACTIONS * MAX_CHAIN
_TAGS: Final = (0x8100, 0x88A8)


class OnlyWhole(Uncompilable):
    """The same, of all actions of the flow: what the programs did before could not be gone on
    with."""


_HASHES: Final = {"l4": HASH_KIND["L4"], "sym_l4": HASH_KIND["SYMMETRIC_L4"]}
#: Writes that the programs can undo.
MAX_UNDO: Final = 16
_ALWAYS: Final = 0xFFFFFFFF


def compile_actions(actions: dp.DpActions, registry: Registry) -> tuple[list[bytes], list[str]]:
    """The records of `actions` (none for a flow that drops), and why some of them are not done by
    the programs, if so. What these cannot do, user space does, with all actions behind it."""
    compiler = _Compiler(registry)
    try:
        compiler.compile(actions, is_last=True)
        if len(compiler.records) > MAX_RECORDS:
            raise Uncompilable("too many actions")
    except Uncompilable as error:
        return [slow_record()], [str(error)]
    return compiler.records, compiler.reasons


def slow_record() -> bytes:
    """The only record of a flow that user space runs."""
    return record("SLOW")


def _swapped(number: int, n_bytes: int) -> int:
    """A number in network byte order, as the machine holds it."""
    return int.from_bytes(number.to_bytes(n_bytes, "big"), "little")


class _Compiler:
    def __init__(self, registry: Registry) -> None:
        self.records: list[bytes] = []
        self.reasons: list[str] = []
        self._registry = registry
        self._is_saving = False
        #: Whether this is what a copy does.
        self._is_nested = False
        #: What is done behind the copy that is compiled.
        self._behind: dp.DpActions = ()

    def compile(self, actions: dp.DpActions, is_last: bool) -> None:
        """Append what `actions` do. `is_last`: nothing that comes after sees the packet."""
        if any(isinstance(action, dp.Trunc) for action in actions):
            actions = place_cuts(actions)
        if self._is_nested or self._is_saving:
            for at in range(len(actions)):
                if self._step(actions, at, is_last):
                    return
            return
        records = self.records
        for at in range(len(actions)):
            start = len(records)
            try:
                if self._step(actions, at, is_last):
                    return
            except Uncompilable as error:
                if not at or isinstance(error, OnlyWhole):
                    raise
                self.records = records
                del records[start:]
                records.append(record("RESUME", a32=self._registry.add_list(_rest(actions, at))))
                self.reasons.append(str(error))
                return

    def _step(self, actions: dp.DpActions, at: int, is_last: bool) -> bool:
        """Append what one of the actions does; True if the rest is done with as well."""
        action, rest = actions[at], actions[at + 1 :]
        match action:
            case dp.Trunc():
                return self._truncate(action, rest, is_last)
            case dp.Clone() if is_tunnelled(action.actions) and not (is_last and not rest):
                return self._spread(actions[at:], is_last)
            case dp.Clone() if rest and self._can_take_back(action):
                self._take_back(action.actions, rest)
            case dp.Clone():
                self._copy(action.actions, is_last and not rest)
            case dp.Sample() | dp.CheckPktLen():
                before, self._behind = self._behind, (*rest, *self._behind)
                self._choose(action, is_last and not rest)
                self._behind = before
            case dp.DropReason() if not is_last:
                # Of a copy, or of a branch that others follow.
                self.records.append(record("COUNT_DROP", a32=action.reason))
                return True
            case dp.Ct():
                if _n_tags(actions[:at]) > 1:
                    # Only who knows where the headers were finds them behind so many.
                    raise OnlyWhole("ct behind two tags")
                self._resume_at(actions, at, is_ready=self._may_track(actions[:at]))
                is_anew = any(_changes_ends(before) for before in actions[:at])
                self.records += _compile_ct(action, self._registry, is_anew)
            case dp.Recirc() if rest:
                return self._recirculate(actions, at)
            case dp.TunnelPush():
                self._push_tunnel(actions, at)
            case dp.TunnelPop():
                if rest:
                    raise Uncompilable("actions behind a tunnel's end")
                self._resume_at(actions, at, is_ready=not at and not self._is_nested)
                if action.port not in self._registry.tunnels:
                    raise Uncompilable("a tunnel that the programs do not know")
                kind = self._registry.tunnels[action.port]
                self.records.append(record("TUNNEL_POP", a16=kind, a32=action.port))
            case dp.PushMpls() | dp.PopMpls() if action.ethertype in _TAGS:
                raise Uncompilable("a tag behind a label")
            case _ if isinstance(action, _FRONT):
                *data, last = _front_records(action)
                self.records += data
                self._resume_at(actions, at, is_ready=not at and not self._is_nested)
                self.records.append(last)
            case _:
                self._one(action)
        return False

    def _recirculate(self, actions: dp.DpActions, at: int) -> bool:
        """A copy is looked up again, and there is more to do. The programs have no copy to look up:
        what is sent as the packet is now leaves before. Then the rest is done with: True."""
        before, rest = actions[:at], actions[at + 1 :]
        if any(isinstance(action, dp.Trunc) for action in before):
            raise Uncompilable("a recirculation of what is cut")
        if not all(isinstance(action, dp.Output) for action in rest):
            raise Uncompilable("changes behind a recirculation")
        for action in (*rest, actions[at]):
            self._one(action)
        return True

    def _can_take_back(self, action: dp.Clone) -> bool:
        is_first = not (self._is_nested or self._is_saving)
        return is_first and can_be_taken_back(action.actions)

    def _take_back(self, actions: dp.DpActions, rest: dp.DpActions) -> None:
        """A copy with headers in front, which come off again."""
        headers: Headers = ()
        self.records.append(record("SAVE", 1))
        for at, action in enumerate(actions):
            after = (dp.Clone(actions[at:]), *inverse(headers), *rest)
            self._put(action, after)
            headers = put_on(headers, action) or ()
        back = inverse(headers)
        for at, action in enumerate(back):
            self._put(action, (*back[at:], *rest))
        self.records.append(record("RESTORE"))

    def _put(self, action: dp.DpAction, after: dp.DpActions) -> None:
        """One action, in place of which user space may have to do what is in `after`."""
        if not isinstance(action, _FRONT):
            self._one(action)
            return
        *data, last = _front_records(action)
        number = self._registry.add_list(left_over(after))
        self.records += [*data, record("RESUME_AT", a32=number), last]

    def _resume_at(self, actions: dp.DpActions, at: int, is_ready: bool) -> None:
        """Say what is left to be done in user space if the programs leave the next record to it:
        nothing need be said if that is all of the flow, on the packet as it came."""
        if is_ready:
            return
        if self._is_saving:
            raise Uncompilable(f"clone({type(actions[at]).__name__})")
        # Of a copy that is last, what is left is what is left of the copy's actions.
        number = self._registry.add_list(_rest(actions, at))
        self.records.append(record("RESUME_AT", a32=number))

    def _push_tunnel(self, actions: dp.DpActions, at: int) -> None:
        action, rest = actions[at], actions[at + 1 :]
        assert isinstance(action, dp.TunnelPush)
        number = self._registry.add_header(action.header)
        if number is None or action.type not in PUSHED_TUNNELS:
            raise Uncompilable("a tunnel that the programs do not know")
        if has_udp_checksum(action.header) and any(_changes_addresses(after) for after in rest):
            raise Uncompilable("changes of what a tunnel's checksum covers")
        self._resume_at(actions, at, is_ready=not at and not self._is_nested)
        ways = [after.port for after in rest if isinstance(after, dp.Output)]
        flags = PUSH_FLAG["GOES_ON"] * (len(ways) < len(rest))
        way = ways[0] if ways else 0
        self.records.append(record("TUNNEL_PUSH", flags, way, number, action.out_port))

    def _spread(self, actions: dp.DpActions, is_last: bool) -> bool:
        """Copies into tunnels, and what follows. True: the rest is done with."""
        if self._is_saving:
            raise Uncompilable("clone(TunnelPush)")
        order = spread(actions)
        for action in order.plain:
            self._one(action)
        for at, clone in enumerate(order.tunnels):
            push, *rest = clone.actions
            assert isinstance(push, dp.TunnelPush)
            number = self._registry.add_header(push.header)
            if number is None or push.type not in PUSHED_TUNNELS:
                raise Uncompilable("a tunnel that the programs do not know")
            left = (*order.tunnels[at:], *order.tail, *self._behind)
            self.records.append(record("RESUME_AT", a32=self._registry.add_list(left)))
            way = next(after.port for after in rest if isinstance(after, dp.Output))
            flag = PUSH_FLAG["AGAIN" if at else "SPREADS"]
            self.records.append(record("TUNNEL_PUSH", flag, way, number))
            for action in rest:
                self._one(action)
            self.records += [record("POP_VLAN")] * _n_tags(rest)
        if order.tail or not is_last:
            self.records.append(record("TUNNEL_PUSH", PUSH_FLAG["ENDS"]))
            # Not the flow from its start, nor the packet as it came.
            before, self._is_nested = self._is_nested, True
            self.compile(order.tail, is_last)
            self._is_nested = before
        return True

    def _choose(self, action: dp.Sample | dp.CheckPktLen, is_last: bool) -> None:
        if isinstance(action, dp.Sample):
            self._sample(action, is_last)
        else:
            self._check_length(action, is_last)

    def _may_track(self, before: Sequence[dp.DpAction]) -> bool:
        """Whether user space may run the flow from its start in place of a `ct` here: the packet
        and what is known of it must be as they came, or nothing be lost by doing it again. A
        connection would count the packet twice."""
        return not self._is_nested and all(
            isinstance(action, dp.CtClear | dp.Hash)
            or (isinstance(action, dp.Set) and action.header in METADATA)
            for action in before
        )

    def _copy(self, actions: dp.DpActions, is_last: bool) -> None:
        """Actions on a copy."""
        if not actions:
            self.records.append(record("COUNT_DROP"))
        elif is_last or all(isinstance(action, _HARMLESS) for action in actions):
            before, self._is_nested = self._is_nested, True
            self.compile(actions, is_last)
            self._is_nested = before
        elif is_tunnelled(actions):
            self._spread((dp.Clone(actions),), is_last)
        else:
            self._undone(actions)

    def _undone(self, actions: dp.DpActions) -> None:
        if self._is_saving:
            raise Uncompilable("a clone in a clone")
        for action in actions:
            is_tag = isinstance(action, dp.Set) and action.header == "vlan"
            if is_tag or not isinstance(action, _UNDOABLE):
                raise Uncompilable(f"clone({type(action).__name__})")
        self._is_saving = True
        self.records.append(record("SAVE"))
        start = len(self.records)
        self.compile(actions, is_last=False)
        if sum(record[0] == OP["SET"] for record in self.records[start:]) > MAX_UNDO:
            raise Uncompilable("a clone with many changes")
        tags = sum(isinstance(action, dp.PushVlan) for action in actions)
        self.records += [record("POP_VLAN")] * tags
        self.records.append(record("RESTORE"))
        self._is_saving = False

    def _branch(self, actions: dp.DpActions, is_last: bool) -> list[bytes]:
        """The records of a copy's actions, to be put behind something that may skip them."""
        before, self.records = self.records, []
        self._copy(actions, is_last)
        branch, self.records = self.records, before
        return branch

    def _sample(self, action: dp.Sample, is_last: bool) -> None:
        if action.probability >= _ALWAYS:
            self._copy(action.actions, is_last)
        elif action.probability:
            branch = self._branch(action.actions, is_last)
            self.records.append(record("SAMPLE", a16=len(branch), a32=action.probability))
            self.records += branch

    def _check_length(self, action: dp.CheckPktLen, is_last: bool) -> None:
        greater = self._branch(action.if_greater, is_last)
        less = self._branch(action.if_less, is_last)
        skipped = len(greater) + 1
        self.records.append(record("CHECK_LENGTH", a16=skipped, a32=action.max_len))
        self.records += [*greater, record("SKIP", a16=len(less)), *less]

    def _truncate(self, action: dp.Trunc, rest: Sequence[dp.DpAction], is_last: bool) -> bool:
        """Cut the next output. True if the rest of the actions is done with."""
        if not isinstance(rest[0], CUT):
            raise Uncompilable("headers off behind a cut")
        if isinstance(rest[0], dp.TunnelPush):
            if self._is_saving or not is_last:
                raise Uncompilable("a tunnel's packet cut in a copy")
            self.records.append(record("TRUNC", a32=action.max_len))
            return False
        outputs = [after for after in rest if isinstance(after, dp.Output)]
        if not is_last or not outputs or len(outputs) != len(rest):
            # The packet is needed whole behind the output: user space sends the piece.
            self.records.append(record("CUT", a32=action.max_len))
            return False
        for output in outputs[1:]:
            self._one(output)
        self.records.append(record("TRUNC", a32=action.max_len))
        self._one(outputs[0])
        return True

    def _one(self, action: dp.DpAction) -> None:
        add = self.records.append
        match action:
            case dp.Output():
                if not 0 <= action.port < MAX_PORTS:
                    raise Uncompilable("output to a port of a high number")
                add(record("OUTPUT", a32=action.port))
            case dp.Set():
                self.records += set_records(action)
            case dp.PushVlan() if action.tpid in _TAGS:
                add(record("PUSH_VLAN", a16=action.tci, a32=_swapped(action.tpid, 2)))
            case dp.PopVlan():
                add(record("POP_VLAN"))
            case dp.Recirc():
                add(record("RECIRC", a32=action.recirc_id))
            case dp.Userspace():
                add(record("USERSPACE", a32=self._registry.add_userspace(action)))
            case dp.Hash() if action.algorithm in _HASHES:
                add(record("HASH", _HASHES[action.algorithm], a32=action.basis & _ALWAYS))
            case dp.Meter():
                if not 0 <= action.meter_id < MAX_METERS:
                    raise Uncompilable("a meter of a high number")
                add(record("METER", a32=action.meter_id))
            case dp.CtClear():
                add(record("CT_CLEAR"))
            case dp.Normal():
                add(record("NORMAL", a32=action.switch))
            case dp.DropReason():
                add(record("DROP", a32=action.reason))
            case _:
                raise Uncompilable(type(action).__name__)


#: What changes what is in front of a packet, and may be left to user space.
_FRONT: Final = (
    dp.PushMpls, dp.PopMpls, dp.PushEth, dp.PopEth, dp.PushNsh, dp.PopNsh, dp.AddMpls
)  # fmt: skip


def _front_records(action: dp.DpAction) -> list[bytes]:
    """The records of one of these, the last of which may be left to user space."""
    match action:
        case dp.PushMpls():
            kind = _swapped(action.ethertype, 2)
            return [record("PUSH_MPLS", a16=kind, a32=_swapped(action.lse, 4))]
        case dp.PopMpls():
            return [record("POP_MPLS", a16=_swapped(action.ethertype, 2))]
        case dp.PushEth() | dp.PopEth() | dp.PushNsh() | dp.PopNsh() | dp.AddMpls():
            return layer_records(action)
    raise Uncompilable(type(action).__name__)


def _rest(actions: dp.DpActions, at: int) -> dp.DpActions:
    """What is left from `at` on, of a packet that is whole: also to cut the next output, if an
    action before said so."""
    for before in reversed(actions[:at]):
        if isinstance(before, dp.Output | dp.Userspace):
            break
        if isinstance(before, dp.Trunc):
            return (before, *actions[at:])
    return tuple(actions[at:])


def _n_tags(actions: Sequence[dp.DpAction]) -> int:
    """How many tags more than before a packet has behind the actions."""
    pushed = sum(isinstance(action, dp.PushVlan) for action in actions)
    return pushed - sum(isinstance(action, dp.PopVlan) for action in actions)


#: What leaves a packet as it is, and what changes it in ways that can be undone.
_HARMLESS: Final = (dp.Output, dp.Userspace)
_UNDOABLE: Final = (*_HARMLESS, dp.Set, dp.PushVlan, dp.Hash, dp.Trunc, dp.DropReason)


def _changes_addresses(action: dp.DpAction) -> bool:
    """Whether it may change what transport checksums cover: of a tunnel's headers, these cannot be
    brought up to date while a device is to complete that of the packet inside."""
    if isinstance(action, dp.Set):
        return action.header not in ("eth", "vlan") and action.header not in METADATA
    return isinstance(action, dp.Ct) and action.nat is not None


#: Where addresses and ports of a packet are in a key.
_ENDS: Final = sum(
    SLOT[name].mask for name in ("nw_src", "nw_dst", "ipv6_src", "ipv6_dst", "tp_src", "tp_dst")
)


def _changes_ends(action: dp.DpAction) -> bool:
    """Whether it writes what connections are told apart by."""
    return isinstance(action, dp.Set) and bool(action.mask & _ENDS)


def _compile_ct(action: dp.Ct, registry: Registry, is_anew: bool) -> list[bytes]:
    """`is_anew`: what was tracked before is not the packet as it is now."""
    flags = CT_FLAG["COMMIT"] * action.commit | CT_FLAG["FORCE"] * action.force
    flags |= CT_FLAG["NAT"] * (action.nat is not None) | CT_FLAG["ANEW"] * is_anew
    records = []
    if action.nat is not None and action.nat.kind:
        flags |= CT_FLAG["TRANSLATES"]
        records += _compile_nat(action.nat)
    policy = registry.policy_number(action.timeout)
    if action.helper or policy is None:
        flags |= CT_FLAG["HELPED"]
    if action.label_mask:
        flags |= CT_FLAG["LABEL"]
        for is_mask, number in enumerate((action.label & action.label_mask, action.label_mask)):
            data = number.to_bytes(16, "big")
            for half in (0, 1):
                part = int.from_bytes(data[8 * half : 8 * half + 8], "little")
                records.append(record("CT_LABEL", half | is_mask << 1, a64=part))
    mark, mask = action.mark & action.mark_mask, action.mark_mask
    return [*records, record("CT", flags, action.zone, mark, mask | (policy or 0) << 32)]


def _compile_nat(nat: dp.Nat) -> list[bytes]:
    flags = NAT_FLAG["SOURCE"] * (nat.kind == "src") | NAT_FLAG["RANDOM"] * nat.random
    flags |= NAT_FLAG["PERSISTENT"] * nat.persistent
    words = nat_words(nat)
    if nat.min_addr and nat.max_addr is not None:
        flags |= NAT_FLAG["HAS_ADDRESS"]
    records = [record("CT_NAT", flags, a32=words[8])]
    for part in range(4):
        if pair := words[2 * part] | words[2 * part + 1] << 32:
            records.append(record("CT_NAT_ADDRESS", part & 1 | part & 2, a64=pair))
    return records
