"""Modules are imported from the bytecode that Python keeps: the same modules, never older ones."""

from __future__ import annotations

import compileall
import importlib.util
import os
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from py_compile import PycInvalidationMode

import pytest

from netloom.programs.kept_bytecode import KeptBytecode

NAMES = ("kept_example", "kept_example.inner", "kept_example.inner.leaf", "kept_example.side")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package with one inside, compiled."""
    package = tmp_path / "kept_example"
    (package / "inner").mkdir(parents=True)
    for name in ("__init__", "side", "inner/__init__", "inner/leaf"):
        (package / f"{name}.py").write_text(f"VALUE = {name!r}\n")
    compileall.compile_dir(package, quiet=1)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", [KeptBytecode(str(package)), *sys.meta_path])
    yield package
    for name in NAMES:
        sys.modules.pop(name, None)


def facts(name: str) -> dict[str, object]:
    """What a module knows of itself."""
    module = importlib.import_module(name)
    spec = module.__spec__
    return {
        "names": (module.__name__, module.__package__, getattr(module, "VALUE", None)),
        "files": (module.__file__, module.__cached__, spec.origin, spec.cached, spec.has_location),
        "path": list(getattr(module, "__path__", [])),
        "code": module.__loader__.get_code(name).co_filename,
        "source": module.__loader__.get_source(name),
    }


def is_kept(name: str) -> bool:
    return "kept_bytecode" in type(importlib.import_module(name).__loader__).__module__


def test_modules_know_of_themselves_what_python_says(package: Path) -> None:
    kept = {name: facts(name) for name in NAMES}
    assert [is_kept(name) for name in NAMES] == [False, True, True, True]
    for name in NAMES:
        del sys.modules[name]
    del sys.meta_path[0]
    assert {name: facts(name) for name in NAMES} == kept
    assert not is_kept("kept_example.side")


def test_a_source_that_has_changed_is_what_counts(package: Path) -> None:
    side = package / "side.py"
    side.write_text("VALUE = 'of another length'\n")
    assert facts("kept_example.side")["names"][2] == "of another length"
    leaf = package / "inner/leaf.py"
    text = leaf.read_text()
    leaf.write_text(text.replace("leaf", "LEAF"))
    os.utime(leaf, (1, 1))
    assert facts("kept_example.inner.leaf")["names"][2] == "inner/LEAF"


def test_a_source_that_has_gone_is_no_module(package: Path) -> None:
    (package / "side.py").unlink()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("kept_example.side")


@pytest.mark.parametrize("mode", [PycInvalidationMode.CHECKED_HASH, None])
def test_what_is_kept_otherwise_or_not_at_all_is_left_to_python(
    package: Path, mode: PycInvalidationMode | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    cached = Path(importlib.util.cache_from_source(str(package / "side.py")))
    if mode is None:
        cached.unlink()
    else:
        compileall.compile_dir(package, quiet=1, force=True, invalidation_mode=mode)
    for _ in range(2):
        assert facts("kept_example.side")["names"][2] == "side"
        assert cached.exists()
        del sys.modules["kept_example.side"]


def test_a_broken_file_is_left_to_python(package: Path) -> None:
    cached = Path(importlib.util.cache_from_source(str(package / "side.py")))
    cached.write_bytes(b"")
    assert facts("kept_example.side")["names"][2] == "side"


def test_modules_of_others_are_not_its_business(package: Path) -> None:
    finder = KeptBytecode(str(package))
    assert finder.find_spec("json", None) is None
    assert finder.find_spec("kept_example_too.side", None) is None


def test_modules_of_the_library_are_found_unless_the_interpreter_has_them_inside() -> None:
    finder = KeptBytecode("/nonexistent", os.path.dirname(os.__file__))
    for name in ("bisect", "struct", "__future__"):
        found, usual = finder.find_spec(name, None), PathFinder.find_spec(name)
        assert found is not None and usual is not None
        assert (found.origin, found.cached) == (usual.origin, usual.cached)
        assert found.submodule_search_locations == usual.submodule_search_locations
    for name in ("posix", "os", "json", "json.decoder", "kept_example", "pytest"):
        assert finder.find_spec(name, None) is None


@pytest.fixture
def late(package: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package, imported late."""
    monkeypatch.setattr(
        sys, "meta_path", [KeptBytecode(str(package), late=True), *sys.meta_path[1:]]
    )
    return package


