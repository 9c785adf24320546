"""Run the checks and the tests in order, cheap ones first, and stop at the first that fails.

    tools/run_tests.py             everything
    tools/run_tests.py --quick     format, lint, types, import contracts, unit tests
    tools/run_tests.py tests/...   these tests only

Prints one line per step with its time. Everything is run in parts, twice as many at a time as there
are processors: most tests wait for packets or other programs half of their time. The output of a
part comes when it is done.

Tests with real packets, or other programs beside ours, may fail because the machine had something
else to do. The few that did are asked once more, alone, and the output says so; tests that need
nothing but themselves are asked once.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from typing import IO, NamedTuple

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
#: Folders of tests, and into how many parts their files are dealt.
FOLDERS = (
    ("tests/lab", 4),
    ("tests/datapath", 4),
    ("tests/interop", 4),
    ("tests/lab/network", 2),
    ("tests/unit", 1),
    ("tests/props", 1),
    ("tests", 1),
)
WORKERS = 2 * (os.cpu_count() or 1)
#: More failures than these have another reason than a busy machine.
MOST_REPEATED = 5
#: prctl(2): the signal that a process gets when its parent ends.
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)
#: pytest's exit status when it ran to its end.
TESTS_FAILED = 1
QUICK_TESTS = ("tests/unit", "tests/wire", "tests/tidy")


class Part(NamedTuple):
    """Test files that one process runs."""

    title: str
    files: tuple[str, ...]


class Programs:
    """The programs at work. Each has a session of its own: of an interrupt it hears once, from
    here, and then it may clean up; likewise if this process is killed."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._running: list[subprocess.Popen[bytes]] = []
        self._has_ended = False

    def run(self, argv: tuple[str, ...], output: IO[str] | None, failures: str = "") -> int:
        """The exit status of a program; tests that fail write their names into `failures`."""
        with self._lock:
            if self._has_ended:
                return 1
            running = subprocess.Popen(
                [str(BIN / argv[0]), *argv[1:]],
                cwd=ROOT,
                stdout=output,
                stderr=output,
                # Sets are in the same order in every run.
                env={"PYTHONHASHSEED": "0", **os.environ, "NETLOOM_TEST_FAILURES": failures},
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
            self._running.append(running)
        return running.wait()

    def end(self) -> None:
        """End what runs, and start nothing any more."""
        with self._lock:
            self._has_ended = True
            for running in self._running:
                if running.poll() is None:
                    running.terminate()
        for running in self._running:
            running.wait()


def _end_with_parent() -> None:
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@contextmanager
def programs_at_work() -> Iterator[Programs]:
    programs = Programs()
    try:
        yield programs
    finally:
        programs.end()


def run(programs: Programs, title: str, argv: tuple[str, ...], show: bool) -> bool:
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        status = programs.run(argv, None if show else output)
        if status:
            output.seek(0)
            print(output.read(), end="")
    return _say(title, status == 0, started)


def _say(title: str, is_good: bool, started: float) -> bool:
    verdict = "ok" if is_good else "FAILED"
    print(f"== {title}: {verdict} ({time.monotonic() - started:.1f} s)", flush=True)
    return is_good


def parts() -> list[Part]:
    """Every test file in one part; of each folder in turn, so that not all wait at once, and what
    takes least time last."""
    taken: set[str] = set()
    found: list[list[Part]] = []
    # What has a line of its own is not the outer folder's.
    for folder, count in sorted(FOLDERS, key=lambda one: -one[0].count("/")):
        files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("test_*.py"))
        files = [file for file in files if file not in taken]
        taken.update(files)
        title = f"all else in {folder}" if folder == "tests" else folder
        names = [f"{title} {n + 1} of {count}" if count > 1 else title for n in range(count)]
        found.append([Part(name, tuple(files[n::count])) for n, name in enumerate(names)])
    most = max(count for _, count in FOLDERS)
    in_order = [row[n] for n in range(most) for row in found if n < len(row)]
    return sorted(in_order, key=lambda part: " of " not in part.title)


def run_everything(programs: Programs) -> bool:
    """All tests, part by part; then once more, alone, those that may have been disturbed."""
    lock = Lock()

    def do(part: Part) -> list[str] | None:
        started = time.monotonic()
        with (
            tempfile.TemporaryFile("w+") as output,
            tempfile.NamedTemporaryFile("r") as failures,
            # Each part its own: a pytest that starts shuts others out of the one that they share.
            tempfile.TemporaryDirectory(prefix="nlt") as scratch,
        ):
            words = (*PYTEST, f"--basetemp={scratch}/t", *part.files)
            status = programs.run(words, output, failures.name)
            with lock:
                output.seek(0)
                print(output.read(), end="")
                _say(part.title, status == 0, started)
            return repeatable(status, failures.read().splitlines())

    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(WORKERS))
        # Comes before the pool's own end: an interrupt ends what the pool waits for.
        stack.callback(programs.end)
        found = list(pool.map(do, parts()))
        names = [name for part in found if part for name in part]
        if None in found or len(names) > MOST_REPEATED:
            return False
        for name in names:
            print(f"== {name} failed: once more, alone", flush=True)
        return not names or run(programs, "once more", (*PYTEST, *names), show=True)


def repeatable(status: int, lines: list[str]) -> list[str] | None:
    """The tests of a part that failed, from what `tests/conftest.py` wrote of them; None if what
    failed was not always a test, or one that nothing can disturb."""
    failed = [json.loads(line) for line in lines]
    if status == 0:
        return []
    if status != TESTS_FAILED or not failed or not all(one["is_repeatable"] for one in failed):
        return None
    return sorted({one["name"] for one in failed})


def main(argv: list[str]) -> int:
    quick = "--quick" in argv
    chosen = [arg for arg in argv if arg != "--quick"]
    with programs_at_work() as programs:
        if not chosen:
            for title, command in CHECKS:
                if not run(programs, title, command, show=False):
                    return 1
            if not quick:
                return 0 if run_everything(programs) else 1
        tests = chosen or QUICK_TESTS
        return 0 if run(programs, "tests", (*PYTEST, *tests), show=True) else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
