"""A fast way to read and write matches that look like one before.

Controllers send the same few shapes of match thousands of times: the same fields under the same
masks, with other values. A template is such a shape. It sees the entries as one number; a single
mask and comparison proves that all headers, masks and padding bits are those of the shape, and each
value is a shift away. That takes a third of the time of reading entry by entry.

What must hold: a template gives what `OxmTable.decode` gives, or nothing. It is learned from a
match that was read the slow way, checked against its result, and only the second time that its
shape comes. What depends on values (prerequisites, port numbers) is checked each time; a doubt is
left to the slow way, as is every error.

A recipe is the same for the other direction: headers and masks as one number, and where each value
goes.

Limits: few templates per length are tried, and a peer whose shapes are ever new (a fuzzer) has the
whole thing switched off for a while, so that it cannot make reading slower.
"""

from __future__ import annotations

from netloom.flow.fields import SLOT
from netloom.flow.match import Match, whole_match
from netloom.openflow.constants import OFP11_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from netloom.openflow.oxm import DecodeRow, OxmTable

_IN_PORT: Final = SLOT["in_port"]
#: OXM_OF_IN_PORT, of four bytes.
_IN_PORT_HEADER: Final = b"\x80\0\0\4"
#: NXM_OF_IN_PORT, of two bytes: the last 16 bits of a number, but for those between.
_SHORT_IN_PORT_HEADER: Final = b"\0\0\0\2"
_RESERVED: Final = 0xFFFFFF00
#: Templates tried for a match of one length.
_BUCKET: Final = 8
#: Shapes that were seen once and are remembered.
_SEEN: Final = 256
#: So many matches of unknown shape, and templates rest for so many matches.
_MAX_MISSES: Final = 4_096
_REST: Final = 65_536
#: Keys that are longer are not cut up: most of their bytes are zeros.
_MAX_KEY_BYTES: Final = 160
#: Reserved port numbers start here; they and wider numbers are not for templates.
_PORTS_END: Final = 0xFF00


class Template:
    """One shape: `whole & head_mask == head_value` proves it."""

    __slots__ = ("constant", "demanded", "demands", "head_mask", "head_value", "mask", "moves",
                 "ports")  # fmt: skip

    def __init__(self) -> None:
        self.head_mask = 0
        self.head_value = 0
        #: (shift of the value in the entries, its ones, its shift in the key).
        self.moves: list[tuple[int, int, int]] = []
        self.ports: list[int] = []
        self.constant = 0
        self.mask = 0
        self.demands = 0
        self.demanded = 0

    def settle(self, whole: int) -> None:
        """What others demand of a value is part of the shape: such values need not be moved.
        `whole`: the entries."""
        left = []
        for move in self.moves:
            shift, ones, to = move
            if ones << to & ~self.demands:
                left.append(move)
                continue
            self.head_mask |= ones << shift
            self.constant |= (whole >> shift & ones) << to
            self.demands &= ~(ones << to)
        self.moves = left
        self.demanded &= self.demands
        self.head_value = whole & self.head_mask

    def narrowed(self, before: Template | None, whole: int) -> Template:
        """This template for matches with the values of `whole`, which are entries that it reads,
        but for those that vary: that do in `before`, which this one made, or are others there."""
        narrow = Template()
        narrow.head_mask, narrow.head_value = self.head_mask, self.head_value
        narrow.constant, narrow.mask = self.constant, self.mask
        narrow.demands, narrow.demanded = self.demands, self.demanded
        narrow.ports = self.ports
        other = 0 if before is None else before.head_value ^ whole & before.head_mask
        for move in self.moves:
            shift, ones, to = move
            bits = ones << shift
            if other & bits or (before is not None and move in before.moves):
                narrow.moves.append(move)
                continue
            narrow.head_mask |= bits
            narrow.head_value |= whole & bits
            narrow.constant |= (whole >> shift & ones) << to
        return narrow

    def match_of(self, whole: int) -> Match | None:
        """The match that these entries are, if they have this shape."""
        if whole & self.head_mask != self.head_value:
            return None
        value = self.read(whole)
        return None if value is None else whole_match(value, self.mask)

    def read(self, whole: int) -> int | None:
        """The value of the match, if it may be read this way."""
        value = self.constant
        for shift, ones, to in self.moves:
            value |= (whole >> shift & ones) << to
        if self.demands and value & self.demands != self.demanded:
            return None
        for shift in self.ports:
            if whole >> shift & 0xFFFF >= _PORTS_END:
                return None
        return value


#: Bits of the field, their shift, bytes on the wire (0: a special case), headers without mask and
#: with one.
EncodeRow = tuple[int, int, int, bytes, bytes]


