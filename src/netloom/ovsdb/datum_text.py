"""The command-line text of values, as in ovs-vsctl(8), "Database Values".

    tag=10   trunks=[1,2,5-7]   options:peer=patch1   external-ids={a=b,"c d"=e}   ports=@name

Parsing raises `CommandError` with the text that the tools print. Formatting is what `list` and
`get` show: sets that may hold several elements in brackets, strings quoted only where they would
not be read back as the same string.
"""

from __future__ import annotations

from netloom.base.errors import CommandError
from netloom.ovsdb.datum import sorted_map
from netloom.ovsdb.errors import OvsdbError
from netloom.ovsdb.json_text import format_real, quote
from netloom.ovsdb.members import INT64_MAX, INT64_MIN
from netloom.ovsdb.uuids import parse_uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.ovsdb.datum import Symbols
    from netloom.ovsdb.types import Atom, BaseType, ColumnType, Datum

DELIMITERS = ":=, []{}!<>"
#: Most elements that one `first-last` range of integers may stand for.
MAX_RANGE = 4096
_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")
_SPACE = " \t\n\v\f\r"
_ESCAPES = {
    '"': '"',
    "\\": "\\",
    "/": "/",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
}


def format_atom(base_name: str, atom: Atom) -> str:
    """An atom in the form that `parse_atom_text` reads."""
    if base_name == "string":
        assert isinstance(atom, str)
        return quote(atom) if _needs_quotes(atom) else atom
    return bare_atom(base_name, atom)


def bare_atom(base_name: str, atom: Atom) -> str:
    """An atom without quotes."""
    if base_name == "boolean":
        return "true" if atom else "false"
    if base_name == "real":
        return format_real(float(atom))
    return str(atom)


def _needs_quotes(text: str) -> bool:
    if not text or text in ("true", "false"):
        return True
    if not (text[0] == "_" or (text[0].isascii() and text[0].isalpha())):
        return True
    plain = text.replace("_", "").replace("-", "").replace(".", "")
    if plain and not (plain.isascii() and plain.isalnum()):
        return True
    return len(text) == 36 and parse_uuid(text) is not None


def format_datum(column_type: ColumnType, datum: Datum) -> str:
    """A value as `ovs-vsctl get` prints it."""
    name = column_type.key.name
    if type(datum) is dict:
        assert column_type.value is not None
        value_name = column_type.value.name
        pairs = [
            f"{format_atom(name, key)}={format_atom(value_name, value)}"
            for key, value in datum.items()
        ]
        text = ", ".join(pairs)
        return text if column_type.max == 1 and pairs else "{" + text + "}"
    if type(datum) is tuple:
        text = ", ".join([format_atom(name, atom) for atom in datum])
        return text if column_type.max == 1 and datum else "[" + text + "]"
    return format_atom(name, datum)  # type: ignore[arg-type]


def bare_datum(column_type: ColumnType, datum: Datum) -> str:
    """A value with punctuation stripped off, as `--data=bare` prints it."""
    name = column_type.key.name
    if type(datum) is dict:
        assert column_type.value is not None
        value_name = column_type.value.name
        pairs = datum.items()
        return " ".join([f"{bare_atom(name, k)}={bare_atom(value_name, v)}" for k, v in pairs])
    if type(datum) is tuple:
        return " ".join([bare_atom(name, atom) for atom in datum])
    return bare_atom(name, datum)  # type: ignore[arg-type]


def skip_spaces(text: str, at: int) -> int:
    """The first place from `at` on that is not white space."""
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def parse_token(text: str, at: int) -> tuple[str, int]:
    """The word that begins at `at`, quotes kept, and where it ends.

    A word ends at a delimiter outside of quotes; a backslash takes the next character as it is."""
    out: list[str] = []
    in_quotes = False
    i = at
    while i < len(text):
        char = text[i]
        if char == "\\":
            if in_quotes:
                out.append("\\")
            i += 1
            if i >= len(text):
                raise CommandError(f"{text[at:]}: backslash at end of argument")
            out.append(text[i])
        elif not in_quotes and char in DELIMITERS:
            break
        else:
            out.append(char)
            if char == '"':
                in_quotes = not in_quotes
        i += 1
    if in_quotes:
        raise CommandError(f"{text[at:]}: quoted string extends past end of argument")
    return "".join(out), i


