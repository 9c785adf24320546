"""Bytes of table features (OpenFlow 1.3 and later): what each table can do, as properties."""

from __future__ import annotations

from collections.abc import Iterator
from struct import pack, unpack_from

from netloom.base.log import get_logger
from netloom.flow.fields import BY_CODE, FIELD
from netloom.openflow import messages as m
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.field_set import rank as _rank
from netloom.openflow.message_table import Frame
from netloom.openflow.oxm import encode_field_header
from netloom.openflow.properties import find_properties, unknown_property

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

Encoded = tuple[str, bytes]

(_INSTRUCTIONS, _INSTRUCTIONS_MISS, _NEXT, _NEXT_MISS, _WRITE, _WRITE_MISS, _APPLY, _APPLY_MISS,
 _MATCH, _, _WILDCARDS, _, _WRITE_SET, _WRITE_SET_MISS, _APPLY_SET,
 _APPLY_SET_MISS) = range(16)  # fmt: skip
_EXPERIMENTER = 0xFFFE
#: What every table must say that says anything.
_REQUIRED = (
    _INSTRUCTIONS, _NEXT, _WRITE, _APPLY, _MATCH, _WILDCARDS, _WRITE_SET, _APPLY_SET,
)  # fmt: skip

#: Those that name fields.
_FIELD_LISTS = frozenset((
    _MATCH, _WILDCARDS, _WRITE_SET, _WRITE_SET_MISS, _APPLY_SET, _APPLY_SET_MISS,
))  # fmt: skip
#: Those that name instructions or actions.
_TYPE_LISTS = frozenset((
    _INSTRUCTIONS, _INSTRUCTIONS_MISS, _WRITE, _WRITE_MISS, _APPLY, _APPLY_MISS,
))  # fmt: skip
#: Instructions that there are, from OFPIT_GOTO_TABLE to OFPIT_METER.
_KNOWN = range(1, 7)
#: All that there are.
_KINDS = _FIELD_LISTS | _TYPE_LISTS | {_NEXT, _NEXT_MISS}
#: The number of its owner, which the length of an experimenter's field counts.
_VENDOR_BYTES = 4

log = get_logger("ofp_table")


def decode_table_features_request(frame: Frame, protocol: int) -> m.TableFeaturesRequest:
    return m.TableFeaturesRequest(frame.data[frame.body :])


def encode_table_features_request(
    message: m.TableFeaturesRequest, version: int, protocol: int
) -> Encoded:
    return "OFPST_TABLE_FEATURES", message.body


def decode_table_features_reply(frame: Frame, protocol: int) -> m.TableFeaturesReply:
    return m.TableFeaturesReply(frame.entries(_TableReader().read), frame.more)


def decode_wanted_features(body: bytes, version: int) -> tuple[m.TableFeatures, ...]:
    """The tables of a request to change them, in which nothing unknown is passed over."""
    reader = _TableReader(strict=True)
    found = []
    pos = 0
    while pos < len(body):
        table, pos = reader.read(body, pos, version)
        found.append(table)
    return tuple(found)


def read_table_names(frame: Frame) -> dict[int, str]:
    """Table number -> name, of the tables in a reply that have names: what most who ask want of
    its one and a half megabytes. Raises OpenFlowError."""
    data = frame.data
    pos = frame.body
    found = {}
    while pos < len(data):
        size = int.from_bytes(data[pos : pos + 2], "big")
        if size < 64 or pos + size > len(data):
            raise OpenFlowError("OFPBRC_BAD_LEN")
        table_id, name = data[pos + 2], data[pos + 8 : pos + 40].split(b"\0", 1)[0]
        if name:
            found[table_id] = name.decode("utf-8", "replace")
        pos += size
    return found


