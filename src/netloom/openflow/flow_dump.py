"""Dumps of many flows to text: what `format_message` prints of a flow stats reply, faster.

Flows of a table often differ in an address or a port number, in their cookies and in what they have
counted. A *shape* is all else of an entry: its bytes but for those of such fields, and the text
that they become. It is learned from an entry that was decoded and printed as any other: printed
twice more, with two sets of conspicuous values in these fields, it shows where in the text they
stand. An entry of the shape of the one before is one comparison of all bits behind its fixed part,
and a few strings. So is the fixed part: flows that came together and were never used have the same.

What must hold: the text is that of `format_message`, to the letter. So a shape only has fields
whose text depends on nothing but their value, that are matched as a whole, and that nothing else in
the match depends on; entries and messages in which anything is unusual are left to
`format_message`.

Limits: the replies of OpenFlow 1.2 to 1.4 and Nicira's, without names of ports and tables. When
most flows are of shapes of their own, the looking stops.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError

from netloom.base.errors import NetloomError
from netloom.base.record import replace
from netloom.flow.address import format_ipv4, format_mac
from netloom.flow.fields import SLOT
from netloom.flow.match import MATCH_ALL, Match
from netloom.openflow.codec_flows import read_nx_stats, read_stats11
from netloom.openflow.duration_text import format_duration
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_table import read_frame
from netloom.openflow.message_text import Style, format_message, header_text, hex_dump
from netloom.openflow.messages import UNKNOWN
from netloom.openflow.oxm import oxm_table
from netloom.openflow.text_flows import flow_stats_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from netloom.openflow import messages as m
    from netloom.openflow.actions import Action
    from netloom.openflow.message_table import Frame
    from netloom.openflow.oxm_template import Template

#: How the value of a field is shown.
_NUMBER: Final = 0
_IPV4: Final = 1
_MAC: Final = 2
#: Member of the key -> how it is shown, two values that stand out.
_FREE: dict[str, tuple[int, tuple[int, int]]] = {
    "nw_src": (_IPV4, (0xC63364D5, 0xCB00714D)),
    "nw_dst": (_IPV4, (0xC63364D6, 0xCB00714E)),
    "dl_src": (_MAC, (0xDEADBEEFF00D, 0x0123456789AB)),
    "dl_dst": (_MAC, (0xDEADBEEFF11D, 0x0123456789AC)),
    "tp_src": (_NUMBER, (54_321, 34_567)),
    "tp_dst": (_NUMBER, (54_312, 34_576)),
}
_FORMS: dict[int, Callable[[int], str]] = {_NUMBER: str, _IPV4: format_ipv4, _MAC: format_mac}
#: Table, seconds, nanoseconds; cookie, packets, bytes.
_read_fixed: Final = Struct(">2xBxII12xQQQ").unpack_from
_FIXED: Final = 12
_MATCH: Final = 48
#: Shapes of a dump, at most; so many entries of unknown shape, more than those of known ones, and
#: it is not worth looking.
_MAX_SHAPES: Final = 4_096
_MAX_MISSES: Final = 1_024
#: Sets of fields that are tried for an entry of one length.
_MAX_SETS: Final = 4
#: Beginnings of addresses whose texts are kept.
_MAX_NETWORKS: Final = 4_096

_START: Final = "\n "
_NO_ACTIONS: Final = "actions=drop"
_MARK: Final = "\0"


class _Place:
    """Where a value is, behind the fixed part of an entry, how it is shown, the text after it."""

    __slots__ = ("after", "form", "ones", "shift")

    def __init__(self, shift: int, ones: int, form: int, after: str) -> None:
        self.shift = shift
        self.ones = ones
        self.form = form
        self.after = after


class _Shape:
    """What entries have in common: `fixed` of their fixed part; behind that, `value` under `bits`.
    `before` is the text before the first value."""

    __slots__ = ("before", "bits", "fixed", "middle", "places", "size", "value")

    def __init__(self, middle: str, before: str, places: list[_Place]) -> None:
        #: Timeouts and flags, which come before the ages.
        self.middle = middle
        self.before = before
        self.places = places
        self.size = self.bits = self.value = 0
        self.fixed = b""


class _WrongFlow(NetloomError):
    """A flow of a reply cannot be decoded; the text is the name of the error."""


class FlowDump:
    """The replies to one request, as text."""

    def __init__(self, style: Style) -> None:
        self._style = style
        #: Without names, and without bytes behind the text.
        self._is_plain = not (style.port_names or style.table_names) and style.verbosity < 3
        #: Length of an entry -> the bits that are compared, shapes by these and by what is fixed.
        self._shapes: dict[int, list[tuple[int, dict[tuple[bytes, int], _Shape]]]] = {}
        #: The shape of the entry before.
        self._shape: _Shape | None = None
        self._n_shapes = 0
        self._hits = self._misses = 0
        self._known: dict[bytes, tuple[Action, ...]] = {}
        self._texts: dict[int, str] = {}
        #: The fixed part of the entry before, the shape that it was shown for, and its text.
        self._head = b""
        self._head_shape: _Shape | None = None
        self._head_text = ""
        #: The age that was shown last.
        self._sec = self._nsec = -1
        self._duration = ""
        #: The first three octets of IPv4 addresses -> their text.
        self._networks: dict[int, str] = {}

    def text(self, data: bytes) -> str:
        """What `format_message` says of the reply in `data`."""
        try:
            frame = read_frame(data)
            nicira = frame.row.name == "NXST_FLOW"
            is_plain = nicira or (frame.row.name == "OFPST_FLOW" and 3 <= frame.version <= 5)
            if is_plain and frame.reply and self._is_plain:
                return self._reply_text(frame, nicira)
        except (OpenFlowError, StructError, IndexError):
            # Some entry is wrong: what comes before it is to be printed, and what is wrong.
            return format_message(data, self._style)
        return format_message(data, self._style)

    def _reply_text(self, frame: Frame, nicira: bool) -> str:
        lines: list[str] = []
        try:
            self._add_lines(lines, frame, nicira)
        except _WrongFlow as wrong:
            # Not decoded once more, as the log has said what is wrong.
            text = header_text(frame) + "".join(lines)
            after = " " if text[-1] == ":" else "\n"
            return f"{text}{after}***decode error: {wrong}***\n{hex_dump(frame.data)}"
        return header_text(frame) + "".join(lines) + ("\n" if lines else "")

    def _add_lines(self, lines: list[str], frame: Frame, nicira: bool) -> None:
        data = frame.data
        pos = frame.body
        if int.from_bytes(data[2:4], "big") != len(data) or pos >= len(data):
            raise OpenFlowError("OFPBRC_BAD_LEN")
        least = _MATCH if nicira else _MATCH + 8
        while pos < len(data):
            end = pos + (data[pos] << 8 | data[pos + 1])
            if end - pos < least or end > len(data):
                raise OpenFlowError("OFPBRC_BAD_LEN")
            if not self._add_alike(lines, data, pos, end, nicira):
                self._add_other(lines, data[pos:end], frame.version, nicira)
            pos = end

    def _add_alike(self, lines: list[str], data: bytes, pos: int, end: int, nicira: bool) -> bool:
        """Add the text of the entry in data[pos:end], if it has the shape of the one before."""
        shape = self._shape
        if shape is None or end - pos != shape.size:
            return False
        whole = int.from_bytes(data[pos + _MATCH : end], "big")
        if whole & shape.bits != shape.value:
            return False
        head = data[pos : pos + _MATCH]
        if self._head_shape is not shape or head != self._head:
            if not head.startswith(shape.fixed, _FIXED):
                return False
            text = self._text_of_head(head, shape, nicira)
            if not text:
                return False
            self._head = head
            self._head_shape = shape
            self._head_text = text
        self._add_text(lines, shape, whole)
        return True

    def _add_other(self, lines: list[str], entry: bytes, version: int, nicira: bool) -> None:
        """Add the text of an entry."""
        whole = int.from_bytes(entry[_MATCH:], "big")
        fixed = _fixed(entry, nicira)
        for bits, shapes in self._shapes.get(len(entry), ()):
            shape = shapes.get((fixed, whole & bits))
            text = self._text_of_head(entry, shape, nicira) if shape is not None else ""
            if shape is not None and text:
                self._shape = self._head_shape = shape
                self._head = entry[:_MATCH]
                self._head_text = text
                self._add_text(lines, shape, whole)
                return
        try:
            line = self._line_of_new(entry, version, nicira)
        except OpenFlowError as error:
            raise _WrongFlow(error.name) from None
        lines.append(_START + line)

    def _add_text(self, lines: list[str], shape: _Shape, whole: int) -> None:
        """Add an entry whose head has been dealt with; `whole`: its bytes behind that."""
        self._hits += 1
        lines.append(self._head_text)
        lines.append(shape.before)
        for place in shape.places:
            number = whole >> place.shift & place.ones
            if place.form == _IPV4:
                lines.append(self._ipv4_text(number))
            else:
                lines.append(str(number) if place.form == _NUMBER else format_mac(number))
            lines.append(place.after)

    def _ipv4_text(self, address: int) -> str:
        network = self._networks.get(address >> 8)
        if network is None:
            network = f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}."
            if len(self._networks) < _MAX_NETWORKS:
                self._networks[address >> 8] = network
        return network + str(address & 255)

    def _text_of_head(self, entry: bytes, shape: _Shape, nicira: bool) -> str:
        """All before the match; empty if that is not as usual: counts are unknown."""
        table_id, sec, nsec, cookie, n_packets, n_bytes = _read_fixed(entry)
        if n_packets == UNKNOWN or n_bytes == UNKNOWN:
            return ""
        if sec != self._sec or nsec != self._nsec:
            # Flows that came at once are of the same age.
            self._sec, self._nsec = sec, nsec
            self._duration = format_duration(sec, nsec)
        ages = _ages(entry, sec) if nicira else ""
        return (
            f"{_START}cookie={hex(cookie)}, duration={self._duration}, table={table_id}, "
            f"n_packets={n_packets}, n_bytes={n_bytes}, {shape.middle}{ages}"
        )

    def _line_of_new(self, entry: bytes, version: int, nicira: bool) -> str:
        self._misses += 1
        read = read_nx_stats if nicira else read_stats11
        flow = read(entry, version, self._known)
        if self._n_shapes < _MAX_SHAPES and self._misses < _MAX_MISSES + self._hits:
            self._learn(entry, flow, version, nicira)
        return flow_stats_text(flow, self._style, True, self._texts)

    def _learn(self, entry: bytes, flow: m.FlowStats, version: int, nicira: bool) -> None:
        """Keep the shape of an entry, if it has one."""
        if nicira:
            start, end = _MATCH, _MATCH + int.from_bytes(entry[18:20], "big")
        elif entry[_MATCH : _MATCH + 2] == b"\0\1":
            start, end = _MATCH + 4, _MATCH + int.from_bytes(entry[50:52], "big")
        else:
            return
        template = oxm_table(version).templates.find(entry[start:end])
        if template is None or template.mask != flow.match.mask:
            return
        behind = 8 * (len(entry) - end)
        places = {name: shift + behind for name, shift in _free_places(template).items()}
        shape = _shape_of(flow, places, self._style)
        if shape is None:
            return
        bits = (1 << 8 * (len(entry) - _MATCH)) - 1
        for place in shape.places:
            bits &= ~(place.ones << place.shift)
        sets = self._shapes.setdefault(len(entry), [])
        shapes = next((known for same, known in sets if same == bits), None)
        if shapes is None:
            if len(sets) == _MAX_SETS:
                return
            shapes = {}
            sets.append((bits, shapes))
        shape.size = len(entry)
        shape.bits = bits
        shape.value = int.from_bytes(entry[_MATCH:], "big") & bits
        shape.fixed = _fixed(entry, nicira)
        shapes[shape.fixed, shape.value] = shape
        self._n_shapes += 1


def _fixed(entry: bytes, nicira: bool) -> bytes:
    """Priority, timeouts, and what else of an entry has to be the same: the length of its match,
    or flags and importance."""
    return entry[_FIXED : _FIXED + (8 if nicira else 10)]


def _ages(entry: bytes, duration_sec: int) -> str:
    """How long a flow was idle and unchanged, as Nicira's replies tell (0: they do not)."""
    idle_age = int.from_bytes(entry[20:22], "big") - 1
    hard_age = int.from_bytes(entry[22:24], "big") - 1
    text = f"idle_age={idle_age}, " if idle_age >= 0 else ""
    if hard_age >= 0 and hard_age != duration_sec:
        text += f"hard_age={hard_age}, "
    return text


