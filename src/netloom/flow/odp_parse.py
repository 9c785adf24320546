"""Data-path flow text to key and mask: the reader for what `odp_text` prints.

A member that is given without a mask is matched exactly, one that is not given is not matched.
Masks of addresses are addresses, not prefix lengths, as in ovs-dpctl(8).
"""

from __future__ import annotations

from collections.abc import Mapping
from string import hexdigits

from netloom.base.errors import ConfigError
from netloom.flow import numbers
from netloom.flow.address import parse_ipv4, parse_ipv6, parse_mac
from netloom.flow.fields import SLOT, VLAN_CFI
from netloom.flow.key import DL_TYPE_NONE
from netloom.flow.odp_options import parse_options
from netloom.flow.odp_table import ATTRIBUTES, Member

_FRAGMENTS = {"no": 0, "first": 1, "later": 3}
_PARSERS = {"ipv4": parse_ipv4, "ipv6": parse_ipv6, "mac": parse_mac}
_FLAG_SETS = {
    "ct_state": (numbers.CT_STATE_NAMES, numbers.CT_STATE_MASK),
    "tcp_flags": (numbers.TCP_FLAG_NAMES, numbers.TCP_FLAGS_MASK),
}
#: What stands in the header of a type of tunnel only.
_HEADERS = {
    "gbp": ("id", "flags"), "erspan": ("ver", "idx", "dir", "hwid"), "gtpu": ("flags", "msgtype"),
}  # fmt: skip
#: How many bytes of Netlink the members of a tunnel() may take together, each with a header.
_MAX_NESTED_BYTES, _NESTED_HEADER_BYTES = 65_531, 4
#: The flag of tunnels that there is a key, as there is with a `tun_id`: the word is passed over
#: among the flags.
_HAS_KEY = 8
_DL_TYPE = SLOT["dl_type"]
_PACKET_TYPE = SLOT["packet_type"]
#: What packets are whose Ethernet type is not said, by what is said of them.
_LAYER3 = {"ipv4": 0x0800, "ipv6": 0x86DD, "mpls": 0x8847}
_VLAN_NAMES = ("vlan", "vlan1")


#: Digits between the hyphens of the id of a flow, which dumps have in front of what it matches.
_UFID_PARTS = [8, 4, 4, 4, 12]
_UFID_LEN = len("ufid:") + sum(_UFID_PARTS) + len(_UFID_PARTS) - 1


class _SyntaxError(Exception):
    """The attribute that is being read is no such thing."""


class FlowTooLong(ConfigError):
    """More members in an attribute than a message to a data path has room for."""


def parse_odp_flow(text: str, port_names: Mapping[str, int] | None = None) -> tuple[int, int]:
    """(key, mask) of the flow `text`. `port_names` are data-path ports by name. A flow that has no
    eth() and no packet_type() is one of packets that start at layer 3, as in Open vSwitch.
    Raises ConfigError ("syntax error at ...")."""
    reader = _Reader(port_names)
    reader.read(text)
    return reader.finish()


def parse_odp_key(text: str, port_names: Mapping[str, int] | None = None) -> int:
    """The key of the flow `text`; masks in it are ignored."""
    return parse_odp_flow(text, port_names)[0]


