"""What a `learn` action makes of a packet: the flow to add (ovs-actions(7), "The learn action").

`learned_flow` is a pure function of action and packet. `LearnedCookies` counts the rules that
answer for flows which a `delete_learned` has to take with it.
"""

from __future__ import annotations

from collections.abc import Iterable

from netloom.flow.fields import FIELD, option_present
from netloom.flow.match import Match
from netloom.flow.ports import ALL, FLOOD, IN_PORT, LOCAL
from netloom.openflow import actions as a
from netloom.openflow import messages as m
from netloom.openflow.action_learn import DELETE_LEARNED, LOAD, MATCH, SEND_FLOW_REM
from netloom.openflow.action_nesting import flattened

#: Ports as OpenFlow 1.0 numbers them, of which a learned flow may output to these and those below.
_MAX_PORT = 0xFF00
_RESERVED = {port & 0xFFFF: port for port in (IN_PORT, FLOOD, LOCAL, ALL)}
_IN_PORT = FIELD["in_port"]


def learned_flow(action: a.Learn, key: int) -> m.FlowMod:
    """The flow to add or change, made from the packet `key`."""
    value = mask = 0
    actions: list[a.Action] = []
    if action.fin_idle_timeout or action.fin_hard_timeout:
        actions.append(a.FinTimeout(action.fin_idle_timeout, action.fin_hard_timeout))
    for spec in action.specs:
        number = _source(spec, key)
        part = spec.destination
        if spec.kind == MATCH and part is not None:
            bits = _bits(part)
            value, mask = value & ~bits | _in_place(part, number) & bits, mask | bits
            if part.field.dynamic:
                # A packet without the option is another one than those that are learned.
                value, mask = value | option_present(part.field), mask | option_present(part.field)
        elif spec.kind == LOAD and part is not None:
            actions.append(a.load(part, number))
        elif (port := _output_port(spec, number)) is not None:
            actions.append(a.Output(port))
    return m.FlowMod(
        m.OFPFC_MODIFY_STRICT,
        Match(value, mask),
        priority=action.priority,
        table_id=action.table_id,
        actions=tuple(actions),
        new_cookie=action.cookie,
        idle_timeout=action.idle_timeout,
        hard_timeout=action.hard_timeout,
        flags=m.OFPFF_SEND_FLOW_REM if action.flags & SEND_FLOW_REM else 0,
    )


def _source(spec: a.LearnSpec, key: int) -> int:
    """The number that the part is made from; ports are of 16 bits here."""
    if isinstance(spec.source, int):
        return spec.source
    part = spec.source
    number: int = (key & part.field.mask) >> part.field.shift
    if part.field is _IN_PORT:
        number &= 0xFFFF
    return number >> part.offset & (1 << part.n_bits) - 1


def _bits(part: a.Subfield) -> int:
    if part.field is _IN_PORT:
        # A port of OpenFlow 1.0 stands for one of 32 bits.
        return _IN_PORT.slot.mask
    return ((1 << part.n_bits) - 1) << part.field.shift + part.offset & part.field.mask


def _in_place(part: a.Subfield, number: int) -> int:
    if part.field is _IN_PORT and number >= _MAX_PORT:
        number |= 0xFFFF0000
    return number << part.field.shift + part.offset


def _output_port(spec: a.LearnSpec, number: int) -> int | None:
    """None for a number that is no port: then there is no output."""
    if spec.n_bits > 16 and number >> 16:
        return None
    return number if number < _MAX_PORT else _RESERVED.get(number)


class LearnedCookies:
    """How many rules answer for the flows that have a cookie, in a table. When the last of them
    goes (or has other actions), the flows go too."""

    def __init__(self) -> None:
        self._holders: dict[tuple[int, int], int] = {}
        self.orphaned: set[tuple[int, int]] = set()

    def hold(self, names: Iterable[tuple[int, int]]) -> None:
        for name in names:
            self._holders[name] = self._holders.get(name, 0) + 1
            self.orphaned.discard(name)

    def release(self, names: Iterable[tuple[int, int]]) -> None:
        for name in names:
            self._holders[name] -= 1
            if not self._holders[name]:
                del self._holders[name]
                self.orphaned.add(name)

    def take_orphaned(self) -> list[tuple[int, int]]:
        """(table, cookie) of flows for which nobody has answered since the last call."""
        orphaned = sorted(self.orphaned)
        self.orphaned.clear()
        return orphaned


def answered_for(actions: a.Actions) -> tuple[tuple[int, int], ...]:
    """(table, cookie) of each `learn(delete_learned)` among `actions`."""
    return tuple(
        (action.table_id, action.cookie)
        for action in flattened(actions)
        if isinstance(action, a.Learn) and action.flags & DELETE_LEARNED
    )
