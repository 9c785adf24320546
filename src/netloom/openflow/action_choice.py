"""`multipath`, `bundle` and `bundle_load`: choosing one of several links by a hash."""

from __future__ import annotations

from struct import pack, unpack_from

from netloom.base.errors import ConfigError
from netloom.base.log import get_logger
from netloom.flow.ports import (
    ANY,
    CONTROLLER,
    IN_PORT,
    MAX,
    format_port,
    parse_port,
    port_from_of10,
    port_to_of10,
)
from netloom.flow.text import parse_subfield
from netloom.openflow import actions as a
from netloom.openflow.action_fields import (
    expect_size,
    field_at,
    pack_subfield,
    unpack_subfield,
)
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.number_text import leading_int
from netloom.openflow.oxm import encode_field_header
from netloom.openflow.subfield_text import format_subfield, has_short_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.openflow.action_encode import Writer
    from netloom.openflow.action_format import TextNames
    from netloom.openflow.action_parse import ActionReader

log = get_logger("ofp_actions")

#: What is hashed; the place is the number.
HASH_FIELDS = ("eth_src", "symmetric_l4", "symmetric_l3l4", "symmetric_l3l4+udp", "nw_src",
               "nw_dst", "symmetric_l3")  # fmt: skip
MULTIPATH_ALGORITHMS = ("modulo_n", "hash_threshold", "hrw", "iter_hash")
BUNDLE_ALGORITHMS = ("active_backup", "hrw")
#: Members are ports: the header of NXM_OF_IN_PORT.
_MEMBER_TYPE = 0x0000_0002
_MAX_MEMBERS = 2048


# Bytes


def read_multipath(action: bytes, body: int, version: int) -> a.Action:
    """`multipath` from its bytes."""
    expect_size(action, 32)
    fields, basis, algorithm, max_link, arg, packed = unpack_from(">HH2xHHI2xH", action, body)
    field, after = field_at(action, 28, writable=True)
    if after != 32:
        raise OpenFlowError("OFPBAC_BAD_SET_TYPE")
    if fields >= len(HASH_FIELDS):
        log.warn_rl("unsupported fields %d", fields)
        raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
    if algorithm >= len(MULTIPATH_ALGORITHMS):
        log.warn_rl("unsupported algorithm %d", algorithm)
        raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
    part = unpack_subfield(field, packed)
    if max_link >> part.n_bits:
        log.warn_rl("multipath action requires at least %d bits for %u links",
                    max_link.bit_length(), max_link + 1)  # fmt: skip
        raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
    return a.Multipath(fields, basis, algorithm, max_link + 1, arg, part)


def write_multipath(w: Writer, action: a.Multipath) -> None:
    """`multipath` to bytes."""
    part = action.destination
    header = encode_field_header(part.field, 1)
    w.put("MULTIPATH", pack(">HH2xHHI2xH4s", action.fields, action.basis, action.algorithm,
                            action.n_links - 1, action.arg, pack_subfield(part),
                            header))  # fmt: skip


def read_bundle(action: bytes, body: int, version: int) -> a.Action:
    """`bundle` from its bytes."""
    return _read_bundle(action, load=False)


def read_bundle_load(action: bytes, body: int, version: int) -> a.Action:
    """`bundle_load` from its bytes."""
    return _read_bundle(action, load=True)


def _read_bundle(action: bytes, *, load: bool) -> a.Action:
    if len(action) < 32:
        raise OpenFlowError("OFPBAC_BAD_LEN")
    algorithm, fields, basis, kind, count, packed = unpack_from(">HHHIHH", action, 10)
    fault = ""
    if fields >= len(HASH_FIELDS):
        fault = f"unsupported fields {fields}"
    elif count > _MAX_MEMBERS:
        fault = "too many members"
    elif algorithm >= len(BUNDLE_ALGORITHMS):
        fault = f"unsupported algorithm {algorithm}"
    elif kind != _MEMBER_TYPE:
        fault = f"unsupported member type {kind}"
    elif any(action[30 if load and action[24:26] == b"\xff\xff" else 28 : 32]):
        fault = "reserved field is nonzero"
    if 32 + 2 * count > len(action):
        name = "bundle_load" if load else "bundle"
        log.warn_rl(
            "Nicira action %s only has %d bytes allocated for members.  %d bytes are required "
            "for %u members.", name, len(action) - 32, 2 * count, count,
        )  # fmt: skip
        raise OpenFlowError("OFPBAC_BAD_LEN")
    if fault:
        log.warn_rl("%s", fault)
        raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
    part = _bundle_destination(action, packed) if load else None
    if not load and (packed or any(action[24:28])):
        log.warn_rl("bundle action has nonzero reserved fields")
        raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
    members = tuple(port_from_of10(n) for n in unpack_from(f">{count}H", action, 32))
    for port in members:
        if port == CONTROLLER or MAX <= port < IN_PORT:
            log.warn_rl("invalid member %d", port)
            raise OpenFlowError("OFPBAC_BAD_OUT_PORT")
    return a.Bundle(fields, basis, algorithm, members, part)


def _bundle_destination(action: bytes, packed: int) -> a.Subfield:
    field, _ = field_at(action, 24, writable=True)
    part = unpack_subfield(field, packed)
    if part.n_bits < 16:
        log.warn_rl("bundle_load action requires at least 16 bit destination.")
        raise OpenFlowError("OFPBAC_BAD_ARGUMENT")
    return part