class _Reader:
    __slots__ = ("_depth", "_is_ethernet", "_is_typed", "_layer3", "_port_names", "key", "mask")

    def __init__(self, port_names: Mapping[str, int] | None) -> None:
        self.key = 0
        self.mask = 0
        self._depth = 0
        self._is_ethernet = False
        #: The Ethernet type that follows from a header that is given.
        self._layer3 = 0
        self._is_typed = False
        self._port_names = port_names

    def read(self, text: str) -> None:
        at = 0
        while True:
            while at < len(text) and text[at] in ", \t\r\n":
                at += 1
            if at == len(text):
                return
            if text.startswith("ufid:", at):
                # One space may stand between it and the first attribute.
                at = _ufid_end(text, at)
                at += text.startswith(" ", at)
            end = _attribute_end(text, at)
            name, _, rest = text[at:end].partition("(")
            try:
                if not rest.endswith(")"):
                    raise _SyntaxError
                self._attribute(name, rest[:-1])
            except FlowTooLong:
                raise FlowTooLong(f"syntax error at {text[at:]}") from None
            except (_SyntaxError, ValueError):
                raise ConfigError(f"syntax error at {text[at:]}") from None
            at = end

    def finish(self) -> tuple[int, int]:
        if not _DL_TYPE.get(self.key | self.mask) and self._layer3:
            self._put(ATTRIBUTES["eth_type"][0], self._layer3, 0xFFFF)
        dl_type = _DL_TYPE.get(self.key)
        if not self._is_ethernet and not self._is_typed and dl_type:
            self.key = _PACKET_TYPE.put(self.key, 1 << 16 | dl_type)
        if not dl_type and self._is_ethernet:
            self.key = _DL_TYPE.put(self.key, DL_TYPE_NONE)
        return self.key, self.mask

    def _put(self, member: Member, value: int, mask: int) -> None:
        if value > member.ones or mask > member.ones:
            raise _SyntaxError
        in_place = member.ones << member.shift
        self.key = self.key & ~in_place | value << member.shift
        self.mask = self.mask & ~in_place | mask << member.shift

    def _attribute(self, name: str, inside: str) -> None:
        self._layer3 = self._layer3 or _LAYER3.get(name, 0)
        if name == "encap":
            self._encap(inside)
        elif name == "vlan":
            self._vlan(inside)
        elif name == "tunnel":
            self._tunnel(inside)
        elif name == "mpls":
            self._mpls(inside)
        elif name == "ufid":
            return
        elif name not in ATTRIBUTES:
            raise _SyntaxError
        else:
            self._plain(name, inside)

    def _plain(self, name: str, inside: str) -> None:
        members = ATTRIBUTES[name]
        self._is_ethernet |= name == "eth"
        if name == "packet_type":
            self._is_typed = True
        if not members[0].word:
            if name == "eth_type" and self._eth_type_none(inside):
                return
            self._put(members[0], *self._value(members[0], inside))
            return
        by_word = {member.word: member for member in members}
        for word, value in _split(inside):
            if word not in by_word:
                raise _SyntaxError
            self._put(by_word[word], *self._value(by_word[word], value))

    def _eth_type_none(self, text: str) -> bool:
        """`eth_type(0/0xffff)`: frames that have no Ethernet type."""
        member = ATTRIBUTES["eth_type"][0]
        value, mask = self._value(member, text)
        if value or mask != 0xFFFF or "/" not in text:
            return False
        self._put(member, DL_TYPE_NONE, 0xFFFF)
        return True

    def _value(self, member: Member, text: str) -> tuple[int, int]:
        form = member.form
        if form in _PARSERS:
            address, slash, mask_text = text.partition("/")
            value = _PARSERS[form](address)
            mask = _PARSERS[form](mask_text) if slash else member.ones
            if value is None or mask is None:
                raise _SyntaxError
            return value, mask
        if form == "frag":
            if text not in _FRAGMENTS:
                raise _SyntaxError
            return _FRAGMENTS[text], member.ones
        if form in _FLAG_SETS:
            names, allowed = _FLAG_SETS[form]
            try:
                flags, flag_mask = numbers.parse_flags(text, names, form, allowed)
            except ConfigError:
                raise _SyntaxError from None
            return flags, allowed if flag_mask is None else flag_mask
        if form == "port" and self._port_names and text in self._port_names:
            return self._port_names[text], member.ones
        if form == "op" and text.partition("/")[0] == str(0xFFFF):
            text = text.replace(str(0xFFFF), str(member.ones), 1)
        return _number(text, member.bits)

    def _encap(self, inside: str) -> None:
        """What is inside of a tag: the type so far was the tag's, the next is the payload's."""
        if self._depth == len(_VLAN_NAMES):
            raise _SyntaxError
        tpid = SLOT[f"{_VLAN_NAMES[self._depth]}_tpid"]
        tci = SLOT[f"{_VLAN_NAMES[self._depth]}_tci"]
        if not tci.get(self.key):
            if not inside:
                return
            # Printed flows leave out vlan() where nothing of the tag is matched.
            self.key |= VLAN_CFI << tci.shift
        self.key = tpid.put(self.key, _DL_TYPE.get(self.key))
        self.mask |= tpid.mask
        self.key &= ~_DL_TYPE.mask
        self.mask &= ~_DL_TYPE.mask
        self._depth += 1
        before = self._is_ethernet
        self.read(inside)
        self._is_ethernet = before

    def _vlan(self, inside: str) -> None:
        if self._depth == len(_VLAN_NAMES):
            raise _SyntaxError
        slot = SLOT[f"{_VLAN_NAMES[self._depth]}_tci"]
        tci, mask = VLAN_CFI, VLAN_CFI
        for word, text in _split(inside):
            low, bits = {"vid": (0, 12), "pcp": (13, 3), "cfi": (12, 1)}.get(word, (0, 0))
            if not bits:
                raise _SyntaxError
            value, value_mask = _number(text, bits)
            ones = (1 << bits) - 1 << low
            tci = tci & ~ones | value << low
            mask = mask & ~ones | value_mask << low
        self.key = slot.put(self.key, tci)
        self.mask = slot.put(self.mask, mask)

    def _mpls(self, inside: str) -> None:
        rows = {member.word: member for member in ATTRIBUTES["mpls"]}
        shift0 = SLOT["mpls_lse0"].shift
        n = -1
        for word, text in _split(inside):
            if word not in rows:
                raise _SyntaxError
            n += word == "label" or n < 0
            if n > 2:
                raise _SyntaxError
            value, mask = _number(text, rows[word].bits)
            shift = rows[word].shift - shift0 + SLOT[f"mpls_lse{n}"].shift
            in_place = rows[word].ones << shift
            self.key = self.key & ~in_place | value << shift
            self.mask = self.mask & ~in_place | mask << shift

    def _tunnel(self, inside: str) -> None:
        rows = {member.word: member for member in ATTRIBUTES["tunnel"]}
        slot = SLOT["tun_flags"]
        n_bytes = 0
        for word, text in _split(inside):
            n_bytes += _NESTED_HEADER_BYTES + _padded_size(rows.get(word))
            if n_bytes > _MAX_NESTED_BYTES:
                raise FlowTooLong(word)
            if word == "tun_id":
                self.key |= _HAS_KEY << slot.shift
                self.mask |= _HAS_KEY << slot.shift
            if word == "flags":
                self._tunnel_flags(text)
            elif word == "oam":
                self.key |= 1 << slot.shift
                self.mask |= 1 << slot.shift
            elif word == "geneve":
                self._options(text)
            elif word == "vxlan":
                self._gbp(text)
            elif word in ("erspan", "gtpu"):
                self._header(word, text)
            elif word in rows:
                self._put(rows[word], *self._value(rows[word], text))
            else:
                raise _SyntaxError

    def _tunnel_flags(self, text: str) -> None:
        slot = SLOT["tun_flags"]
        try:
            flags, mask = numbers.parse_flags(text, numbers.TUN_FLAG_NAMES, "tunnel", 0xF)
        except ConfigError:
            raise _SyntaxError from None
        self.key |= (flags & ~_HAS_KEY) << slot.shift
        self.mask |= ((slot.ones if mask is None else mask) & ~_HAS_KEY) << slot.shift

    def _options(self, text: str) -> None:
        try:
            key, mask = parse_options(text)
        except (ValueError, KeyError, OverflowError):
            raise _SyntaxError from None
        self.key |= key
        self.mask |= mask

    def _gbp(self, text: str) -> None:
        name, _, rest = text.partition("(")
        if name != "gbp" or not rest.endswith(")"):
            raise _SyntaxError
        self._header("gbp", rest[:-1])

    def _header(self, name: str, inside: str) -> None:
        """The members that a type of tunnel has of its own."""
        words = _HEADERS[name]
        for word, text in _split(inside):
            if word not in words:
                raise _SyntaxError
            slot = SLOT[f"tun_{name}_{word}"]
            value, mask = _number(text, slot.bits)
            self.key = slot.put(self.key, value)
            self.mask = slot.put(self.mask, mask)


