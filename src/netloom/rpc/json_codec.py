"""JSON text to and from Python values, two ways with one shape.

A codec is an object with `encode(value) -> bytes` and `decode(data) -> value`; `decode` raises
`ValueError` for anything that is not one JSON document. `LightJson` is what the classic tools use:
the C core of the standard library's `json`, without the package around it, whose import of `re`
costs more than the rest of a tool. Where an interpreter has no such core, or another shape of it,
`json` itself is used. Between daemons and databases it is `netloom.rpc.fast_json`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol
else:
    Protocol = object

_WHITESPACE = " \t\n\r"
_INFINITIES = (float("inf"), float("-inf"))
#: How halves of characters begin, whole ones among them: looked at closer.
_SURROGATES = (b"\\ud", b"\\uD")
_NULL = b"\\u0000"


class Codec(Protocol):
    """What the JSON-RPC machine needs."""

    def encode(self, value: object) -> bytes: ...

    def decode(self, data: bytes) -> Any: ...


def _finite(text: str) -> float:
    number = float(text)
    if number in _INFINITIES:
        raise ValueError("number out of range")
    return number


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _refuse_value(value: object) -> Any:
    raise TypeError(f"{type(value).__name__} has no JSON form")


def refuse_nulls(data: bytes) -> None:
    """Raise `JsonError` if a text has a zero character, which Open vSwitch has no place for: its
    programs could not read what would be stored or passed on."""
    if _NULL in data:
        from .json_errors import syntax_error

        if syntax_error(data):
            raise JsonError(data, "null bytes not supported in quoted strings")


class JsonError(ValueError):
    """A text is no JSON. What is wrong with it is only looked for when it is to be shown; `reason`
    is shown where the decoder refuses what Open vSwitch would take."""

    def __init__(self, data: bytes, reason: str) -> None:
        super().__init__(reason)
        self._data = data
        self._reason = reason

    def __str__(self) -> str:
        from .json_errors import syntax_error

        return syntax_error(self._data) or self._reason


def decode_document(codec: Codec, data: bytes) -> Any:
    """The object or array that a text is, which Open vSwitch takes alone for JSON; raises
    `ValueError` for any other."""
    value = codec.decode(data)
    if type(value) not in (dict, list):
        raise JsonError(data, "neither an object nor an array")
    return value


class _ScannerOptions:
    """The settings that the C scanner reads from its context argument."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = staticmethod(_finite)
    parse_int = int
    parse_constant = staticmethod(_refuse_constant)
    memo: dict[str, str] = {}  # noqa: RUF012 - read by the C code, never filled by it


def _core_functions() -> tuple[Callable[[str, int], tuple[Any, int]], Callable[[object], str]]:
    """(scan, encode) from the C core; raises if this interpreter's core is different."""
    import _json

    scan = _json.make_scanner(_ScannerOptions())  # type: ignore[arg-type]
    encoder = _json.make_encoder(
        {}, _refuse_value, _json.encode_basestring, None, ":", ",", False, False, False
    )
    if scan('{"a":[1]}', 0) != ({"a": [1]}, 9) or "".join(encoder({"a": [1]}, 0)) != '{"a":[1]}':
        raise ImportError("an unknown shape of the JSON core")
    return scan, lambda value: "".join(encoder(value, 0))


def _package_functions() -> tuple[Callable[[str, int], tuple[Any, int]], Callable[[object], str]]:
    import json

    decoder: Any = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse_constant)
    encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return decoder.scan_once, encoder.encode


class LightJson:
    """The codec of the tools."""

    def __init__(self) -> None:
        try:
            self._scan, self._encode = _core_functions()
        except (ImportError, AttributeError, TypeError):
            self._scan, self._encode = _package_functions()

    def encode(self, value: object) -> bytes:
        return self._encode(value).encode("utf-8", "surrogatepass")

    def decode(self, data: bytes) -> Any:
        text = data.decode("utf-8").strip(_WHITESPACE)
        try:
            value, end = self._scan(text, 0)
        except StopIteration as stop:
            raise JsonError(data, f"syntax error at character {stop.value}") from None
        except SystemError:
            # Some releases of the core ask the package around it for its exception, and have none
            # to raise where that was not imported.
            raise JsonError(data, "syntax error") from None
        except RecursionError:
            raise JsonError(data, "nested too deeply") from None
        except ValueError as error:
            raise JsonError(data, str(error)) from None
        if end != len(text):
            raise JsonError(data, f"trailing garbage at character {end}")
        if any(half in data for half in _SURROGATES):
            # Raises UnicodeEncodeError, a ValueError, where one has lost its other half.
            self._encode(value).encode("utf-8")
        refuse_nulls(data)
        return value
