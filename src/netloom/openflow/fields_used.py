"""The fields that actions read or write."""

from __future__ import annotations

from netloom.flow.fields import Field
from netloom.openflow import actions as a

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

#: Attributes of each class that may be a field or hold some.
_NAMES: dict[type, tuple[str, ...]] = {
    kind: tuple(name for name, text in kind.__annotations__.items()
                if "Field" in text or "Subfield" in text or "LearnSpec" in text)
    for kind in vars(a).values()
    if isinstance(kind, type) and "__annotations__" in vars(kind)
}  # fmt: skip


def parts_of(action: a.Action | a.LearnSpec) -> Iterator[a.Subfield]:
    """The parts of fields that one action names."""
    for name in _NAMES.get(type(action), ()):
        value = getattr(action, name)
        if isinstance(value, a.Subfield):
            yield value
        elif isinstance(value, tuple):
            for spec in value:
                yield from parts_of(spec)


def fields_of(action: a.Action | a.LearnSpec) -> Iterator[Field]:
    """The fields of one action; those of actions inside of it are not among them."""
    for name in _NAMES.get(type(action), ()):
        value = getattr(action, name)
        if isinstance(value, a.Subfield):
            yield value.field
        elif isinstance(value, Field):
            yield value
        elif isinstance(value, tuple):
            for spec in value:
                yield from fields_of(spec)