def parse_atom_text(base: BaseType, text: str, symbols: Symbols | None = None) -> Atom:
    """The atom that one word means, constraints checked."""
    name = base.name
    atom: Atom
    if name == "string":
        atom = _parse_string(text)
    elif name == "integer":
        atom = _parse_int(text)
    elif name == "uuid":
        if text.startswith("@") and symbols is not None:
            return symbols.refer(text, base)
        uuid = parse_uuid(text)
        if uuid is None:
            raise CommandError(f'"{text}" is not a valid UUID')
        atom = uuid
    elif name == "boolean":
        if text not in _TRUE and text not in _FALSE:
            raise CommandError(f'"{text}" is not a valid boolean (use "true" or "false")')
        atom = text in _TRUE
    else:
        atom = _parse_real(text)
    _check(base, atom)
    return atom


def _check(base: BaseType, atom: Atom) -> None:
    if base.constrained:
        try:
            base.check(atom)
        except OvsdbError as error:
            raise CommandError(str(error)) from error


def _strtoll(text: str) -> int | None:
    """A decimal integer of 64 bits as C's strtoll takes it, all of `text` used."""
    body = text.lstrip(_SPACE)
    digits = body[1:] if body[:1] in ("+", "-") else body
    if not digits.isascii() or not digits.isdigit():
        return None
    value = int(body)
    return value if INT64_MIN <= value <= INT64_MAX else None


def _parse_int(text: str) -> int:
    value = _strtoll(text)
    if value is None:
        raise CommandError(f'"{text}" is not a valid integer or range')
    return value


def _parse_range(text: str) -> tuple[int, int]:
    """`first-last`, or a single integer as a range of one."""
    value = _strtoll(text)
    if value is not None:
        return value, value
    dash = text.find("-", 1)
    first = _strtoll(text[:dash]) if dash > 0 else None
    last = _strtoll(text[dash + 1 :]) if dash > 0 else None
    if first is None or last is None:
        raise CommandError(f'"{text}" is not a valid integer or range')
    if last < first:
        raise CommandError(f'"{text}" is not a valid range. Range end cannot be before start.')
    return first, last


def _parse_real(text: str) -> float:
    try:
        value = float(text) if "_" not in text else float("nan")
    except ValueError:
        value = float("nan")
    if value != value or value in (float("inf"), float("-inf")):
        raise CommandError(f'"{text}" is not a valid real number')
    return value


def _check_utf8(text: str) -> None:
    """Refuse what came as bytes that are not UTF-8 (they are surrogates in `text`)."""
    data = text.encode("utf-8", "surrogateescape")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        shown = " ".join([f"0x{byte:02x}" for byte in data[error.start : error.end + 1]])
        raise CommandError(
            f"constraint violation: not a valid UTF-8 string: invalid UTF-8 sequence {shown}"
        ) from None


def _parse_string(text: str) -> str:
    if not text.isascii():
        _check_utf8(text)
    if not text:
        raise CommandError(
            'An empty string is not valid as input; use "" to represent the empty string'
        )
    if text[0] != '"':
        return text
    if len(text) < 2 or text[-1] != '"':
        raise CommandError(f"{text}: missing quote at end of quoted string")
    return unescape(text[1:-1])


def unescape(text: str) -> str:
    """The string that the inside of a JSON string literal stands for."""
    out: list[str] = []
    i = 0
    while i < len(text):
        char = text[i]
        if char < " ":
            raise CommandError(f"U+{ord(char):04X} must be escaped in JSON string")
        if char == '"':
            raise CommandError("quote must be escaped in JSON string")
        if char != "\\":
            out.append(char)
            i += 1
            continue
        if i + 1 >= len(text):
            raise CommandError("JSON string may not end with backslash")
        letter = text[i + 1]
        if letter == "u":
            code, i = _parse_unicode_escape(text, i)
            out.append(code)
        elif letter in _ESCAPES:
            out.append(_ESCAPES[letter])
            i += 2
        else:
            raise CommandError(f"bad escape \\{letter}")
    return "".join(out)


def _parse_unicode_escape(text: str, at: int) -> tuple[str, int]:
    first = _hex4(text, at + 2)
    if first == 0:
        raise CommandError("null bytes not supported in quoted strings")
    at += 6
    if not 0xD800 <= first < 0xE000:
        return chr(first), at
    if first >= 0xDC00 or text[at : at + 2] != "\\u":
        raise CommandError("malformed escaped surrogate pair")
    second = _hex4(text, at + 2)
    if not 0xDC00 <= second < 0xE000:
        raise CommandError("second half of escaped surrogate pair is not trailing surrogate")
    return chr(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)), at + 6


