"""Matches as type-length-value lists: NXM of OpenFlow 1.0 with the Nicira extensions, OXM of 1.2+.

An entry is a 32-bit header (class, field, has-mask, length), for class 0xffff the experimenter's
id, the value and, if the header says so, a mask. The header decides everything, so a table per
version maps headers to rows of integers, built from the field table at first use: decoding is a
dictionary look-up, a shift and two ORs per entry.

What must hold in a list (ovs-fields(7)): an entry's prerequisites come before it, no field twice,
no bit in a value where the mask has none. Errors are OFPBMC_*, as `OpenFlowError`.

Encoding writes fields in a fixed order, so that equal matches have equal bytes; aliases (the
IPv4 source is ARP's SPA too) are told apart by the Ethernet type and the IP protocol that the
match demands. A field whose prerequisites it does not demand means nothing and is not written.
"""

from __future__ import annotations

from netloom.base.log import get_logger
from netloom.flow import prerequisites
from netloom.flow.fields import (
    BY_CODE,
    FIELD,
    PREREQUISITES,
    SLOT,
    TRANSPORT,
    TUN_OPTIONS_MASK,
    TUN_PRESENT_SHIFT,
    CodePoint,
    Field,
)
from netloom.flow.match import Match
from netloom.flow.ports import port_from_of10, port_from_of11, port_to_of10
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.oxm_options import (
    OPTIONS,
    decode_option,
    encode_options,
    log_wildcards,
)
from netloom.openflow.oxm_order import entry_order
from netloom.openflow.oxm_template import EncodeRow, Recipe, Templates, derive_recipe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

log: Final = get_logger("nx_match")

#: The cookie of a flow as a match entry, in Nicira's messages of OpenFlow 1.0.
COOKIE_HEADER: Final = 0x0001_3C08
COOKIE_HEADER_W: Final = 0x0001_3D10

_DL_TYPE: Final = SLOT["dl_type"]
_NW_PROTO: Final = SLOT["nw_proto"]
_TYPE_SLOT: Final = SLOT["packet_type"]
_TP_SRC: Final = SLOT["tp_src"]
_TP_DST: Final = SLOT["tp_dst"]
_TCI: Final = SLOT["vlan_tci"]
#: Fields that are always written and say that a packet is a frame.
_ETHERNET: Final = _TCI.mask | _DL_TYPE.mask | SLOT["dl_src"].mask | SLOT["dl_dst"].mask
_SAY_FRAME = _ETHERNET
#: Ports of a connection, which nobody knows without its protocol.
_CT_PORTS: Final = SLOT["ct_tp_src"].mask | SLOT["ct_tp_dst"].mask
_CT_PROTO: Final = SLOT["ct_nw_proto"].mask
_PACKET_TYPE: Final = SLOT["packet_type"].mask
#: What is written or not depends on values.
_UNSURE: Final = _PACKET_TYPE | _CT_PORTS | _CT_PROTO
_ICMPV6: Final = 58
#: What tells of which protocols a packet is.
_PROTOCOLS: Final = _DL_TYPE.mask | _NW_PROTO.mask | _PACKET_TYPE
#: Fields that not all packets have.
_SOMETIMES = 0
#: A bit that no match has: a field whose bits include it is never written without its mask.
_NEVER: Final = TUN_OPTIONS_MASK + (1 << TUN_PRESENT_SHIFT)
#: Fields that only some frames have, and whose writing depends on others.
_DEEP = _CT_PORTS
for _field in FIELD.values():
    _SOMETIMES |= _field.mask if _field.prerequisite != "-" else 0
    if _field.prerequisite not in ("-", "ct", "eth", "nsh"):
        _DEEP |= _field.mask
    elif _field.prerequisite != "-":
        _SAY_FRAME |= _field.mask
_DEEP &= ~(_ETHERNET | _PACKET_TYPE)
_SAY_FRAME &= ~_CT_PORTS
_LATER_FRAGMENT: Final = 2 << SLOT["nw_frag"].shift

#: Kinds of a row, beyond plain bits.
_PLAIN, _PORT10, _PORT11, _ONE_OR_TWO = range(4)

