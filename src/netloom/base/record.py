"""Frozen value classes that cost nothing to import.

    class Output(Record):
        port: int
        max_len: int = 0

    Output(1) == Output(port=1, max_len=0)

A subclass gets slots, a constructor (by position or keyword), equality, a hash and a repr from
its annotations, those of its base classes first. Type checkers see a frozen dataclass; at run
time nothing stops an assignment, which keeps construction cheap. Why not `dataclasses`: it
imports `inspect` (4 ms) and compiles six methods per class when the class is defined; the classic
tools define a hundred such classes and use three. Here a constructor is compiled when there are
some instances.

Defaults must be immutable values. `replace(record, field=value)` makes a changed copy.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Protocol, TypeVar, dataclass_transform

    class HasFields(Protocol):
        """A record, or what has fields as records have them."""

        _fields: ClassVar[tuple[str, ...]]

    R = TypeVar("R", bound=HasFields)
else:

    def dataclass_transform(**_):  # type: ignore[no-untyped-def]
        return lambda cls: cls


#: So many instances are made without a constructor of their own: to compile one takes as long as
#: to make twenty of them.
FEW = 16


def _compile_init(cls: type) -> Any:
    """A constructor that assigns each field."""
    names: tuple[str, ...] = cls._fields  # type: ignore[attr-defined]
    defaults: dict[str, object] = cls._defaults  # type: ignore[attr-defined]
    arguments = ", ".join(f"{name}=_d[{name!r}]" if name in defaults else name for name in names)
    body = "\n".join(f"    self.{name} = {name}" for name in names) or "    pass"
    namespace: dict[str, Any] = {"_d": defaults}
    separator = ", " if arguments else ""
    exec(f"def __init__(self{separator}{arguments}):\n{body}", namespace)
    return namespace["__init__"]


@dataclass_transform(frozen_default=True)
class RecordType(type):
    """The metaclass of records: turns annotations into slots, fields and defaults."""

    def __new__(mcs, name: str, bases: tuple[type, ...], space: dict[str, Any]) -> RecordType:
        own = [
            field
            for field, kind in space.get("__annotations__", {}).items()
            if not str(kind).startswith("ClassVar")
        ]
        defaults = {field: space.pop(field) for field in own if field in space}
        space.setdefault("__slots__", tuple(own))
        cls = super().__new__(mcs, name, bases, space)
        fields: tuple[str, ...] = ()
        merged: dict[str, Any] = {}
        for base in bases:
            if isinstance(base, RecordType):
                fields += base._fields  # type: ignore[attr-defined]
                merged |= base._defaults  # type: ignore[attr-defined]
        cls._fields = (*fields, *own)  # type: ignore[attr-defined]
        cls._defaults = merged | defaults  # type: ignore[attr-defined]
        cls._made = 0  # type: ignore[attr-defined]
        if "__init__" not in space:
            cls.__init__ = _first_init  # type: ignore[misc]
        return cls


def _first_init(self: Any, *args: Any, **kwargs: Any) -> None:
    """The constructor of the first instances, which are the only ones of most classes in a tool."""
    cls = type(self)
    names = cls._fields
    values = {**cls._defaults, **dict(zip(names, args)), **kwargs}
    cls._made += 1
    is_right = len(args) <= len(names) and values.keys() == set(names)
    # Of arguments that are wrong the compiled one tells.
    if cls._made > FEW or not is_right or not kwargs.keys().isdisjoint(names[: len(args)]):
        cls.__init__ = _compile_init(cls)
        cls.__init__(self, *args, **kwargs)
        return
    for name, value in values.items():
        setattr(self, name, value)


class Record(metaclass=RecordType):
    """Base of value classes; see the module."""

    if TYPE_CHECKING:
        _fields: ClassVar[tuple[str, ...]]

    def _values(self) -> tuple[Any, ...]:
        return tuple([getattr(self, name) for name in self._fields])

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._fields)
        return f"{type(self).__name__}({shown})"


def replace(record: R, **changes: Any) -> R:
    """A copy of `record` with some fields changed."""
    values = {name: getattr(record, name) for name in type(record)._fields}
    return type(record)(**values | changes)
