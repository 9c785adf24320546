"""Sizes are ratchets: the exceptions are listed, and may only shrink."""

from __future__ import annotations

import ast
from pathlib import Path

SRC = Path(__file__).parents[2] / "src" / "netloom"
FUNCTION_LINES = 60
FILE_LINES = 600

#: path -> lines that the file may have.
LONG_FILES: dict[str, int] = {}
#: path:function -> lines that it may have.
LONG_FUNCTIONS: dict[str, int] = {}


def sources() -> list[tuple[str, str]]:
    return [(str(path.relative_to(SRC)), path.read_text()) for path in sorted(SRC.rglob("*.py"))]


def test_no_file_outgrows_its_limit() -> None:
    too_long = {
        name: lines
        for name, text in sources()
        if (lines := text.count("\n")) > LONG_FILES.get(name, FILE_LINES)
    }
    assert not too_long


def test_no_function_outgrows_its_limit() -> None:
    too_long = {}
    for name, text in sources():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                place = f"{name}:{node.name}"
                if lines > LONG_FUNCTIONS.get(place, FUNCTION_LINES):
                    too_long[place] = lines
    assert not too_long


def test_exceptions_to_the_limits_are_still_needed() -> None:
    files = {name: text.count("\n") for name, text in sources()}
    stale = [
        name for name, limit in LONG_FILES.items() if files.get(name, 0) <= FILE_LINES <= limit
    ]
    assert not stale