#: Bits that a value may have, where that is not simply a number of bits.
_VALID: Final = {"nw_tos": 0xFC, "ct_state": 0xFF, "nsh_ttl": 0x3F}


def code_of(field: Field, version: int) -> CodePoint | None:
    """The code point that `version` (1: NXM) writes for `field`: the newest that it knows, else
    the oldest there is."""
    known = [code for code in field.codes if code.version <= version]
    if known:
        return max(known, key=lambda code: code.version)
    return min(field.codes, key=lambda code: code.version, default=None)


def _prefix(code: CodePoint, masked: bool) -> bytes:
    """Header and experimenter id of an entry."""
    vendor = code.vendor.to_bytes(4, "big") if code.vendor else b""
    return code.header(masked).to_bytes(4, "big") + vendor


def _prerequisites(field: Field) -> tuple[tuple[int, int], ...]:
    """Alternatives as (bits, value) that a key must have under the bits."""
    pairs = []
    for alternative in PREREQUISITES[field.prerequisite]:
        bits = value = 0
        for slot_name, demanded, mask in alternative:
            bits |= mask << SLOT[slot_name].shift
            value |= demanded << SLOT[slot_name].shift
        if field.prerequisite in TRANSPORT:
            bits |= _LATER_FRAGMENT
        pairs.append((bits, value))
    return tuple(pairs)


def _met_otherwise(row: DecodeRow, value: int, mask: int) -> bool:
    """Are the prerequisites met by a connection that is said not to be invalid, or if the packet
    type says what the Ethernet type would?"""
    if row.field.prerequisite == "ct":
        return prerequisites.ct_entry_matched(value, mask)
    packet_type = _TYPE_SLOT.get(value)
    if packet_type >> 16 != 1:
        return False
    value = _DL_TYPE.put(value, packet_type & 0xFFFF)
    return any(value & bits == demanded for bits, demanded in row.prerequisites)


class DecodeRow:
    """How to read the entries of one header."""

    __slots__ = (
        "at_least", "field", "field_mask", "implied", "kind", "masked", "n_bytes", "offset",
        "prerequisites", "shift", "taken", "valid",
    )  # fmt: skip

    def __init__(self, field: Field, code: CodePoint, masked: bool) -> None:
        self.field = field
        self.shift = field.shift
        self.n_bytes = code.n_bytes
        self.masked = masked
        #: Bytes before the value.
        self.offset = 8 if code.vendor else 4
        self.valid = _VALID.get(field.name, field.limit)
        self.field_mask = field.mask if field.name != "nw_tos" else 0xFC << field.shift
        self.implied = field.implied
        #: To ask for nothing in a frame still asks for a frame.
        self.at_least = _PACKET_TYPE if field.prerequisite != "-" else 0
        self.prerequisites = _prerequisites(field)
        self.kind = _PLAIN
        if field.form == "port10":
            self.kind = _PORT10
        elif field.form == "port":
            self.kind = _PORT11
        elif field.name == "nsh_mdtype":
            # No bit may be just any.
            self.kind, self.valid = _ONE_OR_TWO, 0
        if self.kind in (_PORT10, _PORT11):
            self.valid = (1 << 8 * code.n_bytes) - 1
            self.field_mask = field.slot.mask
        #: What must not have been said before. A field that not all packets have says of which
        #: type the packet is, unless that was said.
        self.taken = self.field_mask | (_SOMETIMES if field.name == "packet_type" else 0)


def _protocols(value: int) -> tuple[int, int, int]:
    """Ethernet type, IP protocol and type of neighbour discovery of a match, which say what may
    stand in it; 0 for none."""
    dl_type = value >> _DL_TYPE.shift & 0xFFFF
    nw_proto = value >> _NW_PROTO.shift & 0xFF
    if value & _PACKET_TYPE:
        packet_type = _TYPE_SLOT.get(value)
        dl_type = packet_type & 0xFFFF if packet_type >> 16 == 1 else 0
    if nw_proto == _ICMPV6 and value >> _TP_DST.shift & 0xFFFF == 0:
        return dl_type, nw_proto, value >> _TP_SRC.shift & 0xFFFF
    return dl_type, nw_proto, 0


