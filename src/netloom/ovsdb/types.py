"""Column types: five atomic types, their constraints, and how many of them a column holds.

A `BaseType` is an atomic type with constraints (enumeration, range, length, referenced table); a
`ColumnType` is a key type, for maps also a value type, and the allowed number of elements
(RFC 7047 section 3.2). Both are immutable after parsing and are shared freely.

How values look in Python is decided here, by the type alone:

===============================  ======================================================
column type                      datum
===============================  ======================================================
exactly one atom                 the bare atom: `int`, `float`, `bool`, `str`
any other set (also "0 or 1")    a `tuple` of atoms, sorted, without duplicates
map                              a `dict` whose keys are in sorted order
===============================  ======================================================

A UUID is a `str` in canonical lower-case form (`Uuid` to the type checker). Data are never changed
in place, dicts included: whoever wants another value makes another object. So rows may share them,
and `is` is a quick first test of equality.
"""

from __future__ import annotations

from netloom.ovsdb.datum import atoms_to_json, parse_datum
from netloom.ovsdb.errors import constraint_violation, syntax_error
from netloom.ovsdb.json_text import format_real
from netloom.ovsdb.members import (
    ANY,
    ID,
    INTEGER,
    NUMBER,
    OBJECT,
    STRING,
    Members,
    kind_of,
)
from netloom.ovsdb.uuids import ZERO_UUID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    #: One value of an atomic type; UUIDs are strings.
    Atom: TypeAlias = int | float | bool | str
    #: The value of a column, in the shape that the column's type prescribes (see above).
    Datum: TypeAlias = Atom | tuple[Atom, ...] | dict[Atom, Atom]

ATOMIC_TYPES = ("integer", "real", "boolean", "string", "uuid")
DEFAULT_ATOMS: dict[str, Atom] = {
    "integer": 0,
    "real": 0.0,
    "boolean": False,
    "string": "",
    "uuid": ZERO_UUID,
}
UINT_MAX = (1 << 32) - 1
#: `ColumnType.max` of a column without a limit.
UNLIMITED = UINT_MAX


