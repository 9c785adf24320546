"""Data (column values): from and to JSON, difference, and application of a difference.

The Python shapes are those of `netloom.ovsdb.types`. Everything here is a pure function of a
`ColumnType` and data; the JSON side is what `json` or msgspec decode to.
"""

from __future__ import annotations

from _bisect import bisect_left

from netloom.ovsdb.errors import OvsdbError, syntax_error
from netloom.ovsdb.members import INT64_MAX, INT64_MIN, is_id
from netloom.ovsdb.uuids import Uuid, parse_uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from typing import Any

    from netloom.ovsdb.types import Atom, BaseType, ColumnType, Datum


class Symbols:
    """The `named-uuid` names of one transaction, or the `@name`s of one command line.

    A name stands for a UUID from its first mention on, be that a use or the insertion."""

    __slots__ = ("_new_uuid", "created", "strong_refs", "uuids", "weak_refs")

    def __init__(self, new_uuid: Callable[[], Uuid]) -> None:
        self._new_uuid = new_uuid
        self.uuids: dict[str, Uuid] = {}
        #: Names whose row has been inserted, and names that references were made to.
        self.created: set[str] = set()
        self.strong_refs: set[str] = set()
        self.weak_refs: set[str] = set()

    def resolve(self, name: str) -> Uuid:
        """The UUID that `name` stands for."""
        uuid = self.uuids.get(name)
        if uuid is None:
            uuid = self.uuids[name] = self._new_uuid()
        return uuid

    def refer(self, name: str, base: BaseType) -> Uuid:
        """As `resolve`, noting that a column of type `base` refers to the name."""
        if base.is_strong_ref:
            self.strong_refs.add(name)
        elif base.is_weak_ref:
            self.weak_refs.add(name)
        return self.resolve(name)


def parse_datum(column_type: ColumnType, json: Any, symbols: Symbols | None = None) -> Datum:
    """The datum that `json` (a `<value>`) means for a column of that type.

    Without `symbols`, `["named-uuid", ...]` is refused. Raises `OvsdbError`: "syntax error",
    "constraint violation", or "ovsdb error" for duplicates."""
    if column_type.is_scalar:
        if type(json) is not list or not json or json[0] != "set":
            return parse_atom(column_type.key, json, symbols)
        return parse_atom(column_type.key, _elements(column_type, json, "set")[0], symbols)
    if column_type.value is not None:
        return _parse_map(column_type, json, symbols)
    key = column_type.key
    if type(json) is list and json and json[0] == "set":
        atoms = [parse_atom(key, item, symbols) for item in _elements(column_type, json, "set")]
        if len(atoms) > 1:
            return sorted_atoms(atoms)
        return tuple(atoms)
    return (parse_atom(key, json, symbols),)


def _elements(column_type: ColumnType, json: Any, word: str) -> list[Any]:
    if type(json) is not list or len(json) != 2 or json[0] != word or type(json[1]) is not list:
        raise syntax_error(json, f'expected ["{word}", <array>]')
    items: list[Any] = json[1]
    n = len(items)
    if n < column_type.min or n > column_type.max:
        if column_type.min == 1 and column_type.max == 1:
            raise syntax_error(json, f"{word} must have exactly one member but {n} are present")
        raise syntax_error(
            json,
            f"{word} must have {column_type.min} to {column_type.max} members but {n} are present",
        )
    return items


def _parse_map(column_type: ColumnType, json: Any, symbols: Symbols | None) -> dict[Atom, Atom]:
    key, value = column_type.key, column_type.value
    assert value is not None
    pairs = {}
    items = _elements(column_type, json, "map")
    for item in items:
        if type(item) is not list or len(item) != 2:
            raise syntax_error(item, "expected 2-element array")
        pairs[parse_atom(key, item[0], symbols)] = parse_atom(value, item[1], symbols)
    if len(pairs) != len(items):
        raise OvsdbError("ovsdb error", "map contains duplicate key")
    return sorted_map(pairs)


def parse_atom(base: BaseType, json: Any, symbols: Symbols | None = None) -> Atom:
    """The atom that `json` means, constraints checked."""
    name = base.name
    kind = type(json)
    atom: Atom
    if name == "string":
        if kind is not str:
            raise syntax_error(json, "expected string")
        atom = json
    elif name == "uuid":
        return _parse_uuid_atom(base, json, symbols)
    elif name == "integer":
        atom = _parse_integer(json)
    elif name == "boolean":
        if kind is not bool:
            raise syntax_error(json, "expected boolean")
        atom = json
    else:
        if kind is not float and kind is not int:
            raise syntax_error(json, "expected real")
        atom = float(json)
    if base.constrained:
        base.check(atom)
    return atom


