"""Reading a JSON object member by member, with the complaints that OVSDB makes.

    parser = Members(json, "table schema for table Port")
    columns = parser.get("columns", OBJECT)
    max_rows = parser.get("maxRows", INTEGER, optional=True)
    parser.finish()                  # raises for the first thing that was wrong, or left over

Kinds are sets of type letters, so that one member may have several.
"""

from __future__ import annotations

from netloom.ovsdb.errors import OvsdbError, syntax_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

NULL = "n"
BOOLEAN = "b"
INTEGER = "i"
NUMBER = "ir"
STRING = "s"
ID = "I"
OBJECT = "o"
ARRAY = "a"
ANY = "nbirsoa"

INT64_MIN = -(1 << 63)
INT64_MAX = (1 << 63) - 1


def is_id(text: str) -> bool:
    """Whether `text` is an `<id>`: a letter or underscore, then letters, digits, underscores."""
    return text.isascii() and text.isidentifier()


def kind_of(json: Any) -> str:
    """The kind letter of a JSON value. A whole number is an integer even if written 1.0."""
    kind = type(json)
    if kind is str:
        return STRING
    if kind is bool:
        return BOOLEAN
    if kind is int:
        return INTEGER if INT64_MIN <= json <= INT64_MAX else "r"
    if kind is float:
        return INTEGER if json.is_integer() and abs(json) < 2**63 else "r"
    if kind is dict:
        return OBJECT
    if kind is list:
        return ARRAY
    return NULL


class Members:
    """The members of one object; the first complaint is kept and raised by `finish`."""

    __slots__ = ("_error", "_json", "_name", "_used")

    def __init__(self, json: Any, name: str) -> None:
        self._json = json
        self._name = name
        self._used: set[str] = set()
        self._error: OvsdbError | None = None
        if type(json) is not dict:
            self.fail("Object expected.")

    @property
    def json(self) -> Any:
        """The object itself."""
        return self._json

    @property
    def failed(self) -> bool:
        return self._error is not None

    def fail(self, message: str) -> None:
        if self._error is None:
            text = f"Parsing {self._name} failed: {message}"
            if type(self._json) is dict:
                self._error = syntax_error(self._json, text)
            else:
                self._error = OvsdbError("syntax error", text)

    def get(self, name: str, kinds: str, optional: bool = False) -> Any:
        """The member's value, or None if it is missing or of another kind."""
        if self._error is not None:
            return None
        if name not in self._json:
            if not optional:
                self.fail(f"Required '{name}' member is missing.")
            return None
        self._used.add(name)
        value = self._json[name]
        kind = kind_of(value)
        if kind in kinds or (kinds == ID and kind == STRING and is_id(value)):
            if kind == INTEGER and type(value) is float:
                return int(value)
            return value
        self.fail(f"Type mismatch for member '{name}'.")
        return None

    def items(self) -> Iterator[tuple[str, Any]]:
        """All members, all counted as read."""
        if self._error is None:
            self._used.update(self._json)
            yield from self._json.items()

    def finish(self) -> None:
        """Raise what was wrong; a member that nobody asked for is wrong too."""
        if self._error is None and len(self._used) < len(self._json):
            extra = [name for name in self._json if name not in self._used]
            if len(extra) == 1:
                self.fail(f"Member '{extra[0]}' is present but not allowed here.")
            else:
                plural = "s" if len(extra) > 2 else ""
                self.fail(
                    f"Member '{extra[0]}' and {len(extra) - 1} other member{plural} "
                    "are present but not allowed here."
                )
        if self._error is not None:
            raise self._error
