"""Lines of a file of flows that say the same but for some numbers, such as `nw_dst=10.0.0.7`.

A *shape* is a line that was read as any other, cut at the values of some words (addresses, ports of
transport, cookie, priority). Another line with the same text around its values has the same flow,
with other numbers in it: a few comparisons instead of a dozen words to look up.

What must hold: a line gives the flow and the protocols that `parse_flow_mod` gives, or nothing. A
shape is learned by trying: the line with other values in its place must become the flow with these
values. It must have no other effect, so lines whose reading may log something have none
(`flow_memory.may_be_kept`, and matches that are not normal). Values that are not written in the
plainest way, and all that is wrong, are for `parse_flow_mod`.

Limits: few shapes are tried for each line, the latest first; when most lines find none, looking
stops.
"""

from __future__ import annotations

from netloom.base.errors import ConfigError
from netloom.base.record import replace
from netloom.flow.address import format_ipv4, format_mac, parse_ipv4
from netloom.flow.fields import SLOT
from netloom.flow.match import Match
from netloom.flow.prerequisites import is_normal_as
from netloom.openflow import messages as m
from netloom.openflow.flow_memory import FlowMemory, may_be_kept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    #: A flow and the protocols that can say it.
    ReadFlow = tuple[m.FlowMod, int]
    #: Reads a line, as `parse_flow_mod` does.
    Read = Callable[[str, int, FlowMemory], ReadFlow]

_MAX_SHAPES: Final = 8
#: So many lines more without a shape than with one, and it is not worth looking.
_MAX_MISSES: Final = 256
_PORTS: Final = 1 << 16
#: The last one means something else to some commands.
_COOKIES: Final = (1 << 64) - 1


def _plain_ipv4(text: str) -> int | None:
    return parse_ipv4(text) if len(text) <= 15 else None


def _plain_mac(text: str) -> int | None:
    """Six times two digits."""
    if len(text) != 17 or text.count(":") != 5:
        return None
    try:
        octets = bytes.fromhex(text.replace(":", ""))
    except ValueError:
        return None
    return int.from_bytes(octets, "big") if octets.hex(":") == text else None


def _plain_number(text: str, limit: int) -> int | None:
    if not (text.isascii() and text.isdigit()) or (text[0] == "0" and text != "0"):
        return None
    if len(text) > 20:
        return None
    number = int(text)
    return number if number < limit else None


def _plain_port(text: str) -> int | None:
    return _plain_number(text, _PORTS)


def _plain_cookie(text: str) -> int | None:
    if not text.startswith("0x"):
        return _plain_number(text, _COOKIES)
    digits = text[2:]
    if not digits or len(digits) > 16 or not digits.isalnum() or not digits.isascii():
        return None
    try:
        number = int(digits, 16)
    except ValueError:
        return None
    return number if number < _COOKIES else None


#: Name of a word -> where its value goes (a member of the key, or of the flow mod), how it is read
#: and written, a value to try.
_WORDS: dict[str, tuple[str, Callable[[str], int | None], Callable[[int], str], int]] = {
    "nw_src": ("nw_src", _plain_ipv4, format_ipv4, 0x0A0B0C0D),
    "nw_dst": ("nw_dst", _plain_ipv4, format_ipv4, 0x0E0F1011),
    "ip_src": ("nw_src", _plain_ipv4, format_ipv4, 0x0A0B0C0D),
    "ip_dst": ("nw_dst", _plain_ipv4, format_ipv4, 0x0E0F1011),
    "arp_spa": ("nw_src", _plain_ipv4, format_ipv4, 0x0A0B0C0D),
    "arp_tpa": ("nw_dst", _plain_ipv4, format_ipv4, 0x0E0F1011),
    "dl_src": ("dl_src", _plain_mac, format_mac, 0x020406080A0C),
    "dl_dst": ("dl_dst", _plain_mac, format_mac, 0x02040608191B),
    "tp_src": ("tp_src", _plain_port, str, 1_235),
    "tp_dst": ("tp_dst", _plain_port, str, 1_237),
    "tcp_src": ("tp_src", _plain_port, str, 1_235),
    "tcp_dst": ("tp_dst", _plain_port, str, 1_237),
    "udp_src": ("tp_src", _plain_port, str, 1_235),
    "udp_dst": ("tp_dst", _plain_port, str, 1_237),
    "cookie": ("new_cookie", _plain_cookie, hex, 0x12345),
    "priority": ("priority", _plain_port, str, 1_239),
}


