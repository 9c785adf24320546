"""What is wrong with a text that is no JSON, in Open vSwitch's words (its lib/json.c).

    syntax_error(b"[1,]")    # "line 0, column 3, byte 3: syntax error expecting value"

This reads byte by byte, and only what a decoder has refused. Lines and columns count from 0; the
place is where the error shows: at a token that may not be there if it is a single character or a
string, otherwise behind it.
"""

from __future__ import annotations

import re

from netloom.base.limits import JSON_DEPTH

_SPACE = b" \t\r\n"
_KEYWORD = re.compile(rb"[a-z][A-Za-z]*")
_NUMBER = re.compile(rb"[-0-9][.0-9eE+-]*")
#: What ends the plain part of a string.
_SPECIAL = re.compile(rb'[\\"\x00-\x1f]')
_EXPONENT_LIMIT = (1 << 31) - 1
#: An exponent has no more digits once it is that large.
_LONG_EXPONENT = _EXPONENT_LIMIT // 10
#: Ten times as much is more than the significand has room for.
_SIGNIFICAND_LIMIT = ((1 << 64) - 1) // 10
_HEX4 = re.compile(rb"[0-9a-fA-F]{4}")
_STRING, _VALUE = "string", "value"

#: What is expected -> (what is wrong with anything else, tokens that may come, what is expected
#: then). Brackets change that, too.
_START = "start"
_END = "end"
_RULES: dict[str, tuple[str, dict[str, str]]] = {
    _START: ("syntax error at beginning of input", {}),
    _END: ("trailing garbage at end of input", {}),
    "first name": ("syntax error parsing object expecting string", {_STRING: "colon"}),
    "name": ("syntax error parsing object expecting string", {_STRING: "colon"}),
    "colon": ("syntax error parsing object expecting ':'", {":": "member"}),
    "member": (
        "syntax error expecting value",
        {_STRING: "next member", _VALUE: "next member"},
    ),
    "next member": ("syntax error expecting '}' or ','", {",": "name"}),
    "first element": (
        "syntax error expecting value",
        {_STRING: "next element", _VALUE: "next element"},
    ),
    "element": (
        "syntax error expecting value",
        {_STRING: "next element", _VALUE: "next element"},
    ),
    "next element": ("syntax error expecting ']' or ','", {",": "element"}),
}
#: Where a bracket may open, and where one may close.
_OPENING = {_START, "member", "first element", "element"}
_CLOSING = {"first name": "}", "next member": "}", "first element": "]", "next element": "]"}


class _Found(Exception):
    """An error, and where it is."""

    def __init__(self, at: int, text: str) -> None:
        super().__init__(text)
        self.at = at


class _Reader:
    """Reads one document, token by token, up to its first error."""

    def __init__(self, data: bytes, is_whole: bool) -> None:
        self._data = data
        self._is_whole = is_whole
        #: The last token goes up to the end.
        self._is_cut = False
        self._state = _START
        #: What follows the end of each array or object that is open.
        self._outer: list[str] = []

    def read(self) -> None:
        """Raises `_Found` at the first error."""
        data, at = self._data, 0
        while at < len(data):
            if data[at] in _SPACE:
                at += 1
                continue
            if self._state == _END and not self._is_whole:
                return
            at = self._read_token(at)
        if not self._is_whole:
            return
        if self._is_cut:
            # The end was seen one place further on.
            at += 1
        if self._state == _START:
            raise _Found(at, "empty input stream")
        if self._state != _END:
            raise _Found(at, "unexpected end of input")

    def _read_token(self, at: int) -> int:
        """Go past the token that begins there."""
        data, char = self._data, chr(self._data[at])
        if char in "{}[]:,":
            self._take(char, at)
            return at + 1
        if char == '"':
            return self._read_string(at + 1)
        for pattern, check in ((_KEYWORD, _check_keyword), (_NUMBER, _check_number)):
            if (found := pattern.match(data, at)) is not None:
                self._is_cut = found.end() == len(data)
                if self._is_whole or not self._is_cut:
                    check(found[0], found.end())
                    self._take(_VALUE, found.end())
                return found.end()
        shown = f"'{char}'" if " " <= char <= "~" else f"U+{ord(char):04x}"
        raise _Found(at, f"invalid character {shown}")

    def _take(self, token: str, at: int) -> None:
        state = self._state
        wrong, expected = _RULES[state]
        if token in ("{", "[") and state in _OPENING:
            self._open(token, at)
        elif _CLOSING.get(state) == token:
            self._state = self._outer.pop()
        elif token in expected:
            self._state = expected[token]
        else:
            raise _Found(at, wrong)

    def _open(self, token: str, at: int) -> None:
        if len(self._outer) >= JSON_DEPTH:
            raise _Found(at, f"input exceeds maximum nesting depth {JSON_DEPTH}")
        self._outer.append(_RULES[self._state][1].get(_VALUE, _END))
        self._state = "first name" if token == "{" else "first element"

    def _read_string(self, start: int) -> int:
        """Go past the string whose text begins there."""
        data, at = self._data, start
        while (found := _SPECIAL.search(data, at)) is not None:
            special = found[0]
            if special == b"\\":
                at = found.end() + 1
                continue
            if special != b'"':
                raise _Found(found.start(), f"U+{special[0]:04X} must be escaped in quoted string")
            error = _string_error(data[start : found.start()])
            if error:
                raise _Found(found.start(), error)
            self._take(_STRING, found.start())
            return found.end()
        if self._is_whole:
            raise _Found(len(data), "unexpected end of input in quoted string")
        return len(data)