def write_bundle(w: Writer, action: a.Bundle) -> None:
    """`bundle` to bytes."""
    part = action.destination
    packed, header = 0, bytes(4)
    if part is not None:
        packed, header = pack_subfield(part), encode_field_header(part.field, 1)
    members = [port_to_of10(port) for port in action.members]
    count = len(members)
    body = pack(f">HHHIHH4s4x{count}H", action.algorithm, action.fields, action.basis,
                _MEMBER_TYPE, count, packed, header, *members)  # fmt: skip
    w.put("BUNDLE" if part is None else "BUNDLE_LOAD", body)


# Text


def _words(text: str, limit: int) -> list[str]:
    """Up to `limit` words between commas and spaces; the last keeps what is left."""
    found: list[str] = []
    rest = text
    while len(found) < limit:
        rest = rest.lstrip(", ")
        if not rest:
            break
        end = next((at for at, char in enumerate(rest) if char in ", "), len(rest))
        found.append(rest[:end])
        rest = rest[end + 1 :]
    if rest and len(found) == limit:
        found.append(rest)
    return found


def _choose(text: str, word: str, names: tuple[str, ...], what: str) -> int:
    if word.lower() not in names:
        raise ConfigError(f"{text}: unknown {what} `{word}'")
    return names.index(word.lower())


def _nxm_subfield(text: str, word: str) -> a.Subfield:
    """A part of a field whose header has four bytes."""
    part = a.Subfield(*parse_subfield(word))
    if not has_short_header(part.field):
        raise ConfigError(f"{text}: experimenter OXM field '{word}' not supported")
    return part


def parse_multipath(r: ActionReader, text: str) -> a.Action:
    """`multipath` from its arguments."""
    words = _words(text, 6)
    if len(words) < 6:
        raise ConfigError(f"{text}: not enough arguments to multipath action")
    fields = _choose(text, words[0], HASH_FIELDS, "fields")
    algorithm = _choose(text, words[2], MULTIPATH_ALGORITHMS, "algorithm")
    n_links = leading_int(words[3])
    if not 1 <= n_links <= 65536:
        raise ConfigError(f"{text}: n_links {n_links} is not in valid range 1 to 65536")
    part = _nxm_subfield(text, words[5])
    if part.n_bits < 16 and n_links > 1 << part.n_bits:
        raise ConfigError(
            f"{text}: {part.n_bits}-bit destination field has {1 << part.n_bits} possible "
            f"values, less than specified n_links {n_links}"
        )
    basis, arg = leading_int(words[1]) & 0xFFFF, leading_int(words[4]) & 0xFFFFFFFF
    return a.Multipath(fields, basis, algorithm, n_links, arg, part)


def parse_bundle(r: ActionReader, text: str) -> a.Action:
    """`bundle` from its arguments."""
    return _parse_bundle(r, text, load=False)


def parse_bundle_load(r: ActionReader, text: str) -> a.Action:
    """`bundle_load` from its arguments."""
    return _parse_bundle(r, text, load=True)


def _first_word(text: str, separators: str) -> tuple[str, str]:
    """The first word between any of `separators`, and what stands behind its end."""
    text = text.lstrip(separators)
    end = next((at for at, char in enumerate(text) if char in separators), len(text))
    return text[:end], text[end + 1 :]


#: What stands between members, as spaces.
_MEMBER_ENDS = str.maketrans(",[]", "   ")


def _parse_bundle(r: ActionReader, text: str, *, load: bool) -> a.Action:
    words = []
    rest = text
    for _ in range(5 if load else 4):
        word, rest = _first_word(rest, ", ")
        words.append(word)
    delimiter, rest = _first_word(rest, ": ")
    if not delimiter:
        raise ConfigError(f"{text}: not enough arguments to bundle action")
    if delimiter.lower() not in ("members", "slaves"):
        raise ConfigError(
            f"{text}: missing member delimiter, expected `members', got `{delimiter}'"
        )
    members = []
    for word in rest.translate(_MEMBER_ENDS).split(" "):
        if not word:
            continue
        port = parse_port(word, r.port_names)
        if port is None:
            raise ConfigError(f"{word}: bad port number")
        members.append(port)
    fields = _choose(text, words[0], HASH_FIELDS, "fields")
    algorithm = _choose(text, words[2], BUNDLE_ALGORITHMS, "algorithm")
    _choose(text, words[3], ("ofport",), "member_type")
    part = _nxm_subfield(text, words[4]) if load else None
    return a.Bundle(fields, leading_int(words[1]) & 0xFFFF, algorithm, tuple(members), part)


def format_multipath(action: a.Multipath, names: TextNames) -> str:
    """`multipath` as text."""
    return (
        f"multipath({HASH_FIELDS[action.fields]},{action.basis},"
        f"{MULTIPATH_ALGORITHMS[action.algorithm]},{action.n_links},{action.arg},"
        f"{format_subfield(action.destination)})"
    )


def format_bundle(action: a.Bundle, names: TextNames) -> str:
    """`bundle` as text."""
    part = action.destination
    to = "" if part is None else f"{format_subfield(part)},"
    members = ",".join(format_port(port, names.ports) for port in action.members)
    return (
        f"bundle{'' if part is None else '_load'}({HASH_FIELDS[action.fields]},{action.basis},"
        f"{BUNDLE_ALGORITHMS[action.algorithm]},ofport,{to}members:{members})"
    )


def check_members(action: a.Bundle, max_port: int) -> None:
    """Members must be ports that a packet can be sent to."""
    for port in action.members:
        if port == ANY:
            continue
        if port == CONTROLLER:
            get_logger("bundle").warn("unsupported controller member")
            raise OpenFlowError("OFPBAC_BAD_OUT_PORT")
        if port >= max_port and not IN_PORT <= port <= ANY:
            raise OpenFlowError("OFPBAC_BAD_OUT_PORT")
