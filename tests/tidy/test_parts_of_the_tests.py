"""`make test` runs each test file in one of its parts, and repeats only what may be disturbed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def tools_are_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT / "tools"), *sys.path])


def test_every_file_is_in_one_part() -> None:
    import run_tests

    files = [file for part in run_tests.parts() for file in part.files]
    there = [str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(files) == sorted(there)
    assert all(part.files for part in run_tests.parts())


def test_what_is_asked_again_is_known_by_name_and_had_company() -> None:
    import run_tests

    fine = [json.dumps({"name": name, "is_repeatable": True}) for name in ("b", "a", "b")]
    alone = json.dumps({"name": "c", "is_repeatable": False})
    assert run_tests.repeatable(0, []) == []
    assert run_tests.repeatable(1, fine) == ["a", "b"]
    assert run_tests.repeatable(1, [*fine, alone]) is None
    assert run_tests.repeatable(1, []) is None, "nobody knows what it was"
    assert run_tests.repeatable(2, fine) is None, "pytest itself was cut short"
