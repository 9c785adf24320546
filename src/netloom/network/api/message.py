"""A request and its answer, free of any web framework."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from netloom.network.errors import ApiError, bad_request

encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
JSON_TYPE = "application/json"
#: Largest body that is read, in bytes: bulk creations of thousands of ports fit.
MAX_BODY = 16 << 20
NUL_ESCAPE = b"\\u0000"
#: Digits of a number in a URL or a header: more are no number of ours.
MAX_DIGITS = 18


def is_number(text: str) -> bool:
    """Whether it is a number of the size that databases have."""
    return text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS


@dataclass(frozen=True, slots=True)
class Request:
    """`path` begins with a slash; header names are in lower case; `base` is scheme and host."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    base: str = "http://localhost"

    def json(self) -> Any:
        """The body; an empty one is None."""
        if not self.body:
            return None
        try:
            content = _decode(self.body)
            # PostgreSQL has no place for it in texts, so that nobody has one.
            has_nul = NUL_ESCAPE in self.body and _has_nul(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise bad_request("Body contains invalid data") from None
        if has_nul:
            raise bad_request("Invalid input: a NUL character")
        return content


def _has_nul(content: Any) -> bool:
    """In any text or name in there. Raises RecursionError if it is nested too deeply."""
    if isinstance(content, str):
        return "\0" in content
    if isinstance(content, dict):
        return any(_has_nul(one) for pair in content.items() for one in pair)
    return isinstance(content, list) and any(_has_nul(one) for one in content)


@dataclass(frozen=True, slots=True)
class Response:
    """What goes back; an empty body means none."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


def answer(status: int, content: Any) -> Response:
    """An answer with JSON."""
    return Response(status, encode(content))


def error_answer(error: ApiError) -> Response:
    """The one shape of errors."""
    body = {"type": error.kind, "message": error.message, "detail": error.detail}
    return Response(error.status, encode({"NeutronError": body}))
