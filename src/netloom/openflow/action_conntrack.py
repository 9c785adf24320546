"""`ct` with `nat` and `exec`: through the connection tracker."""

from __future__ import annotations

from struct import pack, unpack_from

from netloom.base.errors import ConfigError
from netloom.base.log import get_logger
from netloom.base.numbers import any_int
from netloom.flow.address import format_ipv4_masked, format_ipv6_masked, parse_ipv4, parse_ipv6
from netloom.flow.text import parse_subfield
from netloom.flow.words import split_words
from netloom.openflow import actions as a
from netloom.openflow.action_fields import field_at, pack_subfield, unpack_subfield
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.number_text import c_int
from netloom.openflow.oxm import encode_field_header
from netloom.openflow.subfield_text import format_subfield

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from netloom.openflow.action_encode import Writer
    from netloom.openflow.action_format import TextNames
    from netloom.openflow.action_parse import ActionReader

log = get_logger("ofp_actions")

_COMMIT, _FORCE = 1, 2
SRC, DST, PERSISTENT, HASH, RANDOM = 1, 2, 4, 8, 16
_HELPERS = {"ftp": 21, "tftp": 69}
_FLAG_WORDS = {"src": SRC, "dst": DST, "persistent": PERSISTENT, "hash": HASH, "random": RANDOM}
#: Which parts of a range follow, in this order: attribute, bytes.
_PARTS = (("address_min", 4), ("address_max", 4), ("address_min", 16), ("address_max", 16),
          ("proto_min", 2), ("proto_max", 2))  # fmt: skip
_ONES6 = (1 << 128) - 1


# Bytes


def read_ct(action: bytes, nested: Callable[[bytes], tuple[a.Action, ...]]) -> a.Action:
    """`ct` from its bytes."""
    if len(action) < 24:
        raise OpenFlowError("OFPBAC_BAD_LEN")
    flags, source, zone_bits, table_id, alg = unpack_from(">HIHB3xH", action, 10)
    if flags & _FORCE and not flags & _COMMIT:
        raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
    zone: a.Subfield | int = zone_bits
    if source:
        field, after = field_at(action, 12, writable=False)
        if after != 16:
            raise OpenFlowError("OFPBAC_BAD_SET_TYPE")
        zone = unpack_subfield(field, zone_bits)
        if zone.n_bits != 16:
            log.warn_rl("zone n_bits %d not within valid range [16..16]", zone.n_bits)
            raise OpenFlowError("OFPBAC_BAD_SET_LEN")
    actions = nested(action[24:])
    commit = bool(flags & _COMMIT)
    plain = not actions or (len(actions) == 1 and actions[0] == a.Nat())
    if not commit and not plain:
        log.warn_rl(
            "CT action requires commit flag if actions other than NAT without arguments are "
            "specified."
        )
        raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
    return a.Conntrack(commit, bool(flags & _FORCE), zone, table_id, alg, actions)


def write_ct(w: Writer, action: a.Conntrack) -> None:
    """`ct` to bytes."""
    zone = action.zone
    source, zone_bits = bytes(4), zone
    if isinstance(zone, a.Subfield):
        source, zone_bits = encode_field_header(zone.field, 1), pack_subfield(zone)
    flags = (_COMMIT if action.commit else 0) | (_FORCE if action.force else 0)
    head = pack(">H4sHB3xH", flags, source, zone_bits, action.table_id, action.alg)
    w.put("CT", head + w.nested(action.actions))


def read_nat(action: bytes, body: int, version: int) -> a.Action:
    """`nat` from its bytes."""
    flags, present = unpack_from(">HH", action, 12)
    if any(action[10:12]) or flags & ~31 or (flags & SRC and flags & DST):
        raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
    if flags & HASH and flags & RANDOM:
        raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
    found: dict[str, int] = {}
    pos = 16
    for bit, (name, size) in enumerate(_PARTS):
        if present >> bit & 1:
            if pos + size > len(action):
                raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
            found[name] = int.from_bytes(action[pos : pos + size], "big")
            pos += size
    family = 4 if present & 3 else 6 if present & 12 else 0
    nat = a.Nat(flags, family, **found)
    _check_range(nat, present)
    return nat