def _parse_integer(json: Any) -> int:
    # JSON does not tell 1.0 from 1, and Open vSwitch takes whole numbers for integers.
    if type(json) is float and json.is_integer():
        json = int(json)
    if type(json) is not int or not INT64_MIN <= json <= INT64_MAX:
        raise syntax_error(json, "expected integer")
    return json


def _parse_uuid_atom(base: BaseType, json: Any, symbols: Symbols | None) -> Uuid:
    if type(json) is list and len(json) == 2 and type(json[1]) is str:
        word, text = json
        if word == "uuid":
            uuid = parse_uuid(text)
            if uuid is None:
                raise syntax_error(json, f'"{text}" is not a valid UUID')
            return uuid
        if word == "named-uuid" and symbols is not None:
            if not is_id(text):
                raise syntax_error(json, "named-uuid string is not a valid <id>")
            return symbols.refer(text, base)
    raise syntax_error(json, 'expected ["uuid", <string>]')


def sorted_atoms(atoms: Iterable[Atom]) -> tuple[Atom, ...]:
    """Atoms as a set datum; raises "ovsdb error" for duplicates."""
    # A column has atoms of one type only, so they do compare.
    ordered: tuple[Atom, ...] = tuple(sorted(atoms))
    previous: Atom | None = None
    for atom in ordered:
        if atom == previous and previous is not None:
            raise OvsdbError("ovsdb error", "set contains duplicate")
        previous = atom
    return ordered


def unique_atoms(atoms: Iterable[Atom]) -> tuple[Atom, ...]:
    """Atoms as a set datum, duplicates dropped."""
    return tuple(sorted(set(atoms)))


def sorted_map(pairs: dict[Atom, Atom]) -> dict[Atom, Atom]:
    """`pairs` as a map datum: the same dict if its keys are in order already."""
    if len(pairs) < 2:
        return pairs
    keys = list(pairs)
    ordered = sorted(keys)
    return pairs if keys == ordered else {key: pairs[key] for key in ordered}


def atom_to_json(base_name: str, atom: Atom) -> Any:
    """An `<atom>`."""
    return ["uuid", atom] if base_name == "uuid" else atom


def atoms_to_json(base_name: str, atoms: tuple[Atom, ...]) -> Any:
    """A set datum as a `<value>`: a single element stands for itself."""
    if base_name == "uuid":
        if len(atoms) == 1:
            return ["uuid", atoms[0]]
        return ["set", [["uuid", atom] for atom in atoms]]
    return atoms[0] if len(atoms) == 1 else ["set", list(atoms)]


def datum_to_json(column_type: ColumnType, datum: Datum) -> Any:
    """A `<value>`, as compact as RFC 7047 allows."""
    if type(datum) is dict:
        value_type = column_type.value
        assert value_type is not None
        key_is_uuid = column_type.key.name == "uuid"
        value_is_uuid = value_type.name == "uuid"
        if not key_is_uuid and not value_is_uuid:
            return ["map", [[key, value] for key, value in datum.items()]]
        return [
            "map",
            [
                [["uuid", key] if key_is_uuid else key, ["uuid", value] if value_is_uuid else value]
                for key, value in datum.items()
            ],
        ]
    if type(datum) is tuple:
        return atoms_to_json(column_type.key.name, datum)
    return ["uuid", datum] if column_type.key.name == "uuid" else datum


def keys_of(datum: Datum) -> tuple[Atom, ...]:
    """The elements of a set, the keys of a map, or the one atom, as a tuple."""
    if type(datum) is tuple:
        return datum
    if type(datum) is dict:
        return tuple(datum)
    return (datum,)  # type: ignore[return-value]


def order_key(datum: Datum) -> Any:
    """Data in the order of Open vSwitch: fewer elements first, then by keys, then by values."""
    values = list(datum.values()) if type(datum) is dict else []
    keys = keys_of(datum)
    return len(keys), keys, values


def datum_from_atoms(column_type: ColumnType, atoms: tuple[Atom, ...]) -> Datum:
    """The datum of a column that is no map with these (sorted, unique) elements."""
    return atoms[0] if column_type.is_scalar else atoms