class BaseType:
    """An atomic type with its constraints; what does not apply to `name` is None."""

    __slots__ = (
        "constrained",
        "default",
        "enum",
        "max",
        "min",
        "name",
        "ref_table",
        "ref_weak",
    )

    def __init__(self, name: str) -> None:
        #: One of ATOMIC_TYPES.
        self.name = name
        #: The allowed atoms in sorted order, or None for all.
        self.enum: tuple[Atom, ...] | None = None
        #: Least and greatest integer or real, or length of a string in characters.
        self.min: int | float | None = None
        self.max: int | float | None = None
        #: For uuid: the table referenced, and whether weakly.
        self.ref_table: str | None = None
        self.ref_weak = False
        #: Whether `check` can refuse any atom.
        self.constrained = False
        self.default: Atom = DEFAULT_ATOMS[name]

    @property
    def is_strong_ref(self) -> bool:
        return self.ref_table is not None and not self.ref_weak

    @property
    def is_weak_ref(self) -> bool:
        return self.ref_table is not None and self.ref_weak

    def check(self, atom: Atom) -> None:
        """Raise "constraint violation" unless the constraints allow `atom`."""
        if self.enum is not None:
            if atom not in self.enum:
                self._refuse_enum(atom)
            return
        low, high = self.min, self.max
        if low is None and high is None:
            return
        size = len(atom) if isinstance(atom, str) else atom
        if low is not None and size < low:
            raise constraint_violation(self._range_text(atom, size, low, high, too_small=True))
        if high is not None and size > high:
            raise constraint_violation(self._range_text(atom, size, low, high, too_small=False))

    def _refuse_enum(self, atom: Atom) -> None:
        from netloom.ovsdb.datum_text import format_atom

        assert self.enum is not None
        allowed = ", ".join([format_atom(self.name, item) for item in self.enum])
        raise constraint_violation(
            f"{format_atom(self.name, atom)} is not one of the allowed values ([{allowed}])"
        )

    def _range_text(
        self,
        atom: Atom,
        size: int | float,
        low: int | float | None,
        high: int | float | None,
        too_small: bool,
    ) -> str:
        if self.name == "string":
            if too_small:
                return f'"{atom}" length {size} is less than minimum allowed length {low}'
            return f'"{atom}" length {size} is greater than maximum allowed length {high}'
        value = _number_text(size)
        if low is not None and high is not None:
            low_text, high_text = _number_text(low), _number_text(high)
            return f"{value} is not in the valid range {low_text} to {high_text} (inclusive)"
        if low is not None:
            return f"{value} is less than minimum allowed value {_number_text(low)}"
        assert high is not None
        return f"{value} is greater than maximum allowed value {_number_text(high)}"

    def to_json(self) -> Any:
        """The `<base-type>`: a bare name if there are no constraints."""
        members: dict[str, Any] = {}
        if self.enum is not None:
            members["enum"] = atoms_to_json(self.name, self.enum)
        low_name, high_name = _LIMIT_MEMBERS.get(self.name, ("", ""))
        if self.min is not None:
            members[low_name] = self.min
        if self.max is not None:
            members[high_name] = self.max
        if self.ref_table is not None:
            members["refTable"] = self.ref_table
            if self.ref_weak:
                members["refType"] = "weak"
        return {"type": self.name, **members} if members else self.name

    @staticmethod
    def from_json(json: Any) -> BaseType:
        if type(json) is str:
            return BaseType(_atomic_type(json))
        parser = Members(json, "ovsdb type")
        name_json = parser.get("type", STRING)
        if parser.failed:
            parser.finish()
        base = BaseType(_atomic_type(name_json))
        enum = parser.get("enum", ANY, optional=True)
        if enum is not None:
            many = ColumnType(BaseType(base.name), None, 1, UNLIMITED)
            atoms = parse_datum(many, enum)
            assert isinstance(atoms, tuple)
            base.enum = atoms
        elif base.name in _LIMIT_MEMBERS:
            base._limits_from_json(parser, json)
        elif base.name == "uuid":
            base._reference_from_json(parser, json)
        parser.finish()
        base.constrained = not (base.enum is None and base.min is None and base.max is None)
        return base

    def _limits_from_json(self, parser: Members, json: Any) -> None:
        low_name, high_name = _LIMIT_MEMBERS[self.name]
        kinds = NUMBER if self.name == "real" else INTEGER
        self.min = parser.get(low_name, kinds, optional=True)
        self.max = parser.get(high_name, kinds, optional=True)
        if self.name == "string":
            for name, limit in ((low_name, self.min), (high_name, self.max)):
                if limit is not None and not 0 <= limit <= UINT_MAX:
                    parser.fail(f"{name} out of valid range 0 to {UINT_MAX}")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise syntax_error(json, f"{low_name} exceeds {high_name}")

    def _reference_from_json(self, parser: Members, json: Any) -> None:
        self.ref_table = parser.get("refTable", ID, optional=True)
        if self.ref_table is None:
            return
        ref_type = parser.get("refType", STRING, optional=True)
        if ref_type not in (None, "strong", "weak"):
            raise syntax_error(json, f'refType must be "strong" or "weak" (not "{ref_type}")')
        self.ref_weak = ref_type == "weak"


