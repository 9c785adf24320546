"""What a paused pipeline needs to go on, as a packet-in carries it (Open vSwitch's private format).

A controller sends the bytes back as they are; who prints messages shows what is in them. Actions
are grouped by the rule that they are of: `unroll_xlate` says which, here as a pair of properties.
"""

from __future__ import annotations

from struct import pack

from netloom.base.record import Record
from netloom.openflow import actions as a
from netloom.openflow.action_decode import decode_action_list
from netloom.openflow.action_encode import encode_actions
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.properties import check_number, find_properties

(_BRIDGE, _STACK, _MIRRORS, _CONNTRACKED, _TABLE_ID, _COOKIE, _ACTIONS, _ACTION_SET,
 _ODP_PORT) = range(0x8000, 0x8009)  # fmt: skip


#: Before actions.
_PAD_BYTES = 4
#: Of the numbers of mirrors and ports.
_WORD_BYTES = 4


class Continuation(Record):
    """`bridge` is a UUID; `stack` has values and their bits, the top last; `mirrors` a bit for each
    that has the packet; `odp_port` the data path's port that it came from."""

    bridge: int = 0
    stack: tuple[tuple[int, int], ...] = ()
    mirrors: int = 0
    conntracked: bool = False
    actions: tuple[a.Action, ...] = ()
    action_set: tuple[a.Action, ...] = ()
    odp_port: int = 0


def encode_continuation(value: Continuation, version: int) -> bytes:
    """The properties, padded to eight bytes each."""
    out = [_property(_BRIDGE, _swap_uuid(value.bridge.to_bytes(16, "big")))]
    for number, n_bits in reversed(value.stack):
        out.append(_property(_STACK, number.to_bytes((n_bits + 7) // 8, "big")))
    if value.mirrors:
        out.append(_property(_MIRRORS, value.mirrors.to_bytes(4, "big")))
    if value.conntracked:
        out.append(_property(_CONNTRACKED, b""))
    place = (0, 0)
    for (table_id, cookie), actions in _grouped(value.actions):
        if table_id != place[0]:
            out.append(_property(_TABLE_ID, bytes((table_id,))))
        if cookie != place[1]:
            out.append(_property(_COOKIE, bytes(4) + cookie.to_bytes(8, "big")))
        place = (table_id, cookie)
        if actions:
            out.append(_property(_ACTIONS, bytes(4) + encode_actions(actions, version)))
    if value.action_set:
        body = bytes(4) + encode_actions(value.action_set, version)
        out.append(_property(_ACTION_SET, body))
    if value.odp_port:
        out.append(_property(_ODP_PORT, value.odp_port.to_bytes(4, "big")))
    return bytes(4) + b"".join(out)


def _property(kind: int, body: bytes) -> bytes:
    size = 4 + len(body)
    return pack(">HH", kind, size) + body + bytes(-size % 8)


def _swap_uuid(data: bytes) -> bytes:
    """The four words of a UUID travel as they lie in memory."""
    return b"".join(data[at : at + 4][::-1] for at in range(0, 16, 4))


def _grouped(
    actions: tuple[a.Action, ...],
) -> list[tuple[tuple[int, int], tuple[a.Action, ...]]]:
    """(table, cookie) and the actions that are of such a rule, in order."""
    groups: list[tuple[tuple[int, int], tuple[a.Action, ...]]] = []
    place, start = (0, 0), 0
    for at, action in enumerate(actions):
        if isinstance(action, a.UnrollXlate):
            groups.append((place, actions[start:at]))
            place, start = (action.table_id, action.cookie), at + 1
    groups.append((place, actions[start:]))
    return [group for group in groups if group[1]]


def decode_continuation(data: bytes, version: int, *, printed: bool = False) -> Continuation:
    """Raises OpenFlowError for what no switch wrote. To be `printed`, properties that nobody knows
    are passed over."""
    found: dict[str, object] = {}
    stack: list[tuple[int, int]] = []
    actions: list[a.Action] = []
    table_id = cookie = 0
    for kind, start, stop in find_properties(data, 4, len(data)):
        body = data[start + 4 : stop]
        number = int.from_bytes(body, "big")
        if kind == _STACK:
            stack.append((number, 8 * len(body)))
        elif kind == _TABLE_ID:
            check_number(start, stop, 1)
            table_id = body[0]
        elif kind == _COOKIE:
            check_number(start, stop, _PAD_BYTES + 8)
            cookie = number & 0xFFFFFFFFFFFFFFFF
        elif kind in (_ACTIONS, _ACTION_SET) and len(body) < _PAD_BYTES:
            raise OpenFlowError("OFPBPC_BAD_LEN")
        elif kind == _ACTIONS:
            actions += [a.UnrollXlate(table_id, cookie), *decode_action_list(body[4:], version)]
        elif kind == _ACTION_SET:
            found["action_set"] = decode_action_list(body[4:], version)
        elif kind in _PLAIN:
            found[_PLAIN[kind]] = _plain(kind, body)
        elif not printed:
            raise OpenFlowError("OFPBPC_BAD_TYPE")
    return Continuation(stack=tuple(reversed(stack)), actions=tuple(actions), **found)  # type: ignore[arg-type]


_PLAIN = {
    _BRIDGE: "bridge", _MIRRORS: "mirrors", _CONNTRACKED: "conntracked", _ODP_PORT: "odp_port",
}  # fmt: skip


def _plain(kind: int, body: bytes) -> int | bool:
    if kind == _CONNTRACKED:
        return True
    if kind == _BRIDGE:
        if len(body) != 16:
            raise OpenFlowError("OFPBPC_BAD_LEN")
        body = _swap_uuid(body)
    elif len(body) != _WORD_BYTES:
        raise OpenFlowError("OFPBPC_BAD_LEN")
    return int.from_bytes(body, "big")
