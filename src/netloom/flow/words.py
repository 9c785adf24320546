"""Flow text as words: `name`, `name=value`, `name:value`, `name(value)`, between commas or spaces.

The grammar is the same for matches, the keywords of a flow, and actions (ovs-ofctl(8), "Flow
Syntax"); what the words mean is their readers' business.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final


_SEPARATORS: Final = ", \t\r\n"
_KEY_ENDS: Final = ":=(" + _SEPARATORS


def first_word(text: str) -> str:
    """What `text` starts with, up to a separator."""
    for end, char in enumerate(text):
        if char in _SEPARATORS:
            return text[:end]
    return text


def beginnings(commands: dict[str, int]) -> dict[str, int]:
    """What stands for `commands`: any beginning of their names, the first one's if of several."""
    found: dict[str, int] = {}
    for name, command in commands.items():
        for end in range(1, len(name) + 1):
            found.setdefault(name[:end], command)
    return found


def split_words(text: str) -> Iterator[tuple[str, str]]:
    """The (name, value) pairs of `text`; a name alone has the value "". Parentheses nest: a
    separator inside of them separates nothing. `name(a)->b` has the value `a)->b`."""
    return ((name, value) for name, value, _ in split_words_at(text))


def split_words_at(text: str) -> Iterator[tuple[str, str, int]]:
    """As `split_words`, each pair with the place in `text` where what follows it starts."""
    at = 0
    size = len(text)
    while True:
        while at < size and text[at] in _SEPARATORS:
            at += 1
        if at == size:
            return
        start = at
        while at < size and text[at] not in _KEY_ENDS:
            at += 1
        name = text[start:at]
        delimiter = text[at : at + 1]
        at += 1
        if delimiter not in (":", "=", "("):
            at = min(at, size)
            yield name, "", at
            continue
        ends = ")" if delimiter == "(" else _SEPARATORS
        start = at
        at = _value_end(text, at, ends)
        if delimiter == "(" and text.startswith(")->", at):
            at = _value_end(text, at, _SEPARATORS)
        value = text[start:at]
        at = min(at + 1, size)
        yield name, value, at


def _value_end(text: str, at: int, ends: str) -> int:
    """Where the value that starts at `at` ends: at one of `ends` outside parentheses."""
    level = 0
    while at < len(text):
        char = text[at]
        if char == "(":
            level += 1
        elif level and char == ")":
            level -= 1
        elif not level and char in ends:
            break
        at += 1
    return at
