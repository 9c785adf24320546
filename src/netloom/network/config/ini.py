"""Files in the syntax of oslo.config: sections, `name = value`, comments, continued lines.

    [section]
    name = value          ; `:` works too; spaces around do not count
    list = one, two,
        three             ; a line that begins with a space goes on
    other = $name/more    ; another option of the same section or of [DEFAULT]; $$ is a dollar

Every value knows its file and line, so that a complaint can name them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from netloom.base.errors import ConfigError

DEFAULT = "DEFAULT"
_REFERENCE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})")


class Value(NamedTuple):
    """The text of an option and where it was given."""

    text: str
    where: str


#: section -> option -> the values given for it, in order.
Sections = dict[str, dict[str, list[Value]]]


def parse_file(text: str, name: str) -> Sections:
    """The options of one file; `ConfigError` with `name` and the line for what is no syntax."""
    sections: Sections = {}
    section = ""
    current: list[Value] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{name}:{number}"
        stripped = line.strip()
        if not stripped:
            current = None
        elif stripped[0] in "#;":
            continue
        elif line[0] in " \t":
            if current is None:
                raise ConfigError("a continued line without anything to continue", where)
            last = current[-1]
            current[-1] = Value(f"{last.text}\n{stripped}", last.where)
        elif stripped[0] == "[":
            if not stripped.endswith("]") or len(stripped) < 3:
                raise ConfigError(f"not a section: {stripped}", where)
            section, current = stripped[1:-1], None
            sections.setdefault(section, {})
        else:
            current = _option(sections, section, stripped, where)
    return sections


def _option(sections: Sections, section: str, line: str, where: str) -> list[Value]:
    if not section:
        raise ConfigError(f"an option before any section: {line}", where)
    match = re.match(r"([^\s=:]+)\s*[=:]\s*(.*)\Z", line)
    if match is None:
        raise ConfigError(f"neither a section nor an option: {line}", where)
    name, text = match.groups()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1]
    values = sections[section].setdefault(name.replace("-", "_"), [])
    values.append(Value(text, where))
    return values


def merge(files: list[Sections]) -> Sections:
    """Later files override earlier ones."""
    merged: Sections = {}
    for sections in files:
        for section, options in sections.items():
            target = merged.setdefault(section, {})
            for name, values in options.items():
                target[name] = values
    return merged


def expand(sections: Sections, section: str, value: Value, depth: int = 0) -> str:
    """The text with references to other options filled in."""
    if depth > 10:
        raise ConfigError("options refer to each other in a circle", value.where)

    def fill(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name is None:
            return "$"
        for place in (section, DEFAULT):
            found = sections.get(place, {}).get(name)
            if found:
                return expand(sections, place, found[-1], depth + 1)
        raise ConfigError(f"${name} refers to an option that is not given", value.where)

    return _REFERENCE.sub(fill, value.text)