def _hex4(text: str, at: int) -> int:
    digits = text[at : at + 4]
    if len(digits) < 4:
        raise CommandError("quoted string ends within \\u escape")
    try:
        return int(digits, 16)
    except ValueError:
        raise CommandError("malformed \\u escape") from None


def parse_datum_text(column_type: ColumnType, text: str, symbols: Symbols | None = None) -> Datum:
    """The datum that `text` means for a column of that type; raises `CommandError`."""
    return _DatumParser(column_type, text, symbols).parse()


class _DatumParser:
    """One value: optional brackets, words separated by spaces or a comma, `=` within pairs."""

    __slots__ = ("_at", "_symbols", "_text", "_type")

    def __init__(self, column_type: ColumnType, text: str, symbols: Symbols | None) -> None:
        self._type = column_type
        self._text = text
        self._symbols = symbols
        self._at = 0

    def parse(self) -> Datum:
        text, is_map = self._text, self._type.is_map
        self._at = skip_spaces(text, 0)
        if self._at >= len(text):
            raise CommandError(
                'use "{}" to specify the empty map'
                if is_map
                else 'use "[]" to specify the empty set'
            )
        end = ""
        if text[self._at] == ("{" if is_map else "["):
            end = "}" if is_map else "]"
            self._at = skip_spaces(text, self._at + 1)
        keys, values = self._elements(end)
        if end:
            if text[self._at : self._at + 1] != end:
                raise CommandError(f'{text}: missing "{end}" at end of data')
            self._at = skip_spaces(text, self._at + 1)
            if self._at < len(text):
                raise CommandError(f'{text}: trailing garbage after "{end}"')
        return self._datum(keys, values)

    def _elements(self, end: str) -> tuple[list[Atom], list[Atom]]:
        text = self._text
        keys: list[Atom] = []
        values: list[Atom] = []
        while self._at < len(text) and text[self._at] != end:
            if text[self._at] in DELIMITERS:
                raise CommandError(
                    f'{text}: unexpected "{text[self._at]}" parsing {self._type.describe()}'
                )
            if self._type.value is None:
                keys.extend(self._set_element())
            else:
                keys.append(self._word(self._type.key))
                self._at = skip_spaces(text, self._at)
                found = text[self._at : self._at + 1]
                if not found:
                    # Where the text ends, Open vSwitch's message does so, too.
                    raise CommandError(f'{text}: syntax error at "')
                if found != "=":
                    raise CommandError(f'{text}: syntax error at "{found}" expecting "="')
                self._at = skip_spaces(text, self._at + 1)
                values.append(self._word(self._type.value))
            self._at = skip_spaces(text, self._at)
            if text[self._at : self._at + 1] == ",":
                self._at = skip_spaces(text, self._at + 1)
        return keys, values

    def _word(self, base: BaseType) -> Atom:
        token, self._at = parse_token(self._text, self._at)
        return parse_atom_text(base, token, self._symbols)

    def _set_element(self) -> list[Atom]:
        base = self._type.key
        if base.name != "integer" or self._type.is_scalar:
            return [self._word(base)]
        token, self._at = parse_token(self._text, self._at)
        first, last = _parse_range(token)
        for atom in (first, last):
            _check(base, atom)
        if last - first >= MAX_RANGE:
            raise CommandError(
                f'Range "{first}-{last}" is too big. Maximum allowed size is {MAX_RANGE}.'
            )
        return list(range(first, last + 1))

    def _datum(self, keys: list[Atom], values: list[Atom]) -> Datum:
        text, column_type = self._text, self._type
        word = "pair(s)" if column_type.is_map else "value(s)"
        n = len(keys)
        for limit, name, wrong in (
            (column_type.min, "minimum", n < column_type.min),
            (column_type.max, "maximum", n > column_type.max),
        ):
            if wrong:
                raise CommandError(f"{text}: {n} {word} specified but the {name} number is {limit}")
        if column_type.is_map:
            pairs = dict(zip(keys, values, strict=True))
            if len(pairs) != n:
                raise CommandError(f"{text}: map contains duplicate key")
            return sorted_map(pairs)
        atoms = tuple(sorted(keys))
        if len(set(atoms)) != n:
            raise CommandError(f"{text}: set contains duplicate value")
        return atoms[0] if column_type.is_scalar else atoms