class OxmTable:
    """The rows of one version, for both directions."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.templates = Templates()
        self._rows: dict[int, DecodeRow] = {}
        self._plans: dict[tuple[int, int, int], tuple[EncodeRow, ...]] = {}
        #: How to write matches with this mask, Ethernet type and protocol; None: slowly.
        self._recipes: dict[tuple[int, int, int, int], Recipe | None] = {}
        #: The recipe that was used last.
        self._recent: Recipe | None = None
        for field, code in BY_CODE.values():
            if field.dynamic:
                continue
            for masked in (False, True) if field.maskable else (False,):
                key = int.from_bytes(_prefix(code, masked), "big")
                self._rows[key] = DecodeRow(field, code, masked)

    # Decoding

    def row(self, data: bytes, pos: int) -> DecodeRow | None:
        header = int.from_bytes(data[pos : pos + 4], "big")
        if header >> 16 == 0xFFFF:
            header = int.from_bytes(data[pos : pos + 8], "big")
        return self._rows.get(header)

    def decode(
        self, data: bytes, pos: int, end: int, *, strict: bool = True, cookie: bool = False,
        options: bool = False,
    ) -> tuple[int, int, int, int]:  # fmt: skip
        """Value, mask, cookie and cookie mask of the entries in data[pos:end].

        Not `strict`: unknown fields are passed over (metadata of a newer switch), and so is the
        lack of those that others need. `options`: of tunnel options, which mean nothing without a
        table of them, the same holds in a strict list."""
        value = mask = cookie_value = cookie_mask = 0
        rows = self._rows
        from_bytes = int.from_bytes
        while pos < end:
            header = from_bytes(data[pos : pos + 4], "big")
            if header >> 16 == 0xFFFF:
                header = from_bytes(data[pos : pos + 8], "big")
            row = rows.get(header)
            size = 4 + data[pos + 3] if pos + 4 <= end else 5
            if pos + size > end:
                raise OpenFlowError("OFPBMC_BAD_LEN")
            if row is None:
                if header in (COOKIE_HEADER, COOKIE_HEADER_W) and cookie:
                    cookie_value, cookie_mask = _cookie(data, pos, header, cookie_mask)
                elif header >> 16 == _NXM_1 and header >> 9 & 0x7F in OPTIONS:
                    value, mask = _add_option(value, mask, *decode_option(data, pos, header))
                else:
                    usual = _usual_form(header, data[pos + 4 : pos + size], strict, options)
                    if usual is not None:
                        data = data[:pos] + usual + data[pos + size :]
                        end += len(usual) - size
                        continue
            else:
                start = pos + row.offset
                middle = start + row.n_bytes
                v = from_bytes(data[start:middle], "big")
                field_mask = row.field_mask
                if row.masked:
                    m = from_bytes(data[middle : middle + row.n_bytes], "big")
                    if v & ~m:
                        log_wildcards(header)
                        raise OpenFlowError("OFPBMC_BAD_WILDCARDS")
                    in_place = m << row.shift & field_mask or row.at_least
                else:
                    in_place = field_mask
                if v & ~row.valid or row.kind:
                    v = _check_value(row, v)
                if row.prerequisites and strict:
                    for bits, demanded in row.prerequisites:
                        if value & bits == demanded:
                            break
                    else:
                        if not _met_otherwise(row, value, mask):
                            raise OpenFlowError("OFPBMC_BAD_PREREQ")
                if mask & row.taken:
                    raise OpenFlowError("OFPBMC_DUP_FIELD")
                value |= v << row.shift | row.implied
                mask |= in_place | row.implied
            pos += size
        return value, mask, cookie_value, cookie_mask

    # Encoding

    def recipe(self, match: Match) -> Recipe | None:
        """How to write a match, if one like it was written before."""
        value, mask = match.value, match.mask
        recent = self._recent
        if recent is not None and mask == recent.mask and value & recent.pins == recent.pinned:
            return recent if recent.fits(value) else None
        dl_type, nw_proto, nd = _protocols(value)
        found = self._recipes.get((mask, dl_type, nw_proto, nd))
        if found is not None and nw_proto != _ICMPV6:
            # The types of ICMPv6 have fields of their own.
            self._recent = found
        return found if found is None or found.fits(value) else None

    def encode(self, match: Match, cookie: int = 0, cookie_mask: int = 0) -> bytes:
        """The entries of `match`, without padding."""
        value = match.value
        mask = match.mask
        if not cookie_mask:
            recipe = self.recipe(match)
            if recipe is not None:
                return recipe.write(value)
        dl_type, nw_proto, nd = _protocols(value)
        if value & _PACKET_TYPE and dl_type:
            value = _DL_TYPE.put(value, dl_type)
        plan = self._plans.get((dl_type, nw_proto, nd))
        if plan is None:
            plan = self._plan(dl_type, nw_proto, nd)
            if len(self._plans) < 64:
                self._plans[dl_type, nw_proto, nd] = plan
        # Does it go without saying that a packet is a frame, or does nobody ask?
        plain = (mask & _ETHERNET or not mask & _DEEP) and not mask & _UNSURE
        if plain and len(self._recipes) < 256 and not mask >> TUN_PRESENT_SHIFT:
            self._recipes[mask, dl_type, nw_proto, nd] = derive_recipe(
                plan, mask, self.version, _PROTOCOLS, value & _PROTOCOLS
            )
        out = []
        if value & _PACKET_TYPE or (mask & (_DEEP | _PACKET_TYPE) and not mask & _SAY_FRAME):
            # That a packet is a frame goes without saying if something is said of the frame.
            packet_type = (value & _PACKET_TYPE) >> FIELD["packet_type"].shift
            out.append(_entry(FIELD["packet_type"], self.version, packet_type))
        if mask & (_CT_PORTS | _CT_PROTO) and not value & _CT_PROTO:
            mask &= ~(_CT_PORTS | _CT_PROTO)
        for field_mask, shift, n_bytes, exact, masked in plan:
            bits = mask & field_mask
            if bits:
                if n_bytes == 0:
                    out.append(self._encode_special(field_mask, value, mask))
                elif bits == field_mask:
                    out.append(exact + ((value & field_mask) >> shift).to_bytes(n_bytes, "big"))
                else:
                    out.append(masked + ((value & field_mask) >> shift).to_bytes(n_bytes, "big")
                               + (bits >> shift).to_bytes(n_bytes, "big"))  # fmt: skip
        if cookie_mask == 0xFFFFFFFFFFFFFFFF:
            out.append((COOKIE_HEADER << 64 | cookie).to_bytes(12, "big"))
        elif cookie_mask:
            whole = COOKIE_HEADER_W << 128 | (cookie & cookie_mask) << 64 | cookie_mask
            out.append(whole.to_bytes(20, "big"))
        return b"".join(out)

    def _encode_special(self, field_mask: int, value: int, mask: int) -> bytes:
        if field_mask == TUN_OPTIONS_MASK:
            return encode_options(value, mask)
        if field_mask == _TCI.mask:
            return self._encode_vlan(_TCI.get(value), _TCI.get(mask))
        port = SLOT["in_port"].get(value)
        if self.version >= 2:
            return _entry(FIELD["in_port_oxm"], self.version, port)
        return _entry(FIELD["in_port"], self.version, port_to_of10(port) or 0)

    def _encode_vlan(self, tci: int, mask: int) -> bytes:
        """OXM has a field for VLAN id and presence, and one for the priority."""
        out = b""
        vid_bits = mask & 0x1FFF
        if vid_bits:
            out = _entry(FIELD["vlan_vid"], self.version, tci & 0x1FFF, vid_bits)
        if tci & 0x1FFF and mask >> 13:
            out += _entry(FIELD["vlan_pcp"], self.version, tci >> 13)
        return out

    def _plan(self, dl_type: int, nw_proto: int, nd: int) -> tuple[EncodeRow, ...]:
        """The rows that can occur with this Ethernet type and protocol, in order."""
        oxm = self.version >= 2
        rows = []
        for name in entry_order(self.version, dl_type, nw_proto, nd):
            if name == "tun_metadata0":
                rows.append((TUN_OPTIONS_MASK, 0, 0, b"", b""))
                continue
            if name == "in_port" or (name == "vlan_tci" and oxm):
                rows.append((FIELD[name].slot.mask, 0, 0, b"", b""))
                continue
            row = self._encode_row(FIELD[name])
            if row is not None:
                rows.append(row)
        return tuple(rows)

    def _encode_row(self, field: Field) -> EncodeRow | None:
        code = code_of(field, self.version)
        if code is None:
            return None
        bits = field.mask
        if field.n_bytes < field.slot.n_bytes:
            # Type and code of ICMP stand where wider ports would.
            bits &= (1 << 8 * field.n_bytes) - 1 << field.shift
        if field.name == "nw_tos":
            bits = 0xFC << field.shift
        elif field.name == "ct_state":
            # Of its 32 bits, those that there are.
            bits |= _NEVER
        elif field.name == "tun_flags":
            # Flags of which only some are public are never matched as a whole.
            bits = field.slot.mask
        return bits, field.shift, code.n_bytes, _prefix(code, False), _prefix(code, True)


def _entry(field: Field, version: int, value: int, mask: int | None = None) -> bytes:
    code = code_of(field, version)
    assert code is not None
    if mask is None or mask == field.ones:
        return _prefix(code, False) + value.to_bytes(code.n_bytes, "big")
    return (_prefix(code, True) + (value & mask).to_bytes(code.n_bytes, "big")
            + mask.to_bytes(code.n_bytes, "big"))  # fmt: skip


_NXM_1: Final = 1


def _check_value(row: DecodeRow, value: int) -> int:
    """A port number in the key's numbers; other values must fit their field."""
    if row.kind == _PORT10:
        return port_from_of10(value)
    if row.kind == _PORT11:
        port = port_from_of11(value)
        if port is None:
            raise OpenFlowError("OFPBMC_BAD_VALUE")
        return port
    if row.kind == _ONE_OR_TWO and value in (1, 2):
        return value
    raise OpenFlowError("OFPBMC_BAD_VALUE")