def has_run(name: str) -> bool:
    return "VALUE" in vars(importlib.import_module(name))


def test_late_modules_run_when_something_of_them_is_asked_for(late: Path) -> None:
    importlib.import_module("kept_example.inner.leaf")
    from kept_example import side

    assert not has_run("kept_example.side") and not has_run("kept_example.inner.leaf")
    # Packages are small, and are asked for their modules at once.
    assert has_run("kept_example.inner")
    assert side.VALUE == "side" and has_run("kept_example.side")
    assert type(side) is type(sys)
    from kept_example.inner.leaf import VALUE

    assert VALUE == "inner/leaf"


def test_late_modules_know_of_themselves_what_python_says(late: Path) -> None:
    kept = {name: facts(name) for name in NAMES}
    for name in NAMES:
        del sys.modules[name]
    del sys.meta_path[0]
    assert {name: facts(name) for name in NAMES} == kept


def test_a_late_module_has_no_more_names_than_it_says(late: Path) -> None:
    from kept_example import side

    assert not hasattr(side, "OTHER")
    assert has_run("kept_example.side")
    with pytest.raises(ImportError, match="OTHER"):
        from kept_example.inner.leaf import OTHER  # noqa: F401


def test_a_star_takes_all_names_of_a_late_module(late: Path) -> None:
    space: dict[str, object] = {}
    exec("from kept_example.side import *", space)
    assert space["VALUE"] == "side"


def test_a_late_module_that_is_not_there_is_missed_at_once(late: Path) -> None:
    with pytest.raises(ImportError):
        from kept_example import nothing  # noqa: F401


def test_a_late_module_says_where_it_fails(late: Path) -> None:
    (late / "side.py").write_text("first = 1\nsecond = first / 0\n")
    from kept_example import side

    with pytest.raises(ZeroDivisionError) as caught:
        _ = side.second
    assert caught.traceback[-1].path == late / "side.py"
    assert caught.traceback[-1].lineno == 1
    (late / "inner/leaf.py").write_text("VALUE = sys = None\nsys.path\n")
    leaf = importlib.import_module("kept_example.inner.leaf")
    with pytest.raises(ImportError, match=r"kept_example.inner.leaf: .*'path'"):
        hasattr(leaf, "VALUE")


def test_modules_that_others_find_first_are_theirs(
    late: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class First:
        """As that of compiled modules."""

        def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
            usual = PathFinder.find_spec(name, [str(late / "inner")])
            return usual if name == "kept_example.inner.leaf" else None

    monkeypatch.setattr(sys, "meta_path", [First(), *sys.meta_path])
    (late / "side.py").write_text(
        "import kept_example.inner.leaf\nfrom kept_example import inner\n"
    )
    from kept_example import side

    assert has_run("kept_example.side") is False and side.inner.leaf.VALUE == "inner/leaf"
    assert not is_kept("kept_example.inner.leaf") and is_kept("kept_example.side")


def test_what_a_late_module_will_import_is_made_late_as_well(late: Path) -> None:
    (late / "side.py").write_text(
        "from kept_example import inner\nfrom kept_example.inner import leaf\n"
        "def value():\n    return leaf.VALUE\n"
    )
    from kept_example import side

    assert side.leaf is sys.modules["kept_example.inner.leaf"] is side.inner.leaf
    assert not has_run("kept_example.inner.leaf")
    assert side.value() == "inner/leaf"
