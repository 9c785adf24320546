"""The error value of OVSDB: what a failed operation, schema or file check says.

On the wire it is the `<error>` object of RFC 7047 section 3.1 (`to_json`); a tool prints it as one
line (`str`). `tag` is the class of error that programs test ("constraint violation", "timed out",
...), `details` is for people, `syntax` is the JSON text that could not be understood.
"""

from __future__ import annotations

from netloom.base.errors import NetloomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class OvsdbError(NetloomError):
    """A failure that goes back to the client, or to the user of a tool, as it is."""

    def __init__(
        self,
        tag: str,
        details: str | None = None,
        syntax: str | None = None,
        io_error: str | None = None,
    ) -> None:
        self.tag = tag
        self.details = details
        self.syntax = syntax
        self.io_error = io_error
        super().__init__(self._line())

    def _line(self) -> str:
        text = f'syntax "{self.syntax}": ' if self.syntax is not None else ""
        text += self.tag
        if self.details is not None:
            text += f": {self.details}"
        if self.io_error is not None:
            text += f" ({self.io_error})"
        return text

    def to_json(self) -> dict[str, Any]:
        """The `<error>` object: "error" and, where present, "details", "syntax", "io-error"."""
        json: dict[str, Any] = {"error": self.tag}
        if self.details is not None:
            json["details"] = self.details
        if self.syntax is not None:
            json["syntax"] = self.syntax
        if self.io_error is not None:
            json["io-error"] = self.io_error
        return json


def syntax_error(json: Any, details: str, tag: str = "syntax error") -> OvsdbError:
    """The error for a piece of JSON that does not say what it should."""
    from netloom.ovsdb.json_text import format_json

    return OvsdbError(tag, details, format_json(json))


def constraint_violation(details: str) -> OvsdbError:
    return OvsdbError("constraint violation", details)