def _add_option(value: int, mask: int, option: int, bits: int) -> tuple[int, int]:
    if mask & bits:
        raise OpenFlowError("OFPBMC_DUP_FIELD")
    return value | option, mask | bits


def _usual_form(header: int, body: bytes, strict: bool, options: bool) -> bytes | None:
    """An entry that no row explains as one that does: without a byte that is left over, without a
    mask that a field may not have if that has all bits or none. None: pass over it. Raises what is
    wrong with it."""
    vendor = 0
    if header >> 48:
        if len(body) < 4:
            raise OpenFlowError("OFPBMC_BAD_LEN")
        header, vendor, body = header >> 32, header & 0xFFFFFFFF, body[4:]
    masked = bool(header & 0x100)
    width = len(body) // 2 if masked else len(body)
    mask = int.from_bytes(body[width : 2 * width], "big")
    if masked and int.from_bytes(body[:width], "big") & ~mask:
        log_wildcards(header << 32 | vendor if vendor else header)
        raise OpenFlowError("OFPBMC_BAD_WILDCARDS")
    found = BY_CODE.get((header >> 16, vendor, header >> 9 & 0x7F))
    if found is None or found[0].dynamic or width != found[1].n_bytes:
        # A field of another length is an unknown field.
        if strict and not (options and found is not None and found[0].dynamic):
            raise OpenFlowError("OFPBMC_BAD_FIELD")
        return None
    field, code = found
    if field.maskable:
        return _prefix(code, True) + body[: 2 * width]
    if not mask:
        return b""
    if mask != (1 << 8 * width) - 1:
        raise OpenFlowError("OFPBMC_BAD_MASK")
    return _prefix(code, False) + body[:width]