def _check_keyword(word: bytes, at: int) -> None:
    if word not in (b"true", b"false", b"null"):
        raise _Found(at, f"invalid keyword '{word.decode()}'")


_PARTS = re.compile(rb"(-?)([0-9]*)(\.([0-9]*))?([eE]([+-]?)([0-9]*))?")


def _check_number(text: bytes, at: int) -> None:
    if error := _number_error(text):
        raise _Found(at, error)


def _number_error(text: bytes) -> str:
    found = _PARTS.match(text)
    assert found is not None
    _, whole, point, fraction, exponent, sign, power = found.groups()
    if not whole:
        return "'-' must be followed by digit"
    if len(whole) > 1 and whole.startswith(b"0"):
        return "leading zeros not allowed"
    if point and not fraction:
        return "decimal point must be followed by digit"
    if exponent:
        if not power:
            return "exponent must contain at least one digit"
        if _is_far(whole, fraction or b"", sign == b"-", int(power.lstrip(b"0")[:32] or b"0")):
            return "exponent outside valid range"
    if found.end() < len(text):
        return "syntax error in number"
    return "number outside valid range" if float(text) in (float("inf"), -float("inf")) else ""


def _is_far(whole: bytes, fraction: bytes, is_negative: bool, power: int) -> bool:
    """Whether the power of ten of a number, whose digits are taken for an integer, is more than an
    `int` holds."""
    if power // 10 >= _LONG_EXPONENT:
        return True
    significand = shift = 0
    for digits, step in ((whole, 0), (fraction, -1)):
        for digit in digits:
            if significand <= _SIGNIFICAND_LIMIT:
                significand = significand * 10 + digit - 48
                shift += step
            else:
                shift += step + 1
    total = shift - power if is_negative else shift + power
    return not -_EXPONENT_LIMIT - 1 <= total <= _EXPONENT_LIMIT


def _string_error(text: bytes) -> str:
    """What is wrong with the escapes of a string."""
    at = text.find(b"\\")
    while at >= 0:
        escape = chr(text[at + 1])
        at += 2
        if escape == "u":
            error, at = _unicode_error(text, at)
            if error:
                return error
        elif escape not in '"\\/bfnrt':
            return f"bad escape \\{escape}"
        at = text.find(b"\\", at)
    return ""


def _unicode_error(text: bytes, at: int) -> tuple[str, int]:
    """What is wrong with the digits there, which may be those of a pair; where they end."""
    error, first = _hex_error(text, at)
    if error or not 0xD800 <= first <= 0xDBFF:
        return error, at + 4
    if text[at + 4 : at + 6] != b"\\u":
        return "malformed escaped surrogate pair", at
    error, second = _hex_error(text, at + 6)
    if not error and not 0xDC00 <= second <= 0xDFFF:
        error = "second half of escaped surrogate pair is not trailing surrogate"
    return error, at + 10


def _hex_error(text: bytes, at: int) -> tuple[str, int]:
    """What is wrong with four hexadecimal digits, and their value."""
    if at + 4 > len(text):
        return "quoted string ends within \\u escape", 0
    found = _HEX4.match(text, at)
    if found is None:
        return "malformed \\u escape", 0
    value = int(found[0], 16)
    return ("" if value else "null bytes not supported in quoted strings"), value


def syntax_error(data: bytes | bytearray, is_whole: bool = True) -> str:
    """The first error of a text that is to be a JSON object or array, with its place; empty if
    there is none. If it `is_whole`, that it ends too early is one, and so is what follows."""
    data = bytes(data)
    try:
        _Reader(data, is_whole).read()
    except _Found as found:
        before = data[: found.at]
        line, column = before.count(b"\n"), found.at - (before.rfind(b"\n") + 1)
        return f"line {line}, column {column}, byte {found.at}: {found}"
    return ""