class Recipe:
    """How to write the matches with one mask, and one value under `pins`: what says of which
    protocols a packet is.

    Where every value is whole bytes of the key, they are cut out of it; otherwise they are moved,
    as numbers."""

    __slots__ = (
        "_constant", "_cuts", "_first", "_framed", "_moves", "_n_bytes", "_padded", "mask",
        "pinned", "pins", "short_port", "size",
    )  # fmt: skip

    def __init__(
        self, constant: int, moves: tuple[tuple[int, int, int], ...], size: int, mask: int,
        pins: int, pinned: int,
    ) -> None:  # fmt: skip
        self._constant = constant
        #: (bits of the field, its shift in the key, its shift in the entries).
        self._moves = moves
        self.size = size
        self.mask = mask
        self.pins = pins
        self.pinned = pinned
        #: Is there a port number of 16 bits, as which not every number can be written?
        self.short_port = False
        self._framed: Recipe | None = None
        self._padded: Recipe | None = None
        #: Bytes of the key; what comes before the first value; of each value, where it starts and
        #: ends in these bytes, and what comes after it. No bytes: values are moved.
        self._n_bytes = 0
        self._first = b""
        self._cuts: list[tuple[int, int, bytes]] = []
        self._find_cuts()

    def _find_cuts(self) -> None:
        # Of each value: where it starts in the entries, where it ends in the key from its end, and
        # its bytes.
        found: list[tuple[int, int, int]] = []
        n_bytes = (self.mask.bit_length() + 7) // 8
        for bits, shift, to in self._moves:
            width = (bits >> shift).bit_length()
            if (shift | to | width) & 7 or bits >> shift != (1 << width) - 1:
                return
            size = width // 8
            found.append((self.size - to // 8 - size, shift // 8, size))
            # The mask may lack the first bits.
            n_bytes = max(n_bytes, shift // 8 + size)
        if not found or n_bytes > _MAX_KEY_BYTES:
            return
        found.sort()
        whole = self._constant.to_bytes(self.size, "big")
        self._n_bytes = n_bytes
        self._first = whole[: found[0][0]]
        upto = [at for at, _, _ in found[1:]] + [self.size]
        for (at, after, size), until in zip(found, upto, strict=True):
            end = n_bytes - after
            self._cuts.append((end - size, end, whole[at + size : until]))

    def fits(self, value: int) -> bool:
        """Can this value be written so?"""
        if not self.short_port:
            return True
        port = _IN_PORT.get(value)
        return port < _PORTS_END or port >= _RESERVED

    def write(self, value: int) -> bytes:
        """The bytes of the match with this value."""
        out: list[bytes] = []
        self.add_to(out, value)
        return out[0] if len(out) == 1 else b"".join(out)

    def add_to(self, out: list[bytes], value: int) -> None:
        """Append the bytes of the match with this value, in pieces."""
        if self._n_bytes:
            raw = value.to_bytes(self._n_bytes, "big")
            out.append(self._first)
            for start, end, after in self._cuts:
                out.append(raw[start:end])
                out.append(after)
            return
        whole = self._constant
        for bits, shift, to in self._moves:
            whole |= (value & bits) >> shift << to
        out.append(whole.to_bytes(self.size, "big"))

    @property
    def framed(self) -> Recipe:
        """The recipe for the same with type and length before it and padding behind, as OpenFlow
        1.2 has it."""
        if self._framed is None:
            self._framed = self._within(1 << 16 | 4 + self.size, 4)
        return self._framed

    @property
    def padded(self) -> Recipe:
        """The recipe for the same with padding behind, as Nicira's messages have it."""
        if self._padded is None:
            self._padded = self._within(0, 0)
        return self._padded

    def _within(self, head: int, head_bytes: int) -> Recipe:
        """With so many bytes before it, and as many behind as make it a multiple of 8."""
        pad = -(head_bytes + self.size) % 8
        constant = (head << 8 * self.size | self._constant) << 8 * pad
        moves = tuple([(bits, shift, to + 8 * pad) for bits, shift, to in self._moves])
        size = head_bytes + self.size + pad
        return Recipe(constant, moves, size, self.mask, self.pins, self.pinned)


def derive_recipe(
    plan: tuple[EncodeRow, ...], mask: int, version: int, pins: int, pinned: int
) -> Recipe | None:
    """The recipe for `mask`; None if the entries depend on more than the mask and the pins."""
    constant = size = 0
    short_port = False
    places: list[tuple[int, int, int]] = []
    for field_mask, shift, n_bytes, exact, masked in plan:
        bits = mask & field_mask
        if not bits:
            continue
        is_exact = bits == field_mask
        if n_bytes == 0:
            if field_mask != _IN_PORT.mask or not is_exact:
                return None
            shift, n_bytes, exact = _IN_PORT.shift, 4, _IN_PORT_HEADER
            if version < OFP11_VERSION:
                n_bytes, exact, short_port = 2, _SHORT_IN_PORT_HEADER, True
                field_mask = 0xFFFF << shift
        head = exact if is_exact else masked
        constant = constant << 8 * len(head) | int.from_bytes(head, "big")
        constant <<= 8 * n_bytes
        size += len(head) + n_bytes
        if field_mask & ~pins:
            places.append((field_mask, shift, size))
        else:
            constant |= (pinned & field_mask) >> shift
        if not is_exact:
            constant = constant << 8 * n_bytes | bits >> shift
            size += n_bytes
    moves = tuple([(bits, shift, 8 * (size - end)) for bits, shift, end in places])
    recipe = Recipe(constant, moves, size, mask, pins, pinned)
    recipe.short_port = short_port
    return recipe


class Templates:
    """The templates of one version."""

    def __init__(self) -> None:
        self._buckets: dict[int, list[Template]] = {}
        self._seen: set[tuple[int, int, int, int]] = set()
        self._misses = 0
        self._rest = 0

    def decode(self, body: bytes) -> Match | None:
        """The match that these entries are, if a template has their shape."""
        bucket = self._buckets.get(len(body))
        if bucket is not None:
            whole = int.from_bytes(body, "big")
            for template in bucket:
                match = template.match_of(whole)
                if match is not None:
                    return match
        return None

    def find(self, body: bytes) -> Template | None:
        """The template that has the shape of these entries."""
        whole = int.from_bytes(body, "big")
        for template in self._buckets.get(len(body), ()):
            if whole & template.head_mask == template.head_value:
                return template
        return None

    def learn(self, table: OxmTable, body: bytes, value: int, mask: int) -> None:
        """These entries were read the slow way, as `value` and `mask`."""
        if self._rest:
            self._rest -= 1
            return
        self._misses += 1
        if self._misses > _MAX_MISSES:
            self._buckets.clear()
            self._seen.clear()
            self._misses = 0
            self._rest = _REST
            return
        bucket = self._buckets.get(len(body), [])
        if len(bucket) >= _BUCKET:
            return
        template = _derive(table, body, value, mask)
        if template is None:
            return
        shape = (len(body), template.head_mask, template.head_value, template.demanded)
        if shape in self._seen:
            self._buckets.setdefault(len(body), []).append(template)
        elif len(self._seen) < _SEEN:
            self._seen.add(shape)
        else:
            self._seen.clear()


def _derive(table: OxmTable, body: bytes, value: int, mask: int) -> Template | None:
    """The template of these entries; None if there can be none."""
    template = Template()
    template.mask = mask
    pos = 0
    while pos < len(body):
        row = table.row(body, pos)
        if row is None:
            return None
        size = 4 + body[pos + 3]
        _add_entry(template, row, body, pos, size)
        if not _add_demand(template, row, value):
            return None
        pos += size
    if template.constant & template.demands:
        # A later entry implies what an earlier one has to say: not to be told apart here.
        return None
    whole = int.from_bytes(body, "big")
    template.settle(whole)
    return template if template.read(whole) == value else None


def _add_entry(template: Template, row: DecodeRow, body: bytes, pos: int, size: int) -> None:
    """The proof and the move of the entry at `pos`."""

    def shift(end: int) -> int:
        return 8 * (len(body) - end)

    start = pos + row.offset
    middle = start + row.n_bytes
    ones = (1 << 8 * row.n_bytes) - 1
    free = ones & row.valid
    if row.kind and row.valid:
        template.ports.append(shift(middle))
        free &= 0xFFFF
    if row.masked:
        wanted = int.from_bytes(body[middle : middle + row.n_bytes], "big")
        template.head_mask |= ones << shift(pos + size)
        free &= wanted
    header = (1 << 8 * row.offset) - 1
    template.head_mask |= header << shift(start) | (ones & ~free) << shift(middle)
    template.moves.append((shift(middle), ones, row.shift))
    template.constant |= row.implied


def _add_demand(template: Template, row: DecodeRow, value: int) -> bool:
    """The prerequisites of an entry, in the way in which `value` meets them."""
    if not row.prerequisites:
        return True
    for bits, demanded in row.prerequisites:
        if value & bits == demanded:
            template.demands |= bits
            template.demanded |= demanded
            return True
    return False