def _properties(
    data: bytes, version: int, check: Callable[[int, bytes], object], strict: bool
) -> dict[int, bytes]:
    """The properties of a table by kind, each once and checked as it comes. OpenFlow 1.5 may leave
    out all of them."""
    found: dict[int, bytes] = {}
    for kind, start, stop in find_properties(data, 64, len(data), _EXPERIMENTER):
        if kind in found:
            log.warn_rl("table features message has two properties %d", kind)
            raise OpenFlowError("OFPTFFC_BAD_FEATURES")
        if strict and kind not in _KINDS:
            raise unknown_property(data, start)
        if kind < _EXPERIMENTER:
            found[kind] = data[start + 4 : stop]
            check(kind, found[kind])
    if found or version < m.OFP15_VERSION:
        missing = [kind for kind in _REQUIRED if kind not in found]
        if missing:
            log.warn_rl("table features message missing %d required properties, including "
                        "property %d", len(missing), missing[0])  # fmt: skip
            raise OpenFlowError("OFPTFFC_BAD_FEATURES")
    return found


class _TableReader:
    """Reads many tables; the lists of fields that they share, once."""

    __slots__ = ("_known", "_strict")

    def __init__(self, strict: bool = False) -> None:
        self._strict = strict
        self._known: dict[bytes, tuple[tuple[str, ...], tuple[str, ...]]] = {}

    def read(self, data: bytes, pos: int, version: int) -> tuple[m.TableFeatures, int]:
        """The table that starts at `pos`, and where the next one does; raises OpenFlowError."""
        size = int.from_bytes(data[pos : pos + 2], "big")
        if size < 64 or size % 8 or pos + size > len(data):
            raise OpenFlowError("OFPBPC_BAD_LEN")
        return self._table(data[pos : pos + size], version), pos + size

    def _table(self, data: bytes, version: int) -> m.TableFeatures:
        table_id, command, name, match, write, config, max_entries = unpack_from(
            ">2xBB4x32sQQII", data
        )
        if table_id == m.OFPTT_ALL:
            raise OpenFlowError("OFPTFFC_BAD_TABLE")
        if version < m.OFP15_VERSION:
            command = m.OFPTFC_REPLACE
        elif command > m.OFPTFC_DISABLE:
            raise OpenFlowError("OFPTFFC_BAD_COMMAND")
        found = _properties(data, version, self._check, self._strict)
        names, masked = self._fields(found.get(_MATCH, b""))
        wildcards, _ = self._fields(found.get(_WILDCARDS, b""))
        nonmiss = self._instructions(found, 0)
        miss_given = any(kind & 1 for kind in found)
        return m.TableFeatures(
            table_id, name.split(b"\0", 1)[0].decode("utf-8", "replace"), match, write,
            max_entries, config, nonmiss,
            self._instructions(found, 1) if miss_given else nonmiss, names, masked, wildcards,
            command, bool(found),
        )  # fmt: skip

    def _check(self, kind: int, body: bytes) -> None:
        if kind in _FIELD_LISTS:
            self._fields(body)
        elif kind in _TYPE_LISTS:
            of_instructions = kind in (_INSTRUCTIONS, _INSTRUCTIONS_MISS)
            for number in _numbers(body):
                if self._strict and of_instructions and number not in _KNOWN:
                    raise OpenFlowError("OFPBIC_UNKNOWN_INST")
        elif kind in (_NEXT, _NEXT_MISS) and m.OFPTT_ALL in body:
            raise OpenFlowError("OFPBPC_BAD_VALUE")

    def _instructions(self, found: dict[int, bytes], miss: int) -> m.InstructionFeatures:
        """A property for table misses that is missing is that of other flows."""

        def take(kind: int) -> bytes:
            return found.get(kind + miss, found.get(kind, b""))

        return m.InstructionFeatures(
            tuple(take(_NEXT)), _types(take(_INSTRUCTIONS)), _types(take(_WRITE)),
            _types(take(_APPLY)), self._fields(take(_WRITE_SET))[0],
            self._fields(take(_APPLY_SET))[0],
        )  # fmt: skip

    def _fields(self, data: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
        known = self._known.get(data)
        if known is None:
            known = self._known[data] = _fields(data, self._strict)
        return known


def _types(data: bytes) -> int:
    """Types with their lengths, as bits; experimenters' are passed over."""
    return sum(1 << kind for kind in set(_numbers(data)) if kind < 64)


def _numbers(data: bytes) -> Iterator[int]:
    pos = 0
    while pos < len(data):
        kind, size = unpack_from(">HH", data, pos) if len(data) - pos >= 4 else (0, 0)
        if size < 4 or pos + size > len(data):
            raise OpenFlowError("OFPBPC_BAD_LEN")
        yield kind
        pos += size


def _fields(data: bytes, strict: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the fields whose headers stand in `data`, and of those with a mask, in the order
    in which sets of fields are printed."""
    found: dict[str, bool] = {}
    pos = 0
    while pos < len(data):
        header = int.from_bytes(data[pos : pos + 4], "big")
        vendor = 0
        pos += 4
        if header >> 16 == 0xFFFF:
            vendor = int.from_bytes(data[pos : pos + 4], "big")
            pos += 4 if header & 0xFF >= _VENDOR_BYTES else len(data)
        if pos > len(data):
            raise OpenFlowError("OFPBMC_BAD_LEN")
        known = BY_CODE.get((header >> 16, vendor, header >> 9 & 0x7F))
        size = (header & 0xFF) - (4 if vendor else 0) >> (header >> 8 & 1)
        if known is not None and (known[0].dynamic or size == known[1].n_bytes):
            found[known[0].name] = bool(header & 0x100)
        elif strict:
            raise OpenFlowError("OFPBMC_BAD_FIELD")
    ordered = sorted(found.items(), key=lambda item: _rank(item[0]))
    return tuple(name for name, _ in ordered), tuple(name for name, masked in ordered if masked)


def _put(kind: int, body: bytes) -> bytes:
    size = 4 + len(body)
    return pack(">HH", kind, size) + body + bytes(-size % 8)


def _put_types(kind: int, bits: int) -> bytes:
    return _put(kind, b"".join(pack(">HH", n, 4) for n in range(64) if bits >> n & 1))


def encode_table_features_reply(
    message: m.TableFeaturesReply, version: int, protocol: int
) -> tuple[str, list[bytes]]:
    """Each table as one entry."""
    writer = _TableWriter(version)
    return "OFPST_TABLE_FEATURES", [writer.write(table) for table in message.tables]


class _TableWriter:
    """Writes many tables; the lists of fields and types that they share, once."""

    __slots__ = ("_known", "_types", "_version")

    def __init__(self, version: int) -> None:
        self._version = version
        #: By kind and the identity of both lists, which the tables keep alive.
        self._known: dict[tuple[int, int, int], bytes] = {}
        #: By kind and bits.
        self._types: dict[tuple[int, int], bytes] = {}

    def write(self, t: m.TableFeatures) -> bytes:
        parts: list[bytes] = []
        if not t.described:
            return self._head(t, 64)
        for miss, f in ((0, t.nonmiss), (1, t.miss)):
            parts += (
                self._put_types(_INSTRUCTIONS + miss, f.instructions),
                _put(_NEXT + miss, bytes(f.next_tables)),
                self._put_types(_WRITE + miss, f.write_actions),
                self._fields(_WRITE_SET + miss, f.write_set_fields),
                self._put_types(_APPLY + miss, f.apply_actions),
                self._fields(_APPLY_SET + miss, f.apply_set_fields),
            )
        parts.append(self._fields(_MATCH, t.match, t.maskable))
        parts.append(self._fields(_WILDCARDS, t.wildcards))
        out = b"".join(parts)
        return self._head(t, 64 + len(out)) + out

    def _head(self, t: m.TableFeatures, size: int) -> bytes:
        return pack(">HBB4x32sQQII", size, t.table_id, t.command, t.name.encode()[:31],
                    t.metadata_match, t.metadata_write, t.config, t.max_entries)  # fmt: skip

    def _put_types(self, kind: int, bits: int) -> bytes:
        known = self._types.get((kind, bits))
        if known is None:
            known = self._types[kind, bits] = _put_types(kind, bits)
        return known

    def _fields(self, kind: int, names: tuple[str, ...], masked: tuple[str, ...] = ()) -> bytes:
        shape = (kind, id(names), id(masked))
        known = self._known.get(shape)
        if known is None:
            headers = [
                encode_field_header(FIELD[name], self._version, name in masked) for name in names
            ]
            known = self._known[shape] = _put(kind, b"".join(headers))
        return known
