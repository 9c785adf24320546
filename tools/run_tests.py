"""Run the checks and the tests in order, cheap ones first, and stop at the first that fails.

    tools/run_tests.py             everything
    tools/run_tests.py --quick     format, lint, types, import contracts, unit tests
    tools/run_tests.py tests/...   these tests only

Prints one line per step with its time. Of everything, the labs run beside the other tests: they
wait for packets most of the time.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parent.parent
BIN = ROOT / ".venv" / "bin"

CHECKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("format", ("ruff", "format", "--check", "-q", ".")),
    ("lint", ("ruff", "check", "-q", ".")),
    ("types", ("mypy",)),
    ("import contracts", ("lint-imports", "--no-cache")),
)
#: Whoever wants the whole to be faster sees where to begin.
PYTEST = ("python", "-m", "pytest", "--durations=12", "--durations-min=10")
LABS = "tests/lab"
#: prctl(2): the signal that a process gets when its parent ends.
PR_SET_PDEATHSIG = 1
QUICK_TESTS = ("tests/unit", "tests/wire", "tests/tidy")


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@contextmanager
def program(argv: tuple[str, ...], output: IO[str] | None) -> Iterator[subprocess.Popen[bytes]]:
    """A program at work. It has a session of its own: of an interrupt it hears once, from here, and
    then it may clean up; likewise if this process is killed."""
    running = subprocess.Popen(
        [str(BIN / argv[0]), *argv[1:]],
        cwd=ROOT,
        stdout=output,
        stderr=output,
        # Sets are in the same order in every run.
        env={"PYTHONHASHSEED": "0", **os.environ},
        start_new_session=True,
        preexec_fn=_end_with_parent,
    )
    try:
        yield running
    finally:
        if running.poll() is None:
            running.terminate()
            running.wait()


def run(title: str, argv: tuple[str, ...], show: bool) -> bool:
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        with program(argv, None if show else output) as running:
            status = running.wait()
        if status:
            output.seek(0)
            print(output.read(), end="")
    verdict = "FAILED" if status else "ok"
    print(f"== {title}: {verdict} ({time.monotonic() - started:.1f} s)", flush=True)
    return status == 0


def run_everything() -> bool:
    """All tests, in two processes; the output of the labs comes when the others are done."""
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        with program((*PYTEST, LABS), output) as labs:
            is_good = run("tests but labs", (*PYTEST, "tests", f"--ignore={LABS}"), show=True)
            labs.wait()
        output.seek(0)
        print(output.read(), end="")
    verdict = "FAILED" if labs.returncode else "ok"
    print(f"== labs: {verdict} ({time.monotonic() - started:.1f} s)", flush=True)
    return is_good and not labs.returncode


def main(argv: list[str]) -> int:
    quick = "--quick" in argv
    chosen = [arg for arg in argv if arg != "--quick"]
    if not chosen and not all(run(title, command, show=False) for title, command in CHECKS):
        return 1
    if not chosen and not quick:
        return 0 if run_everything() else 1
    tests = chosen or QUICK_TESTS
    return 0 if run("tests", (*PYTEST, *tests), show=True) else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
