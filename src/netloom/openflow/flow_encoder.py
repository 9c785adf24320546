"""Many flow mods to bytes: as `codec.encode_message` does, with what is the same done once.

Flows of a file share lists of actions (`flow_memory`): their bytes are kept while the flows live.
Flows that are alike (`flow_lines`) share all but a few numbers. Where these stand in the message is
found out by trying: a flow is encoded with zeros in their place, and with ones for each in turn.
"""

from __future__ import annotations

from struct import Struct

from netloom.flow.fields import SLOT, VLAN_CFI
from netloom.openflow import messages as m
from netloom.openflow import protocol as p
from netloom.openflow.action_encode import Unencodable
from netloom.openflow.codec import finish
from netloom.openflow.codec_flows import encode_flow_actions, encode_flow_mod
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_table import head

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from netloom.openflow.actions import Action
    from netloom.openflow.flow_lines import AlikeFlow, FlowShape

_CONTEXT: Final = SLOT["nw_proto"].mask | VLAN_CFI << SLOT["vlan_tci"].shift
#: Where in a message its transaction id is.
_XID: Final = 4
_XID_BYTES: Final = 4
#: What a number of so many bytes is to `struct`; others are bytes.
_CODES: dict[int, str] = {2: "H", 4: "I", 8: "Q"}


class FlowEncoder:
    """Encodes flow mods in one protocol (a `protocol.P_*`). `wrapper`: a message that is put
    before each, which becomes its last part; it gets its transaction id."""

    __slots__ = ("_actions", "_heads", "_protocol", "_version", "_wrapper", "_writers")

    def __init__(self, protocol: int, wrapper: bytes = b"") -> None:
        self._protocol = protocol
        self._version = p.VERSION[protocol]
        self._wrapper = wrapper
        #: By identity of the list, which is held here, and by what else its bytes depend on.
        self._actions: dict[tuple[int, int], tuple[tuple[Action, ...], bytes]] = {}
        self._heads: dict[str, bytes] = {}
        #: By identity of the shape, which is held here; None: flow by flow.
        self._writers: dict[int, tuple[FlowShape, _Writer | None]] = {}

    def encode(self, flow: m.FlowMod | AlikeFlow, xid: int) -> bytes:
        """The message; errors as of `encode_message`."""
        if isinstance(flow, m.FlowMod):
            return wrapped(self._wrapper, self._encode(flow, xid))
        shape = flow.shape
        known = self._writers.get(id(shape))
        if known is None:
            known = shape, _writer_of(shape, self._encode, self._wrapper)
            self._writers[id(shape)] = known
        writer = known[1]
        if writer is None:
            return wrapped(self._wrapper, self._encode(flow.flow(), xid))
        return writer.write(flow.numbers, xid)

    def _encode(self, flow: m.FlowMod, xid: int) -> bytes:
        key = id(flow.actions), flow.match.value & _CONTEXT
        known = self._actions.get(key)
        if known is None:
            known = flow.actions, encode_flow_actions(flow, self._version)
            self._actions[key] = known
        name, body = encode_flow_mod(flow, self._version, self._protocol, known[1])
        start = self._heads.get(name)
        if start is None:
            start = self._heads[name] = bytes(head(name, self._version))
        return finish(bytearray(start) + body, xid)


def wrapped(wrapper: bytes, data: bytes) -> bytes:
    """The message `wrapper` with the message `data` behind it, and its transaction id."""
    if not wrapper:
        return data
    size = len(wrapper) + len(data)
    return wrapper[:2] + size.to_bytes(2, "big") + data[4:8] + wrapper[8:] + data


class _Writer:
    """Writes the messages of one shape: `parts` with the transaction id at the places `xids`, and
    the numbers at those that `places` says."""

    __slots__ = ("_pack", "_parts", "_places", "_xids")

    def __init__(self, image: bytes, fields: list[tuple[int, int, int]]) -> None:
        """`image`: a message. `fields`: position in it, bytes, and number (-1: transaction id)."""
        code = ">"
        #: What goes into the structure: what is the same for all, and what was written last.
        self._parts: list[object] = []
        self._xids: list[int] = []
        #: Of each number: where in the parts it is, and its bytes if it is to be given as such.
        self._places: list[tuple[int, int]] = [(0, 0)] * (len(fields) + 1)
        at = 0
        for position, size, number in sorted(fields):
            code += f"{position - at}s{_CODES.get(size, f'{size}s')}"
            self._parts.append(image[at:position])
            if number < 0:
                self._xids.append(len(self._parts))
            else:
                self._places[number] = len(self._parts), 0 if size in _CODES else size
            self._parts.append(0)
            at = position + size
        code += f"{len(image) - at}s"
        self._parts.append(image[at:])
        self._places = self._places[: len(fields) - len(self._xids)]
        self._pack = Struct(code).pack

    def write(self, numbers: list[int], xid: int) -> bytes:
        """The message with these numbers."""
        parts = self._parts
        for at in self._xids:
            parts[at] = xid
        for index, (at, size) in enumerate(self._places):
            number = numbers[index]
            parts[at] = number.to_bytes(size, "big") if size else number
        return self._pack(*parts)


def _writer_of(
    shape: FlowShape, encode: Callable[[m.FlowMod, int], bytes], wrapper: bytes
) -> _Writer | None:
    """None: the bytes depend on the numbers in other ways."""
    widths = shape.widths()
    fields = [(_XID, _XID_BYTES, -1)]
    if wrapper:
        fields.append((len(wrapper) + _XID, _XID_BYTES, -1))
    try:
        plain = encode(shape.flow_of([0] * len(widths)), 0)
        base = int.from_bytes(plain, "big")
        taken = 0
        for number, width in enumerate(widths):
            ones = (1 << width) - 1
            numbers = [0] * len(widths)
            numbers[number] = ones
            tried = encode(shape.flow_of(numbers), 0)
            changed = base ^ int.from_bytes(tried, "big")
            shift = (changed & -changed).bit_length() - 1
            fits = changed and changed == ones << shift and not shift & 7
            if len(tried) != len(plain) or not fits or changed & (base | taken):
                return None
            taken |= changed
            position = len(wrapper) + len(plain) - (shift + width) // 8
            fields.append((position, width // 8, number))
    except (OpenFlowError, Unencodable):
        return None
    return _Writer(wrapped(wrapper, plain), fields)