class ColumnType:
    """What a column holds: keys, for a map also values, and how many of them."""

    __slots__ = ("default", "is_map", "is_scalar", "key", "max", "min", "value")

    def __init__(self, key: BaseType, value: BaseType | None, n_min: int, n_max: int) -> None:
        self.key = key
        self.value = value
        self.min = n_min
        self.max = n_max
        self.is_map = value is not None
        #: Whether the datum is a bare atom.
        self.is_scalar = value is None and n_min == 1 and n_max == 1
        self.default: Datum = self._default()

    def _default(self) -> Datum:
        """RFC 7047 section 5.2.1: empty if that is allowed, else one default atom."""
        if self.is_scalar:
            return self.key.default
        if self.value is not None:
            return {self.key.default: self.value.default} if self.min else {}
        return (self.key.default,) if self.min else ()

    @property
    def is_optional(self) -> bool:
        """Whether this is a set of at most one element that may be empty."""
        return self.value is None and self.min == 0 and self.max == 1

    @property
    def has_weak_refs(self) -> bool:
        return self.key.is_weak_ref or (self.value is not None and self.value.is_weak_ref)

    def describe(self) -> str:
        """The type in English, as error messages put it: "set of up to 3 integers"."""
        if self.is_scalar:
            return self.key.name
        text = "set" if self.value is None else "map"
        if self.max == UNLIMITED:
            text += f" of {self.min} or more" if self.min else " of"
        elif self.min:
            text += f" of {self.min} to {self.max}"
        else:
            text += f" of up to {self.max}"
        if self.value is None:
            return f"{text} {self.key.name}s"
        return f"{text} ({self.key.name}, {self.value.name}) pairs"

    def to_json(self) -> Any:
        """The `<type>`: a bare name where that says everything."""
        key = self.key.to_json()
        if self.is_scalar and type(key) is str:
            return key
        json: dict[str, Any] = {"key": key}
        if self.value is not None:
            json["value"] = self.value.to_json()
        if self.min != 1:
            json["min"] = self.min
        if self.max == UNLIMITED:
            json["max"] = "unlimited"
        elif self.max != 1:
            json["max"] = self.max
        return json

    @staticmethod
    def from_json(json: Any) -> ColumnType:
        kind = kind_of(json)
        if kind == STRING:
            return ColumnType(BaseType(_atomic_type(json)), None, 1, 1)
        if kind != OBJECT:
            raise syntax_error(json, "ovsdb type expected")
        parser = Members(json, "ovsdb type")
        key_json = parser.get("key", STRING + OBJECT)
        value_json = parser.get("value", STRING + OBJECT, optional=True)
        min_json = parser.get("min", INTEGER, optional=True)
        max_json = parser.get("max", INTEGER + STRING, optional=True)
        parser.finish()
        key = BaseType.from_json(key_json)
        value = None if value_json is None else BaseType.from_json(value_json)
        n_min = _count_from_json(min_json, unlimited=False)
        n_max = _count_from_json(max_json, unlimited=True)
        if n_min > 1 or n_max < 1:
            raise syntax_error(json, "ovsdb type fails constraint checks")
        return ColumnType(key, value, n_min, n_max)


def diff_type(column_type: ColumnType) -> ColumnType:
    """The type to parse differences with: as the column's, but any number of elements."""
    if column_type.max <= 1:
        return column_type
    # A difference may have twice the elements, or none, and every one was checked before.
    key = BaseType(column_type.key.name)
    value = None if column_type.value is None else BaseType(column_type.value.name)
    return ColumnType(key, value, 0, UNLIMITED)


_LIMIT_MEMBERS = {
    "integer": ("minInteger", "maxInteger"),
    "real": ("minReal", "maxReal"),
    "string": ("minLength", "maxLength"),
}


def _number_text(value: int | float) -> str:
    return format_real(value) if isinstance(value, float) else str(value)


def _atomic_type(json: Any) -> str:
    if json in DEFAULT_ATOMS:
        return str(json)
    raise syntax_error(json, f'"{json}" is not an atomic-type')


def _count_from_json(json: Any, unlimited: bool) -> int:
    if json is None:
        return 1
    if type(json) is int and 0 <= json <= UINT_MAX:
        return json
    if unlimited and json == "unlimited":
        return UNLIMITED
    raise syntax_error(json, "bad min or max value")