def _cookie(data: bytes, pos: int, header: int, seen: int) -> tuple[int, int]:
    if seen:
        raise OpenFlowError("OFPBMC_DUP_FIELD")
    value = int.from_bytes(data[pos + 4 : pos + 12], "big")
    if header == COOKIE_HEADER:
        return value, 0xFFFFFFFFFFFFFFFF
    mask = int.from_bytes(data[pos + 12 : pos + 20], "big")
    if value & ~mask:
        raise OpenFlowError("OFPBMC_BAD_WILDCARDS")
    return value, mask


#: Derived from the field table when a version is first used.
_TABLES: dict[int, OxmTable] = {}


def oxm_table(version: int) -> OxmTable:
    """The table of a wire version; 1 is NXM."""
    table = _TABLES.get(version)
    if table is None:
        table = _TABLES[version] = OxmTable(version)
    return table


# Whole matches


def encode_ofp12_match(match: Match, version: int) -> bytes:
    """`struct ofp_match` of OpenFlow 1.2 and later: type, length, entries, padding to 8."""
    table = _TABLES.get(version) or oxm_table(version)
    recipe = table.recipe(match)
    if recipe is not None:
        return recipe.framed.write(match.value)
    body = table.encode(match)
    size = 4 + len(body)
    return b"\0\1" + size.to_bytes(2, "big") + body + bytes(-size % 8)


