"""Lines of a file of flows that say the same but for some numbers, such as `nw_dst=10.0.0.7`.

A *shape* is a line that was read as any other, cut at the values of some words (addresses, ports of
transport, cookie, priority). Another line with the same text around its values has the same flow,
with other numbers in it: a few comparisons instead of a dozen words to look up. Such a flow stays
what it is, a shape and numbers (`AlikeFlow`), until somebody wants to know more: to send it, its
numbers are put between bytes that all flows of the shape share (`flow_encoder`).

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
from netloom.flow.address import format_ipv4, format_mac, parse_plain_ipv4
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


#: What kind of number a word has.
_IPV4: Final = 0
_MAC: Final = 1
_PORT: Final = 2
_COOKIE: Final = 3
#: Kind -> how it is written, and its bits.
_KINDS: dict[int, tuple[Callable[[int], str], int]] = {
    _IPV4: (format_ipv4, 32),
    _MAC: (format_mac, 48),
    _PORT: (str, 16),
    _COOKIE: (hex, 64),
}
#: Name of a word -> where its value goes (a member of the key, or of the flow mod), what kind of
#: number it is, a value to try.
_WORDS: dict[str, tuple[str, int, int]] = {
    "nw_src": ("nw_src", _IPV4, 0x0A0B0C0D),
    "nw_dst": ("nw_dst", _IPV4, 0x0E0F1011),
    "ip_src": ("nw_src", _IPV4, 0x0A0B0C0D),
    "ip_dst": ("nw_dst", _IPV4, 0x0E0F1011),
    "arp_spa": ("nw_src", _IPV4, 0x0A0B0C0D),
    "arp_tpa": ("nw_dst", _IPV4, 0x0E0F1011),
    "dl_src": ("dl_src", _MAC, 0x020406080A0C),
    "dl_dst": ("dl_dst", _MAC, 0x02040608191B),
    "tp_src": ("tp_src", _PORT, 1_235),
    "tp_dst": ("tp_dst", _PORT, 1_237),
    "tcp_src": ("tp_src", _PORT, 1_235),
    "tcp_dst": ("tp_dst", _PORT, 1_237),
    "udp_src": ("tp_src", _PORT, 1_235),
    "udp_dst": ("tp_dst", _PORT, 1_237),
    "cookie": ("new_cookie", _COOKIE, 0x12345),
    "priority": ("priority", _PORT, 1_239),
}
#: Where numbers go that are not in the match.
_TO_COOKIE: Final = -1
_TO_PRIORITY: Final = -2
#: Texts of numbers that are kept.
_MAX_TEXTS: Final = 65_536
#: As long as `255.255.255`, and one more.
_LONGEST_NETWORK: Final = 12
_OCTETS: dict[str, int] = {str(number): number for number in range(256)}


class _Numbers:
    """Reads numbers, and keeps those that come again and again."""

    __slots__ = ("_networks", "_ports")

    def __init__(self) -> None:
        #: The first three octets of addresses, as text -> the address without the fourth.
        self._networks: dict[str, int] = {}
        self._ports: dict[str, int] = {}

    def read(self, kind: int, text: str) -> int | None:
        """The number, if it is written in the plainest way."""
        if kind == _IPV4:
            return self._ipv4(text)
        if kind == _PORT:
            number = self._ports.get(text)
            if number is not None:
                return number
            number = _plain_port(text)
            if number is not None and len(self._ports) < _MAX_TEXTS:
                self._ports[text] = number
            return number
        return _plain_mac(text) if kind == _MAC else _plain_cookie(text)

    def _ipv4(self, text: str) -> int | None:
        dot = text.rfind(".")
        octet = _OCTETS.get(text[dot + 1 :])
        if octet is None or dot < 0:
            return parse_plain_ipv4(text)
        network = self._networks.get(text[:dot])
        if network is None:
            number = parse_plain_ipv4(text)
            if number is None:
                return None
            network = number - octet
            if dot < _LONGEST_NETWORK and len(self._networks) < _MAX_TEXTS:
                self._networks[text[:dot]] = network
        return network + octet


class FlowShape:
    """A flow, and the text around its numbers."""

    __slots__ = ("command", "first", "flow", "mask", "protocols", "steps", "value")

    def __init__(self, command: int, flow: m.FlowMod, protocols: int, first: str) -> None:
        self.command = command
        self.flow = flow
        self.protocols = protocols
        self.first = first
        #: Of each number: its kind, where it goes (a shift in the key, or `_TO_...`), the text
        #: behind it.
        self.steps: list[tuple[int, int, str]] = []
        self.value = flow.match.value
        self.mask = flow.match.mask

    def numbers(self, text: str, numbers: _Numbers) -> list[int] | None:
        """The numbers of a line, if it has this shape."""
        if not text.startswith(self.first):
            return None
        found: list[int] = []
        at = len(self.first)
        for kind, _, behind in self.steps:
            end = text.find(behind, at) if behind else len(text)
            number = numbers.read(kind, text[at:end]) if end > at else None
            if number is None:
                return None
            found.append(number)
            at = end + len(behind)
        return found if at == len(text) else None

    def flow_of(self, numbers: list[int]) -> m.FlowMod:
        """The flow with these numbers."""
        flow = self.flow
        value, cookie, priority = self.value, flow.new_cookie, flow.priority
        for number, (_, shift, _) in zip(numbers, self.steps, strict=True):
            if shift >= 0:
                value |= number << shift
            elif shift == _TO_COOKIE:
                cookie = number
            else:
                priority = number
        return m.FlowMod(
            flow.command, Match(value, self.mask), priority, flow.table_id, flow.actions,
            flow.cookie, flow.cookie_mask, cookie, flow.idle_timeout, flow.hard_timeout,
            flow.flags, flow.buffer_id, flow.out_port, flow.out_group, flow.importance,
        )  # fmt: skip

    def widths(self) -> list[int]:
        """Of each number, the bits that it has."""
        return [_KINDS[kind][1] for kind, _, _ in self.steps]


class AlikeFlow:
    """A flow of a shape."""

    __slots__ = ("numbers", "shape")

    def __init__(self, shape: FlowShape, numbers: list[int]) -> None:
        self.shape = shape
        self.numbers = numbers

    def flow(self) -> m.FlowMod:
        """What `parse_flow_mod` says of the line."""
        return self.shape.flow_of(self.numbers)


class FlowLines:
    """Of one file; `read` reads a line that has no known shape."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._shapes: list[FlowShape] = []
        self._numbers = _Numbers()
        self._hits = self._misses = 0

    def alike(self, text: str, kind: int) -> AlikeFlow | None:
        """The flow of a line, if it has a shape that is known."""
        for shape in self._shapes:
            if shape.command == kind:
                numbers = shape.numbers(text, self._numbers)
                if numbers is not None:
                    self._hits += 1
                    if shape is not self._shapes[0]:
                        self._shapes.remove(shape)
                        self._shapes.insert(0, shape)
                    return AlikeFlow(shape, numbers)
        return None

    def parse(self, text: str, kind: int, memory: FlowMemory) -> ReadFlow:
        """The flow of a line; errors as of `parse_flow_mod`."""
        known = self.alike(text, kind)
        return (
            self.parse_other(text, kind, memory)
            if known is None
            else (known.flow(), known.shape.protocols)
        )

    def parse_other(self, text: str, kind: int, memory: FlowMemory) -> ReadFlow:
        """The flow of a line that has no shape yet."""
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
    ) -> FlowShape | None:
        normal = is_normal_as(flow.match)
        if normal is None or normal not in memory.normal:
            return None
        cuts = _cuts(text)
        if not cuts or not may_be_kept(_between(text, cuts)):
            return None
        shape = FlowShape(command, flow, protocols, text[: cuts[0][0]])
        tried, expected = shape.first, flow
        for number, (_, end, name) in enumerate(cuts):
            place, kind, sample = _WORDS[name]
            behind = text[end : cuts[number + 1][0] if number + 1 < len(cuts) else len(text)]
            tried += _KINDS[kind][0](sample) + behind
            if place in ("new_cookie", "priority"):
                to = _TO_COOKIE if place == "new_cookie" else _TO_PRIORITY
                shape.steps.append((kind, to, behind))
                expected = replace(expected, **{place: sample})
                continue
            slot = SLOT[place]
            if flow.match.mask & slot.mask != slot.mask:
                return None
            shape.value &= ~slot.mask
            shape.steps.append((kind, slot.shift, behind))
            match = Match(expected.match.value & ~slot.mask | sample << slot.shift, shape.mask)
            expected = replace(expected, match=match)
        try:
            found = self._read(tried, command, memory)
        except ConfigError:
            return None
        if found != (expected, protocols) or is_normal_as(expected.match) != normal:
            return None
        numbers = shape.numbers(text, self._numbers)
        return shape if numbers is not None and shape.flow_of(numbers) == flow else None


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
