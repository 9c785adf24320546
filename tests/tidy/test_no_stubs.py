"""No stubs, no quiet failures, no drawers, no words that do not belong."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "netloom"
DRAWERS = {"utils", "util", "helpers", "common", "misc"}


def trees() -> list[tuple[Path, ast.Module]]:
    return [(path, ast.parse(path.read_text())) for path in sorted(SRC.rglob("*.py"))]


def test_nothing_raises_not_implemented() -> None:
    found = [
        f"{path.relative_to(SRC)}:{node.lineno}"
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id == "NotImplementedError"
    ]
    assert not found


def test_no_handler_swallows_every_exception() -> None:
    found = []
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                broad = node.type is None or (
                    isinstance(node.type, ast.Name)
                    and node.type.id in ("Exception", "BaseException")
                )
                silent = all(isinstance(line, ast.Pass | ast.Continue) for line in node.body)
                if broad and silent:
                    found.append(f"{path.relative_to(SRC)}:{node.lineno}")
    assert not found


def test_no_module_is_a_drawer() -> None:
    assert not [path for path, _ in trees() if path.stem in DRAWERS or path.parent.name in DRAWERS]


def test_every_module_says_what_it_is_for() -> None:
    assert not [
        str(path.relative_to(SRC))
        for path, tree in trees()
        if ast.get_docstring(tree) is None and path.read_text().strip()
    ]


def test_no_file_names_a_place_of_one_machine() -> None:
    pattern = re.compile(r"(?<![\w.])/(work|home/\w+|root)/")
    found = []
    for folder in ("src", "tests", "tools", "docs", "bench", "examples"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".md", ".txt", ".sh") and path != Path(__file__):
                text = path.read_text(errors="replace")
                found += [f"{path}: {match[0]}" for match in pattern.finditer(text)]
    assert not found
