"""Which tunnel option is which `tun_metadata` field: a bridge's TLV table (ovs-ofctl(8),
"add-tlv-map").

Options are Geneve's, named by class and type. All of the fields that are mapped share 256 bytes. A
change of several entries is made whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator

from netloom.base.record import replace
from netloom.flow.fields import (
    SLOT,
    TUN_METADATA,
    TUN_PRESENT_SHIFT,
    Field,
    option_field,
    option_present,
)
from netloom.flow.match import Match
from netloom.openflow import actions as a
from netloom.openflow import messages_nx as nx
from netloom.openflow.action_nesting import HOLDERS, flattened
from netloom.openflow.actions import Actions
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.fields_used import fields_of, parts_of
from netloom.packet.tunnel import build_option, split_options

MAX_FIELDS = 64
OPTION_SPACE = 256
_OPTION_HEADER = 4
#: The bit of an option's type that who does not know it must not ignore (RFC 8926, 3.5).
_CRITICAL = 0x80
#: Masks of matches on options are at least this.
_FIRST_OPTION = 1 << TUN_PRESENT_SHIFT
_OPTIONS, _OPTIONS_LENGTH = SLOT["tun_opts"], SLOT["tun_opt_present"]


def raw_options(key: int) -> bytes:
    """The options in a data path's key."""
    length = _OPTIONS_LENGTH.get(key)
    return _OPTIONS.get(key).to_bytes(_OPTIONS.n_bytes, "big")[:length] if length else b""


def packed_options(options: bytes) -> int:
    """The bits of a data path's key that say these options."""
    value = int.from_bytes(options.ljust(_OPTIONS.n_bytes, b"\0"), "big")
    return _OPTIONS_LENGTH.put(_OPTIONS.put(0, value), len(options))


def with_options_present(match: Match) -> int:
    """The key that a match on metadata describes: an option that is named is there."""
    key = match.value
    for index, field in enumerate(TUN_METADATA if match.mask >> TUN_PRESENT_SHIFT else ()):
        if match.mask & field.mask:
            key |= 1 << TUN_PRESENT_SHIFT + index
    return key


def _index(field: Field) -> int:
    return int(field.name.removeprefix("tun_metadata"))


def _fitting(value: int, bits: int, ones: int, option_len: int) -> tuple[int, int]:
    """Value and mask of an option of `option_len` bytes: of longer ones the first bytes count, as
    ever."""
    whole = (1 << 8 * option_len) - 1
    if bits == ones:
        excess = (value.bit_length() + 7) // 8 - option_len
        return (value >> 8 * excess if excess > 0 else value), whole
    excess = (bits.bit_length() + 7) // 8 - option_len
    if excess > 0:
        value, bits = value >> 8 * excess, bits >> 8 * excess
    return value, bits