def _check_range(nat: a.Nat, present: int) -> None:
    both = present & 3 and present & 12
    if both or any(present >> bit & 2 and not present >> bit & 1 for bit in (0, 2, 4)):
        raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
    if (present and not nat.flags & (SRC | DST)) or (present & 0x30 and not nat.family):
        raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
    for least, bit, last, last_bit in (
        (nat.address_min, 5, nat.address_max, 10), (nat.proto_min, 0x10, nat.proto_max, 0x20),
    ):  # fmt: skip
        if (present & bit and not least) or (present & last_bit and last < least):
            raise OpenFlowError("OFPBAC_BAD_ARGUMENT")


def write_nat(w: Writer, action: a.Nat) -> None:
    """`nat` to bytes."""
    present, out = 0, b""
    for bit, (name, size) in enumerate(_PARTS):
        number = getattr(action, name)
        address = name.startswith("address")
        if address and (action.family or 0) * 4 - 12 != (4 if size == 4 else 12):
            continue
        if number:
            present |= 1 << bit
            out += number.to_bytes(size, "big")
    w.put("NAT", pack(">2xHH", action.flags, present) + out)


# Text


def parse_ct(r: ActionReader, text: str) -> a.Action:
    """`ct` from its arguments."""
    commit = force = False
    zone: a.Subfield | int = 0
    table_id, alg = 255, 0
    nats: list[a.Action] = []
    actions: list[a.Action] = []
    for name, value in split_words(text):
        if name == "commit":
            commit = True
        elif name == "force":
            force = True
        elif name == "table":
            table_id = _table(r, value)
        elif name == "zone":
            zone = _zone(value)
        elif name == "alg":
            if value not in _HELPERS:
                raise ConfigError(f'invalid conntrack helper "{value}"')
            alg = _HELPERS[value]
        elif name == "nat":
            actions.append(parse_nat(r, value))
        elif name == "exec":
            actions.extend(r.read(value, "ct"))
        else:
            raise ConfigError(f'invalid argument to "ct" action: `{name}\'')
    if force and not commit:
        raise ConfigError('"force" flag requires "commit" flag.')
    return a.Conntrack(commit, force, zone, table_id, alg, (*nats, *actions))


def _table(r: ActionReader, value: str) -> int:
    table = r.table(value)
    if table is None:
        raise ConfigError(f"unknown table {value}")
    if table == 255:
        raise ConfigError(f"invalid table {table:#x}")
    return table


def _zone(value: str) -> a.Subfield | int:
    number = c_int(value)
    if number is not None and 0 <= number <= 0xFFFF:
        return number
    return a.Subfield(*parse_subfield(value))


def parse_nat(r: ActionReader, text: str) -> a.Action:
    """`nat` from its arguments."""
    flags = 0
    ranges: dict[str, int] = {}
    for name, value in split_words(text):
        flag = _FLAG_WORDS.get(name, 0)
        if not flag:
            raise ConfigError(f'invalid key "{name}" in "nat" argument')
        flags |= flag
        if flag & (SRC | DST) and value:
            ranges |= _range(value)
    if flags & SRC and flags & DST:
        raise ConfigError('May only specify one of "src" or "dst".')
    if not flags & (SRC | DST):
        if flags:
            raise ConfigError('Flags allowed only with "src" or "dst".')
        return a.Nat()
    if flags & HASH and flags & RANDOM:
        raise ConfigError('Both "hash" and "random" are not allowed.')
    return a.Nat(flags, **ranges)