def _padded_size(member: Member | None) -> int:
    """How many bytes the value of a plain member takes in a message; of others the least."""
    return (member.bits + 31) // 32 * 4 if member is not None else 0


def _attribute_end(text: str, at: int) -> int:
    """Behind the closing parenthesis of the attribute at `at`, or where it breaks off."""
    level = 0
    for i in range(at, len(text)):
        if text[i] == "(":
            level += 1
        elif text[i] == ")":
            level -= 1
            if level <= 0:
                return i + 1
        elif text[i] == "," and not level:
            return i
    return len(text)


def _split(inside: str) -> list[tuple[str, str]]:
    """The members of an attribute: `word=text` or `word(text)`."""
    members = []
    at = 0
    while at < len(inside):
        if inside[at] in ", ":
            at += 1
            continue
        start = at
        while at < len(inside) and inside[at] not in "=(,":
            at += 1
        word = inside[start:at]
        if inside[at : at + 1] == "(":
            end = _attribute_end(inside, start)
            members.append((word, inside[at + 1 : end - 1]))
            at = end
            continue
        end = inside.find(",", at)
        end = len(inside) if end < 0 else end
        members.append((word, inside[at + 1 : end]))
        at = end
    return members


def _number(text: str, bits: int) -> tuple[int, int]:
    """`VALUE` or `VALUE/MASK`."""
    ones = (1 << bits) - 1
    n_bytes = (bits + 7) // 8
    value, rest = numbers.scan_integer(text, n_bytes)
    mask = ones
    if rest[:1] == "/":
        mask, rest = numbers.scan_integer(rest[1:], n_bytes)
    if rest or value > ones or mask > ones:
        raise _SyntaxError
    return value, mask


def _ufid_end(text: str, at: int) -> int:
    parts = text[at : at + _UFID_LEN].removeprefix("ufid:").split("-")
    if [len(part) for part in parts] != _UFID_PARTS or not set("".join(parts)) <= set(hexdigits):
        raise ConfigError(f"syntax error at {text[at:]}")
    return at + _UFID_LEN
