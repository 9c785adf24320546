"""Hot modules compiled: they say the same, they run where they should, and never out of date."""

from __future__ import annotations

import ast
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "src/netloom"
HOT = runpy.run_path(str(ROOT / "tools/compile_hot.py"))
#: Tests that hold for the sources, and are to hold for what was compiled from them: every trace,
#: every message, the classifier against a linear search, sessions, tables, tools' text.
SAME = (
    "tests/trace",
    "tests/unit/datapath",
    "tests/unit/netdev",
    "tests/unit/ofproto",
    "tests/unit/openflow",
    "tests/props/test_changed_rules.py",
    "tests/props/test_classifier_properties.py",
    "tests/props/test_datapath_properties.py",
    "tests/props/test_every_message.py",
    "tests/props/test_fuzz_targets.py",
    "tests/props/test_mac_revalidation.py",
    "tests/props/test_openflow_codec.py",
    "tests/props/test_packets_conserved.py",
    "tests/props/test_plain_tracking.py",
    "tests/props/test_shortcuts.py",
    "tests/props/test_translation_masks.py",
    # Has a subclass stand in for the table of flows.
    "--ignore=tests/unit/datapath/test_orphans_of_a_daemon.py",
)
ASK = "from netloom.programs.compiled import activate; print(activate()); "
WHERE = ASK + "import netloom.ofproto.classifier as c; print(c.__file__)"


def run_python(code: str, package: Path = PACKAGE, **environment: str) -> list[str]:
    """Lines that a program prints that has the package from there."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NETLOOM_COMPILE": "", "PYTHONPATH": str(package.parent), **environment},
        capture_output=True,
        text=True,
    )
    assert not done.returncode, done.stderr
    return done.stdout.splitlines()


is_compiled = run_python(ASK)[0] == ""
needs_compiled = pytest.mark.skipif(
    not is_compiled, reason="the hot modules of this tree are not compiled: tools/compile_hot.py"
)


def test_every_listed_module_exists() -> None:
    paths = HOT["module_paths"]()
    assert len(set(paths)) == len(paths) > 50
    assert [path for path in paths if not (PACKAGE.parent / path).is_file()] == []


def test_types_that_a_listed_module_imports_count_as_its_source() -> None:
    assert {"netloom/base/record.py", "netloom/openflow/actions.py"} <= set(HOT["sources"]())


def test_classes_of_listed_modules_have_subclasses_in_listed_modules_only() -> None:
    """Others fail when they are defined: an interpreted class cannot have a native base."""
    listed = set(HOT["module_paths"]())
    native, bases = set(), {}
    for source in PACKAGE.rglob("*.py"):
        path = str(source.relative_to(PACKAGE.parent))
        for node in ast.walk(ast.parse(source.read_bytes())):
            if isinstance(node, ast.ClassDef) and path in listed:
                native.add(node.name)
            elif isinstance(node, ast.ClassDef):
                names = {ast.unparse(base).partition("[")[0] for base in node.bases}
                bases[path, node.name] = {name.rpartition(".")[2] for name in names}
    assert {who: names & native for who, names in bases.items() if names & native} == {}


@pytest.mark.timeout(300)
def test_mypyc_takes_the_sources_as_they_are(tmp_path: Path) -> None:
    files, _ = HOT["write_c"](tmp_path)
    assert len(files) > len(HOT["module_paths"]())


def test_without_a_build_the_sources_run(tmp_path: Path) -> None:
    package = tmp_path / "netloom"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("compiled", "__pycache__"))
    reason, path = run_python(WHERE, package)
    assert (reason, Path(path).suffix) == ("not compiled", ".py")


@needs_compiled
def test_where_it_is_compiled_the_shared_object_runs() -> None:
    reason, path = run_python(WHERE)
    assert (reason, Path(path).suffix) == ("", ".so")


@needs_compiled
def test_it_can_be_switched_off() -> None:
    reason, path = run_python(WHERE, NETLOOM_COMPILE="0")
    assert (reason, Path(path).suffix) == ("NETLOOM_COMPILE=0", ".py")


@needs_compiled
def test_a_source_that_says_something_else_turns_all_of_it_off(tmp_path: Path) -> None:
    package = tmp_path / "netloom"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    changed = package / "base/record.py"
    changed.touch()
    assert run_python(ASK, package)[0] == "", "only its date is new"
    changed.write_text(changed.read_text() + "\n")
    reason, path = run_python(WHERE, package)
    assert (reason, Path(path).suffix) == ("base/record.py has changed", ".py")


@needs_compiled
def test_a_slice_that_ends_before_it_begins_is_empty() -> None:
    code = (
        ASK + "from netloom.openflow.codec_match import decode_nx_match as d; print(d(b'x', 1, -1))"
    )
    assert run_python(code)[1].startswith("(<match all>")


@needs_compiled
def test_errors_name_the_lines_of_the_source() -> None:
    code = ASK + (
        "import traceback\nfrom netloom.ofproto.tables import Tables\n"
        "try: Tables().remove(None, 1)\nexcept TypeError: traceback.print_exc(file=sys.stdout)\n"
    )
    text = "\n".join(run_python("import sys; " + code))
    assert 'netloom/ofproto/tables.py", line ' in text


@needs_compiled
@pytest.mark.timeout(600)
@pytest.mark.skipif("NETLOOM_TESTS" in os.environ, reason="these are those tests")
def test_what_is_compiled_behaves_as_its_source_does() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", *SAME],
        cwd=ROOT,
        env={**os.environ, "NETLOOM_TESTS": "compiled"},
        capture_output=True,
        text=True,
    )
    assert not done.returncode, done.stdout[-3_000:]