class _Range:
    """Reads `1.1.1.1-1.1.1.5:80-90`, `[fe80::1]-[fe80::5]:80`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.pos = 0

    def fail(self) -> ConfigError:
        return ConfigError(f'invalid nat range "{self.text}"')

    def _take(self, allowed: str) -> str:
        start = self.pos
        while self.pos < len(self.text) and self.text[self.pos] in allowed:
            self.pos += 1
        return self.text[start : self.pos]

    def skip(self, char: str) -> bool:
        if self.text.startswith(char, self.pos):
            self.pos += 1
            return True
        return False

    def address(self) -> tuple[int, int] | None:
        """Family and number."""
        start = self.pos
        word = self._take("0123456789.")
        number = parse_ipv4(word) if word.count(".") == 3 else None
        if number is not None:
            return 4, number
        self.pos = start
        bracket = self.skip("[")
        word = self._take("0123456789abcdefABCDEF:.")
        number = parse_ipv6(word)
        if number is None:
            return None
        if bracket and not self.skip("]"):
            raise self.fail()
        return 6, number

    def number(self) -> int | None:
        digits = self._take("0123456789")
        return any_int(digits) & 0xFFFF if digits else None


def _range(text: str) -> dict[str, int]:
    r = _Range(text)
    found: dict[str, int] = {}
    first = r.address()
    if first is None:
        r.pos = 1 if text[:1] in tuple("0123456789abcdefABCDEF[") else 0
    else:
        found["family"], found["address_min"] = first
        if r.skip("-"):
            second = r.address()
            if second is None or second[0] != first[0] or second[1] < first[1]:
                raise r.fail()
            if second[1] > first[1]:
                found["address_max"] = second[1]
    if r.skip(":"):
        low = r.number()
        if low is None:
            raise r.fail()
        found["proto_min"] = low
        if r.skip("-"):
            high = r.number()
            if high is None or high < low:
                raise r.fail()
            if high > low:
                found["proto_max"] = high
    if r.pos < len(text):
        raise ConfigError(f'garbage ({text[r.pos :]}) after nat range "{text}" (pos: {r.pos})')
    return found if first is not None else {}


def format_ct(action: a.Conntrack, names: TextNames) -> str:
    """`ct` as text."""
    words = []
    if action.commit:
        words.append("commit")
    if action.force:
        words.append("force")
    if action.table_id != 255:
        words.append(f"table={names.table(action.table_id)}")
    if isinstance(action.zone, a.Subfield):
        words.append(f"zone={format_subfield(action.zone)}")
    elif action.zone:
        words.append(f"zone={action.zone}")
    rest = action.actions
    if rest and isinstance(rest[0], a.Nat):
        words.append(format_nat(rest[0], names))
        rest = rest[1:]
    if rest:
        words.append(f"exec({names.list(rest)})")
    if action.alg:
        helper = next((word for word, port in _HELPERS.items() if port == action.alg), None)
        words.append(f"alg={helper or action.alg}")
    return f"ct({','.join(words)})"


def format_nat(action: a.Nat, names: TextNames) -> str:
    """`nat` as text."""
    words = []
    if not action.flags & (SRC | DST):
        return "nat"
    kind = "src" if action.flags & SRC else "dst"
    shown = _format_range(action)
    words.append(f"{kind}={shown}" if shown else kind)
    if shown:
        words += [word for word, flag in _FLAG_WORDS.items()
                  if flag >= PERSISTENT and action.flags & flag]  # fmt: skip
    return f"nat({','.join(words)})"


def _format_range(action: a.Nat) -> str:
    if not action.family:
        return ""
    v4, ports = action.family == 4, bool(action.proto_min)
    shown: list[str] = []
    for address in (action.address_min, action.address_max):
        if address or not shown:
            text = (format_ipv4_masked(address, 0xFFFFFFFF) if v4
                    else format_ipv6_masked(address, _ONES6))  # fmt: skip
            shown.append(f"[{text}]" if ports and not v4 else text)
    out = "-".join(shown)
    if ports:
        out += f":{action.proto_min}"
        if action.proto_max:
            out += f"-{action.proto_max}"
    return out