def decode_ofp12_match(
    data: bytes, pos: int, version: int, *, strict: bool = True, options: bool = False
) -> tuple[Match, int]:
    """The match at `pos` and the position after its padding."""
    if len(data) - pos < 4:
        raise OpenFlowError("OFPBMC_BAD_LEN")
    kind, size = data[pos] << 8 | data[pos + 1], data[pos + 2] << 8 | data[pos + 3]
    after = pos + (size + 7 & ~7)
    if size >= 4 and kind != 1:
        raise OpenFlowError("OFPBMC_BAD_TYPE")
    if size < 4 or after > len(data):
        raise OpenFlowError("OFPBMC_BAD_LEN")
    table = _TABLES.get(version) or oxm_table(version)
    body = data[pos + 4 : pos + size]
    known = table.templates.decode(body)
    if known is not None:
        return known, after
    value, mask, _, _ = table.decode(data, pos + 4, pos + size, strict=strict, options=options)
    if strict and not mask >> TUN_PRESENT_SHIFT:
        table.templates.learn(table, body, value, mask)
    return Match(value, mask), after


# One field, as actions write it


def encode_field_header(field: Field, version: int, masked: bool = False) -> bytes:
    """The header (with experimenter id) of `field`, whose length counts the value; zeros for one
    without a number, which every reader refuses."""
    code = code_of(field, version)
    return bytes(4) if code is None else _prefix(code, masked)


def decode_field_header(data: bytes, pos: int) -> tuple[Field, bool, int]:
    """The field, whether a mask follows, and the position after the header; OFPBMC_BAD_FIELD for an
    unknown field, or one of another length."""
    header = int.from_bytes(data[pos : pos + 4], "big")
    vendor = 0
    after = pos + 4
    if header >> 16 == 0xFFFF:
        vendor = int.from_bytes(data[pos + 4 : pos + 8], "big")
        after = pos + 8
    size = (header & 0xFF) + pos + 4 - after
    if len(data) < after or size < 0:
        raise OpenFlowError("OFPBMC_BAD_LEN")
    found = BY_CODE.get((header >> 16, vendor, header >> 9 & 0x7F))
    masked = bool(header & 0x100)
    if found is None or not (found[0].dynamic or found[1].n_bytes == size >> masked):
        raise OpenFlowError("OFPBMC_BAD_FIELD")
    return found[0], masked, after


def is_field_code(data: bytes, pos: int) -> bool:
    """Does the header at `pos` name a field, if not with the right length?"""
    header = int.from_bytes(data[pos : pos + 4], "big")
    vendor = int.from_bytes(data[pos + 4 : pos + 8], "big") if header >> 16 == 0xFFFF else 0
    return (header >> 16, vendor, header >> 9 & 0x7F) in BY_CODE


def encode_field_value(field: Field, version: int, value: int, mask: int) -> bytes:
    """One entry. The length of a tunnel option is that of the numbers, as long as no TLV table
    says another."""
    masked = mask != field.ones
    size = field.n_bytes
    if field.form == "port10":
        value = port_to_of10(value) or 0
    if field.dynamic:
        size = (max(value, mask if masked else 0).bit_length() + 7) // 8
    out = value.to_bytes(size, "big") + (mask.to_bytes(size, "big") if masked else b"")
    head = encode_field_header(field, version, masked)
    if code_of(field, version) is None:
        return head + out
    return head[:3] + bytes([len(head) - 4 + len(out)]) + head[4:] + out