#: Up to this size two sets are compared as wholes.
_SMALL = 32


def set_changes(
    old: tuple[Atom, ...], new: tuple[Atom, ...]
) -> tuple[tuple[Atom, ...], tuple[Atom, ...]]:
    """What two set data have each for itself: (removed, added), both in order.

    A bridge of 10,000 ports gains one: the common beginning and end are found by comparing ever
    smaller slices, which is 20 times as fast as to make sets of both."""
    if old is new:
        return (), ()
    shorter = min(len(old), len(new))
    if shorter > _SMALL:
        begin = _common(old, new, shorter)
        old, new = old[begin:], new[begin:]
        rest = shorter - begin
        end = _common_end(old, new, rest)
        if end:
            old, new = old[: len(old) - end], new[: len(new) - end]
    before, after = set(old), set(new)
    return (
        tuple([atom for atom in old if atom not in after]),
        tuple([atom for atom in new if atom not in before]),
    )


def _common(old: tuple[Atom, ...], new: tuple[Atom, ...], n: int) -> int:
    """How many of the first `n` elements are equal."""
    low, step = 0, n
    while step:
        if low + step <= n and old[low : low + step] == new[low : low + step]:
            low += step
        step //= 2
    return low


def _common_end(old: tuple[Atom, ...], new: tuple[Atom, ...], n: int) -> int:
    """How many of the last `n` elements are equal."""
    low, step = 0, n
    a, b = len(old), len(new)
    while step:
        if low + step <= n and old[a - low - step : a - low] == new[b - low - step : b - low]:
            low += step
        step //= 2
    return low


def insert_atoms(old: tuple[Atom, ...], more: tuple[Atom, ...]) -> tuple[Atom, ...]:
    """A set datum with more elements; cheap for few into many."""
    if len(more) * 16 > len(old):
        return unique_atoms((*old, *more))
    atoms = list(old)
    for atom in more:
        at = bisect_left(atoms, atom)
        if at == len(atoms) or atoms[at] != atom:
            atoms.insert(at, atom)
    return tuple(atoms)


def remove_atoms(old: tuple[Atom, ...], drop: Collection[Atom]) -> tuple[Atom, ...]:
    """A set datum without some elements; cheap for few of many."""
    if len(drop) * 16 > len(old):
        dropped = set(drop)
        return tuple([atom for atom in old if atom not in dropped])
    atoms = list(old)
    for atom in drop:
        at = bisect_left(atoms, atom)
        if at < len(atoms) and atoms[at] == atom:
            del atoms[at]
    return tuple(atoms)


def diff_datum(column_type: ColumnType, old: Datum, new: Datum) -> Datum:
    """What an update2 "modify" says of a column that changed from `old` to `new`.

    For a set of several elements, those in one but not both; for a map of several pairs, those
    removed (with the old value) and those added or changed (with the new one); else the new
    value."""
    if column_type.max <= 1:
        return new
    if type(new) is dict:
        assert type(old) is dict
        pairs = {key: value for key, value in old.items() if key not in new}
        for key, value in new.items():
            if key not in old or old[key] != value:
                pairs[key] = value
        return sorted_map(pairs)
    if type(new) is tuple:
        assert type(old) is tuple
        removed, added = set_changes(old, new)
        return tuple(sorted((*removed, *added)))
    return new


def apply_diff(column_type: ColumnType, old: Datum, diff: Datum) -> Datum:
    """The inverse of `diff_datum`: the value that `old` became. Raises on a size error."""
    if column_type.max <= 1:
        return diff
    result: Datum
    if type(diff) is dict:
        assert type(old) is dict
        pairs = dict(old)
        for key, value in diff.items():
            if key in pairs and pairs[key] == value:
                del pairs[key]
            else:
                pairs[key] = value
        result = sorted_map(pairs)
        size = len(result)
    else:
        assert type(diff) is tuple and type(old) is tuple
        present = set(old)
        gone = [atom for atom in diff if atom in present]
        kept = remove_atoms(old, gone) if gone else old
        result = insert_atoms(kept, tuple([atom for atom in diff if atom not in present]))
        size = len(result)
    if not column_type.min <= size <= column_type.max:
        raise OvsdbError("ovsdb error", "Datum crated by diff has size error")
    return result