class _Shape:
    """A flow, and the text around its numbers."""

    __slots__ = ("command", "first", "flow", "mask", "protocols", "steps", "value")

    def __init__(self, command: int, flow: m.FlowMod, protocols: int, first: str) -> None:
        self.command = command
        self.flow = flow
        self.protocols = protocols
        self.first = first
        #: Of each number: how it is read, where it goes (a shift in the key; -1: the cookie, -2:
        #: the priority), the text behind it.
        self.steps: list[tuple[Callable[[str], int | None], int, str]] = []
        self.value = flow.match.value
        self.mask = flow.match.mask

    def read(self, text: str) -> m.FlowMod | None:
        """The flow of a line, if it has this shape."""
        if not text.startswith(self.first):
            return None
        flow = self.flow
        value, cookie, priority = self.value, flow.new_cookie, flow.priority
        at = len(self.first)
        for parse, shift, behind in self.steps:
            end = text.find(behind, at) if behind else len(text)
            number = parse(text[at:end]) if end > at else None
            if number is None:
                return None
            if shift >= 0:
                value |= number << shift
            elif shift == -1:
                cookie = number
            else:
                priority = number
            at = end + len(behind)
        if at != len(text):
            return None
        return m.FlowMod(
            flow.command, Match(value, self.mask), priority, flow.table_id, flow.actions,
            flow.cookie, flow.cookie_mask, cookie, flow.idle_timeout, flow.hard_timeout,
            flow.flags, flow.buffer_id, flow.out_port, flow.out_group, flow.importance,
        )  # fmt: skip


class FlowLines:
    """Of one file; `read` reads a line that has no known shape."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._shapes: list[_Shape] = []
        self._hits = self._misses = 0

    def parse(self, text: str, kind: int, memory: FlowMemory) -> ReadFlow:
        """The flow of a line; errors as of `parse_flow_mod`."""
        for shape in self._shapes:
            if shape.command == kind and (flow := shape.read(text)) is not None:
                self._hits += 1
                if shape is not self._shapes[0]:
                    self._shapes.remove(shape)
                    self._shapes.insert(0, shape)
                return flow, shape.protocols
        flow, protocols = self._read(text, kind, memory)
        self._misses += 1
        if self._misses < _MAX_MISSES + self._hits:
            new = self._shape_of(text, kind, flow, protocols, memory)
            if new is not None:
                self._shapes.insert(0, new)
                del self._shapes[_MAX_SHAPES:]
        elif self._shapes:
            self._shapes.clear()
        return flow, protocols

    def _shape_of(
        self, text: str, command: int, flow: m.FlowMod, protocols: int, memory: FlowMemory
    ) -> _Shape | None:
        normal = is_normal_as(flow.match)
        if normal is None or normal not in memory.normal:
            return None
        cuts = _cuts(text)
        if not cuts or not may_be_kept(_between(text, cuts)):
            return None
        shape = _Shape(command, flow, protocols, text[: cuts[0][0]])
        tried, expected = shape.first, flow
        for number, (_, end, name) in enumerate(cuts):
            place, parse, form, sample = _WORDS[name]
            behind = text[end : cuts[number + 1][0] if number + 1 < len(cuts) else len(text)]
            tried += form(sample) + behind
            if place in ("new_cookie", "priority"):
                shape.steps.append((parse, -1 if place == "new_cookie" else -2, behind))
                expected = replace(expected, **{place: sample})
                continue
            slot = SLOT[place]
            if flow.match.mask & slot.mask != slot.mask:
                return None
            shape.value &= ~slot.mask
            shape.steps.append((parse, slot.shift, behind))
            match = Match(expected.match.value & ~slot.mask | sample << slot.shift, shape.mask)
            expected = replace(expected, match=match)
        try:
            found = self._read(tried, command, memory)
        except ConfigError:
            return None
        if found != (expected, protocols) or is_normal_as(expected.match) != normal:
            return None
        return shape if shape.read(text) == flow else None


def _cuts(text: str) -> list[tuple[int, int, str]]:
    """(start, end, name) of the values in the words before the actions."""
    upto = text.find("action")
    match = text if upto < 0 else text[:upto]
    found = []
    at = 0
    for word in match.replace(" ", ",").split(","):
        name, equals, _ = word.partition("=")
        if equals and name in _WORDS:
            found.append((at + len(name) + 1, at + len(word), name))
        at += len(word) + 1
    return found


def _between(text: str, cuts: list[tuple[int, int, str]]) -> str:
    """The text without the values."""
    starts = [0, *(end for _, end, _ in cuts)]
    ends = [*(start for start, _, _ in cuts), len(text)]
    return "\0".join(text[start:end] for start, end in zip(starts, ends, strict=True))
