"""Dumps of many flows to text: what `format_message` prints of a flow stats reply, faster.

Flows of a table often differ in an address or a port number, in their cookies and in what they have
counted. A *shape* is all else of an entry: its bytes but for those of such fields, and the text
that they become. It is learned from an entry that was decoded and printed as any other: printed
twice more, with two sets of conspicuous values in these fields, it shows where in the text they
stand. An entry of a known shape is a few slices and one string; that takes a third of the time.

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
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_table import read_frame
from netloom.openflow.message_text import Style, format_message, header_text, hex_dump
from netloom.openflow.messages import UNKNOWN
from netloom.openflow.oxm import oxm_table
from netloom.openflow.text_flows import flow_stats_text, format_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from netloom.openflow import messages as m
    from netloom.openflow.actions import Action
    from netloom.openflow.message_table import Frame
    from netloom.openflow.oxm_template import Template

#: Member of the key -> its text, two values that stand out.
_FREE: dict[str, tuple[Callable[[int], str], tuple[int, int]]] = {
    "nw_src": (format_ipv4, (0xC63364D5, 0xCB00714D)),
    "nw_dst": (format_ipv4, (0xC63364D6, 0xCB00714E)),
    "dl_src": (format_mac, (0xDEADBEEFF00D, 0x0123456789AB)),
    "dl_dst": (format_mac, (0xDEADBEEFF11D, 0x0123456789AC)),
    "tp_src": (str, (54_321, 34_567)),
    "tp_dst": (str, (54_312, 34_576)),
}
#: Table, seconds, nanoseconds; cookie, packets, bytes.
_read_fixed: Final = Struct(">2xBxII12xQQQ").unpack_from
_MATCH: Final = 48
#: Shapes of a dump, at most; so many entries of unknown shape, more than those of known ones, and
#: it is not worth looking.
_MAX_SHAPES: Final = 4_096
_MAX_MISSES: Final = 1_024
#: Sets of fields that are tried for an entry of one length.
_MAX_SETS: Final = 4

_NO_ACTIONS: Final = "actions=drop"
_MARK: Final = "\0"


class _Shape:
    """Texts around the values, of which there is one less."""

    __slots__ = ("middle", "places", "texts")

    def __init__(
        self, middle: str, texts: list[str], places: list[tuple[int, int, Callable[[int], str]]]
    ) -> None:
        #: Timeouts and flags, which come before the ages.
        self.middle = middle
        self.texts = texts
        #: (shift of the value behind the fixed part, its ones, its text), in order of the text.
        self.places = places

    def text(self, whole: int) -> str:
        """Match and actions, of these bytes."""
        out = self.texts[0]
        for (shift, ones, form), text in zip(self.places, self.texts[1:], strict=True):
            out += form(whole >> shift & ones) + text
        return out


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
        self._n_shapes = 0
        self._hits = self._misses = 0
        self._known: dict[bytes, tuple[Action, ...]] = {}
        self._texts: dict[int, str] = {}
        #: The age that was shown last.
        self._sec = self._nsec = -1
        self._duration = ""

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
        while pos < len(data):
            size = data[pos] << 8 | data[pos + 1]
            entry = data[pos : pos + size]
            if size < (_MATCH if nicira else _MATCH + 8) or len(entry) < size:
                raise OpenFlowError("OFPBRC_BAD_LEN")
            try:
                line = self._line(entry, frame.version, nicira)
            except OpenFlowError as error:
                raise _WrongFlow(error.name) from None
            lines.append("\n " + line)
            pos += size

    def _line(self, entry: bytes, version: int, nicira: bool) -> str:
        """One flow."""
        whole = int.from_bytes(entry[_MATCH:], "big")
        fixed = entry[12:20] if nicira else entry[12:22]
        for bits, shapes in self._shapes.get(len(entry), ()):
            shape = shapes.get((fixed, whole & bits))
            if shape is not None:
                break
        else:
            return self._line_of_new(entry, version, nicira)
        self._hits += 1
        table_id, sec, nsec, cookie, n_packets, n_bytes = _read_fixed(entry)
        if n_packets == UNKNOWN or n_bytes == UNKNOWN:
            return self._line_of_new(entry, version, nicira)
        if sec != self._sec or nsec != self._nsec:
            # Flows that came at once are of the same age.
            self._sec, self._nsec = sec, nsec
            self._duration = format_duration(sec, nsec)
        ages = _ages(entry, sec) if nicira else ""
        return (
            f"cookie={hex(cookie)}, duration={self._duration}, table={table_id}, "
            f"n_packets={n_packets}, n_bytes={n_bytes}, {shape.middle}{ages}{shape.text(whole)}"
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
        for shift, ones, _ in shape.places:
            bits &= ~(ones << shift)
        sets = self._shapes.setdefault(len(entry), [])
        shapes = next((known for same, known in sets if same == bits), None)
        if shapes is None:
            if len(sets) == _MAX_SETS:
                return
            shapes = {}
            sets.append((bits, shapes))
        fixed = entry[12:20] if nicira else entry[12:22]
        shapes[fixed, int.from_bytes(entry[_MATCH:], "big") & bits] = shape
        self._n_shapes += 1


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
            shown[name] = "=" + form(samples[which])
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
    return _Shape(
        middle, texts,
        [(places[name], SLOT[name].mask >> SLOT[name].shift, _FREE[name][0]) for name in order],
    )  # fmt: skip