class TlvTable:
    """The maps of one bridge, by number of the field."""

    def __init__(self) -> None:
        self._maps: dict[int, nx.TlvMap] = {}
        #: Grows with every change.
        self.generation = 0

    def get(self, index: int) -> nx.TlvMap | None:
        return self._maps.get(index)

    def field_names(self) -> frozenset[str]:
        """The fields that are mapped."""
        return frozenset(TUN_METADATA[index].name for index in self._maps)

    def find(self, option_class: int, option_type: int) -> nx.TlvMap | None:
        """The field of an option."""
        for each in self._maps.values():
            if (each.option_class, each.option_type) == (option_class, option_type):
                return each
        return None

    # Between what data paths know of options and what tables match

    def unpack(self, key: int) -> int:
        """`key` of a data path, with the options that are mapped at the fields' places."""
        for option_class, option_type, data in split_options(raw_options(key)):
            found = self.find(option_class, option_type)
            if found is not None and found.option_len == len(data):
                field = TUN_METADATA[found.index]
                key = key & ~field.mask | int.from_bytes(data, "big") << field.shift
                key |= 1 << TUN_PRESENT_SHIFT + found.index
        return key

    def can_read(self, key: int) -> bool:
        """Are the options of a data path's `key` whole, those that are mapped as long as their
        fields, and is none unknown that must be known?"""
        options = raw_options(key)
        found = split_options(options)
        if sum(_OPTION_HEADER + len(data) for _, _, data in found) != len(options):
            return False
        for option_class, option_type, data in found:
            field = self.find(option_class, option_type)
            if option_type & _CRITICAL if field is None else field.option_len != len(data):
                return False
        return True

    def raw_mask(self, key: int, mask: int) -> int:
        """The bits of `tun_opts` in a data path's `key` that a `mask` on options' fields depends
        on: which options there are, and the values that were asked for."""
        bits = _OPTIONS_LENGTH.mask
        at = 8 * _OPTIONS.n_bytes
        for option_class, option_type, data in split_options(raw_options(key)):
            at -= 32
            bits |= 0xFFFFFFFF << _OPTIONS.shift + at
            at -= 8 * len(data)
            found = self.find(option_class, option_type)
            if found is not None and found.option_len == len(data):
                wanted = mask >> TUN_METADATA[found.index].shift & (1 << 8 * len(data)) - 1
                bits |= wanted << _OPTIONS.shift + at
        return bits

    def pack(self, key: int) -> bytes:
        """The options of a packet that is sent: those that it came with or was given."""
        present = key >> TUN_PRESENT_SHIFT
        options = b""
        if present:
            for each in self:
                if present >> each.index & 1:
                    value = TUN_METADATA[each.index].get(key) & (1 << 8 * each.option_len) - 1
                    data = value.to_bytes(each.option_len, "big")
                    options += build_option(each.option_class, each.option_type, data)
        return options

    def option_bits(self, key: int) -> int:
        """The bits of the options that `key` has, each as long as it is mapped."""
        present = key >> TUN_PRESENT_SHIFT
        bits = 0
        for each in self if present else ():
            if present >> each.index & 1:
                bits |= (1 << 8 * each.option_len) - 1 << TUN_METADATA[each.index].shift
        return bits

    def adopt(self, match: Match) -> Match:
        """A match of a controller, whose exact values are as long as the options are; it matches
        packets that have the options. Raises OpenFlowError for an option that is not mapped."""
        value, mask = match.value, match.mask
        if mask < _FIRST_OPTION:
            return match
        for field in TUN_METADATA if mask >> TUN_PRESENT_SHIFT else ():
            bits = mask >> field.shift & field.ones
            present = option_present(field)
            if not bits and not mask & present:
                continue
            each = self._maps.get(_index(field))
            if each is None:
                raise OpenFlowError("NXFMFC_INVALID_TLV_FIELD")
            wanted, bits = _fitting(field.get(value), bits, field.ones, each.option_len)
            mask = mask & ~field.mask | bits << field.shift | present
            value = value & ~field.mask | wanted << field.shift | present
        return Match(value, mask)

    def adopt_actions(self, actions: Actions) -> Actions:
        """Actions of a controller, whose values are as long as the options are. Raises
        OpenFlowError for an option that is not mapped or not as long."""
        found = False
        for action in flattened(actions):
            for field in fields_of(action):
                if field.dynamic and _index(field) not in self._maps:
                    raise OpenFlowError("NXFMFC_INVALID_TLV_FIELD")
                found = found or field.dynamic
            for part in parts_of(action):
                if part.field.dynamic:
                    n_bits = 8 * self._maps[_index(part.field)].option_len
                    if part.offset + part.n_bits > n_bits:
                        raise OpenFlowError("OFPBAC_BAD_SET_LEN")
        return tuple(map(self._fitted, actions)) if found else actions

    def _fitted(self, action: a.Action) -> a.Action:
        if isinstance(action, a.SetField) and action.field.dynamic:
            length = self._maps[_index(action.field)].option_len
            ones = action.field.ones
            value, mask = _fitting(action.value, action.mask, ones, length)
            whole = (1 << 8 * length) - 1
            return replace(action, value=value & mask, mask=ones if mask == whole else mask)
        if isinstance(action, HOLDERS):
            return replace(action, actions=tuple(map(self._fitted, action.actions)))
        sized = {
            name: replace(part, field=self._field_of(part.field))
            for name in action._fields
            if isinstance(part := getattr(action, name), a.Subfield) and part.field.dynamic
        }
        return replace(action, **sized) if sized else action

    def _field_of(self, field: Field) -> Field:
        """The field of an option that is mapped, with its length."""
        return option_field(_index(field), self._maps[_index(field)].option_len)

    def shorten(self, text: str) -> str:
        """`text`, in which an option of which all is meant is named without its bits."""
        for each in self._maps.values() if "TUN_METADATA" in text else ():
            name = f"TUN_METADATA{each.index}"
            text = text.replace(f"{name}[0..{8 * each.option_len - 1}]", f"{name}[]")
        return text

    def __iter__(self) -> Iterator[nx.TlvMap]:
        return iter([self._maps[index] for index in sorted(self._maps)])

    def apply(self, mod: nx.TlvTableMod) -> None:
        """Carry out a change; raises OpenFlowError and changes nothing if it cannot be."""
        before = dict(self._maps)
        try:
            if mod.command == nx.NXTTMC_CLEAR:
                self._maps.clear()
            for each in mod.maps:
                if mod.command == nx.NXTTMC_ADD:
                    self._add(each)
                elif mod.command == nx.NXTTMC_DELETE:
                    self._maps.pop(each.index, None)
        except OpenFlowError:
            self._maps = before
            raise
        self.generation += 1

    def _add(self, new: nx.TlvMap) -> None:
        if new.index in self._maps:
            raise OpenFlowError("NXTTMFC_ALREADY_MAPPED")
        if self.find(new.option_class, new.option_type) is not None:
            raise OpenFlowError("NXTTMFC_DUP_ENTRY")
        used = sum(each.option_len for each in self._maps.values())
        if used + new.option_len > OPTION_SPACE:
            raise OpenFlowError("NXTTMFC_TABLE_FULL")
        self._maps[new.index] = new