def _free_places(template: Template) -> dict[str, int]:
    """The members of the key that entries of this shape may differ in, and where in them they
    are."""
    places = {}
    for shift, ones, to in template.moves:
        for name in _FREE:
            slot = SLOT[name]
            bits = ones << to
            if to == slot.shift and bits == slot.mask and template.mask & bits == bits:
                places[name] = shift
    return {name: at for name, at in places.items() if not template.demands & SLOT[name].mask}


def _shape_of(flow: m.FlowStats, places: dict[str, int], style: Style) -> _Shape | None:
    """Where in the text of a flow the values of these fields are; None if that is not clear."""
    plain = replace(flow, cookie=0, table_id=0, idle_age=-1, hard_age=-1)
    bare = replace(plain, match=MATCH_ALL, actions=(), priority=0x8000)
    middle = flow_stats_text(bare, style, False).removesuffix(_NO_ACTIONS)
    cut = []
    order: list[str] = []
    for which in (0, 1):
        value = flow.match.value
        shown: dict[str, str] = {}
        for name in places:
            form, samples = _FREE[name]
            slot = SLOT[name]
            value = value & ~slot.mask | samples[which] << slot.shift
            shown[name] = "=" + _FORMS[form](samples[which])
        text = flow_stats_text(replace(plain, match=Match(value, flow.match.mask)), style, False)
        if any(text.count(words) != 1 for words in shown.values()):
            return None
        found = sorted((text.index(words), name) for name, words in shown.items())
        order = [name for _, name in found]
        for words in shown.values():
            text = text.replace(words, "=" + _MARK)
        cut.append(text)
    if cut[0] != cut[1] or not cut[0].startswith(middle):
        return None
    texts = cut[0][len(middle) :].split(_MARK)
    if len(texts) != len(places) + 1:
        return None
    found_places = [
        _Place(places[name], SLOT[name].mask >> SLOT[name].shift, _FREE[name][0], after)
        for name, after in zip(order, texts[1:], strict=True)
    ]
    return _Shape(middle, texts[0], found_places)
