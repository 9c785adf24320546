"""Open vSwitch's own test suite run with our programs, and what fails of it.

    python -m tests.interop.ovs_suite_runs [--kernel | --userspace | --cluster] [-jN]
                                           [--logs FOLDER] [FILE | N | N-M]…

runs the tests of the files (`ofproto-dpif`, `ovsdb-server`, …; by default all that run programs
which Netloom has) or of the numbers, asks again, alone, those that failed, and then what still
fails with Open vSwitch's programs (whose module for the kernel is not asked). Each end is told on
standard error as it comes; printed are the counts by file, and the tests that fail with ours alone.
`ovs_suite_failures.txt` names those that are known to, with the reason each; any other makes the
exit status 1. `--logs` keeps the folders of those that failed with ours.

`--kernel` and `--userspace` are the tests on real packets, on our data path in the kernel and in
user space (half an hour each). They need root, and run one after the other on a machine of their
own, in namespaces (`suite_machine`), which has what tests need and this machine lacks; so the
host's network sees nothing of them. Tests are skipped, as everywhere, that ask for what the data
path or the kernel has not (Libreswan, `psample`, bareudp, SRv6 in the kernel). `--cluster` are
those of clustered databases (half an hour), which skip what they were too fast for. Most of all
these use timers: on a busy machine some fail that pass alone, which is why they are asked twice.

The suite is that of the newest Open vSwitch that Debian has, which is downloaded as source
and built beside the other peers: this takes gcc, make and some minutes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.interop import suite_machine

import netloom
from netloom.lab.peers import peer_root
from netloom.programs.launch import TOOLS, script_for

FAILURES = Path(__file__).parent / "ovs_suite_failures.txt"
#: Where new releases of Debian's packages come first.
SUITE = "sid"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
#: The folders of the tree in which its programs are.
FOLDERS = ("utilities", "vswitchd", "ovsdb", "vtep", "tests")
#: Nothing has to be made again by these.
AUTOTOOLS = ("AUTOCONF", "AUTOMAKE", "ACLOCAL", "AUTOHEADER")
#: For its tests of TLS.
KEYS = tuple(
    f"tests/testpki-{name}.pem"
    for name in ("cacert", "cert", "privkey", "req", "cert2", "privkey2", "req2")
)
KERNEL = "system-kmod-testsuite"
#: What these files test is inside of Open vSwitch's C and Python, or is none of its programs.
INSIDE = frozenset((
    "aes128", "checkpatch", "check-structs", "classifier", "file_name", "heap", "json", "jsonrpc",
    "jsonrpc-py", "library", "lockfile", "ovsdb-column", "ovsdb-condition", "ovsdb-data",
    "ovsdb-mutation", "ovsdb-query", "ovsdb-row", "ovsdb-schema", "ovsdb-table", "ovsdb-types",
    "ovs-monitor-ipsec", "pytest", "stopwatch", "uuid",
))  # fmt: skip
_LISTED = re.compile(r"^ *(\d+): ([\w-]+)\.at:\d+ +(.*?)\s*$")
_RESULT = re.compile(r"^ *(\d+): .*?(ok|FAILED|skipped|expected failure)(?: \((\S+)\))?\s*$")


class Case(NamedTuple):
    """One of the suite: its number there, the file without `.at`, what it is called."""

    number: int
    file: str
    title: str

    @property
    def name(self) -> str:
        """The same in all releases that have it."""
        return f"{self.file}: {self.title}"


class Tree(NamedTuple):
    """A built Open vSwitch."""

    root: Path

    def tests(self, suite: str) -> list[Case]:
        shown = _run("bash", str(self.root / "tests" / suite), "--list", cwd=self.root / "tests")
        found = map(_LISTED.match, shown.splitlines())
        return [Case(int(line[1]), line[2], line[3]) for line in found if line]

    def run(
        self, suite: str, tests: Iterable[Case], jobs: int, ours: Path | None,
        logs: Path | None = None,
    ) -> dict[int, str]:  # fmt: skip
        """How tests end, by their numbers, with the programs in `ours` before its own. Folders of
        tests that fail are kept in `logs`."""
        numbers = [str(test.number) for test in tests]
        if not numbers:
            return {}
        folders = [str(self.root / folder) for folder in FOLDERS]
        path = ":".join([*([str(ours)] if ours else []), *folders])
        with tempfile.TemporaryDirectory(prefix="nl") as directory:
            place = self._copy(Path(directory))
            words = ("-C", str(place), f"AUTOTEST_PATH={path}", f"-j{jobs}", *numbers)
            argv = ["bash", str(self.root / "tests" / suite), *words]
            env = dict(os.environ)
            if "system" in suite:
                tools = suite_machine.equip(Path(directory) / "machine")
                env["PATH"] = f"{tools}:{env.get('PATH', os.defpath)}:/usr/sbin:/sbin"
                env["PYTHONPATH"] = suite_machine.python_path()
                argv = suite_machine.inside(argv)
            ended = dict(_watch(argv, place, env))
            if logs is not None:
                _keep(place / f"{suite}.dir", logs)
        return ended

    def _copy(self, place: Path) -> Path:
        """A tree of links in which tests can be run beside others; returns its folder of tests,
        from which they go up to what they need."""
        for entry in self.root.iterdir():
            if entry.name != "tests":
                (place / entry.name).symlink_to(entry)
        tests = place / "tests"
        tests.mkdir()
        for entry in (self.root / "tests").iterdir():
            (tests / entry.name).symlink_to(entry)
        return tests


def _watch(argv: Sequence[str], place: Path, env: dict[str, str]) -> Iterable[tuple[int, str]]:
    """Number and end of each test, told on standard error as well."""
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", cwd=place, env=env,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            if _RESULT.match(line):
                print(line, end="", file=sys.stderr, flush=True)
                yield from results([line])


def _keep(found: Path, logs: Path) -> None:
    """Copy the folders of single tests, which are there if they failed."""
    for folder in found.glob("[0-9]*"):
        shutil.copytree(folder, logs / folder.name, dirs_exist_ok=True, symlinks=True,
                        ignore=_not_regular)  # fmt: skip


def _not_regular(folder: str, names: list[str]) -> list[str]:
    """Sockets, FIFOs and devices, which cannot be copied."""
    return [name for name in names if not Path(folder, name).is_file()
            and not Path(folder, name).is_dir()]  # fmt: skip


def results(lines: Iterable[str]) -> Iterable[tuple[int, str]]:
    """Number and end of each test that the suite's lines tell of."""
    for line in lines:
        if found := _RESULT.match(line):
            yield int(found[1]), found[2]


def _run(*argv: str, cwd: Path) -> str:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def _download(folder: Path) -> Path:
    """The newest source that there is, from where this machine has its packages."""
    shown = _run("apt-get", "indextargets", "--format", "$(REPO_URI)",
                 "Created-By: Packages", cwd=folder)  # fmt: skip
    places = [place for place in shown.split() if "security" not in place]
    if not places:
        raise SystemExit("apt knows no place that has Debian's packages")
    (folder / "source.list").write_text(f"deb-src [signed-by={KEYRING}] {places[0]} {SUITE} main\n")
    options = [
        "-qq",
        "-oAPT::Sandbox::User=root",
        f"-oDir::Etc::sourcelist={folder}/source.list",
        "-oDir::Etc::sourceparts=-",
        f"-oDir::State::lists={folder}/lists",
        f"-oDir::Cache={folder}/cache",
    ]
    for part in ("lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True)
    _run("apt-get", *options, "update", cwd=folder)
    _run("apt-get", *options, "source", "--download-only", "openvswitch", cwd=folder)
    return next(folder.glob("*.orig.tar.*"))


def _build(root: Path) -> None:
    """Have all that the tests run. What autotools made is in the source, as new as its input."""
    for name in ("aclocal.m4", "configure", "config.h.in", "Makefile.in"):
        (root / name).touch()
    _run("sh", "./configure", "-q", "CFLAGS=-O1", cwd=root)
    # Debian's part of the source, which is not there, is asked about at the end.
    argv = ("make", "-k", f"-j{os.cpu_count()}", *(f"{tool}=:" for tool in AUTOTOOLS))
    with (root / "make.log").open("w") as log:
        for target in ("all", *KEYS):
            subprocess.run((*argv, target), cwd=root, stdout=log, stderr=log, check=False)
    for name in ("vswitchd/ovs-vswitchd", "tests/ovstest", "tests/test-ovsdb", *KEYS):
        if not (root / name).exists():
            raise SystemExit(f"{root}: make did not make {name}")


def tree() -> Tree:
    """The peers' Open vSwitch, made if it is not there."""
    root = peer_root("ovs-suite")
    if not root.exists():
        print("building Open vSwitch for its tests (minutes)", file=sys.stderr)
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root.parent) as scratch:
            source = _download(Path(scratch))
            root.mkdir()
            _run("tar", "-xf", str(source), "--strip-components=1", "-C", str(root), cwd=root)
        try:
            _build(root)
        except BaseException:
            shutil.rmtree(root)
            raise
    return Tree(root)


def known_failures() -> frozenset[str]:
    """The names before the reasons."""
    lines = FAILURES.read_text().splitlines()
    return frozenset(line.split(" -- ")[0] for line in lines if line and line[0] != "#")


def wanted(tests: Sequence[Case], words: Sequence[str]) -> list[Case]:
    """The tests of these files and numbers."""
    if not words:
        return [test for test in tests if test.file not in INSIDE]
    names = {name for word in words for name in _names(word)}
    found = [test for test in tests if test.file in names or str(test.number) in names]
    if unknown := names - {test.file for test in found} - {str(test.number) for test in found}:
        raise SystemExit(f"no such tests: {' '.join(sorted(unknown))}")
    return found


def _names(word: str) -> Iterable[str]:
    """The file, the number, or all numbers of a range `N-M`."""
    first, dash, last = word.partition("-")
    if dash and first.isdigit() and last.isdigit():
        return map(str, range(int(first), int(last) + 1))
    return (word.removesuffix(".at"),)


def main(argv: list[str]) -> int:
    """See the module."""
    parser = ArgumentParser(prog="ovs_suite_runs", description="Open vSwitch's tests with ours.")
    kind = parser.add_mutually_exclusive_group()
    for word, suite in (("kernel", KERNEL),
                        ("userspace", "system-userspace-testsuite"),
                        ("cluster", "ovsdb-cluster-testsuite")):  # fmt: skip
        kind.add_argument(f"--{word}", dest="suite", action="store_const", const=suite)
    parser.add_argument("-j", dest="jobs", type=int, default=2 * (os.cpu_count() or 1))
    parser.add_argument("--logs", type=Path, metavar="FOLDER")
    parser.add_argument("what", nargs="*", metavar="FILE | N | N-M")
    options = parser.parse_args(argv)
    suite = options.suite or "testsuite"
    jobs = 1 if "system" in suite else options.jobs
    peer = tree()
    tests = wanted(peer.tests(suite), options.what)
    if "system" in suite:
        suite_machine.fetch()
    with tempfile.TemporaryDirectory(prefix="nl") as directory:
        ours = _programs(Path(directory))
        ended = peer.run(suite, tests, jobs, ours)
        ended |= peer.run(suite, _failed(tests, ended), 1, ours, options.logs)
    failed = _failed(tests, ended)
    theirs = {} if suite == KERNEL else peer.run(suite, failed, 1, None)
    return report(tests, ended, theirs)


def _programs(folder: Path) -> Path:
    """Ours, each under its name."""
    source = str(Path(netloom.__file__).parents[1])
    for tool in TOOLS:
        (folder / tool).write_text(script_for(tool, sys.executable, source))
        (folder / tool).chmod(0o755)
    return folder


def _failed(tests: Iterable[Case], ended: dict[int, str]) -> list[Case]:
    return [test for test in tests if ended.get(test.number, "FAILED") == "FAILED"]


def report(tests: Sequence[Case], ended: dict[int, str], theirs: dict[int, str]) -> int:
    """Print what came of the tests; 1 if one fails with ours alone that is not known to. Those that
    `theirs` says nothing of count as theirs passing."""
    known = known_failures()
    alone = [test for test in _failed(tests, ended) if theirs.get(test.number, "ok") == "ok"]
    for file in dict.fromkeys(test.file for test in tests):
        here = [test for test in tests if test.file == file]
        counts = Counter(ended.get(test.number, "FAILED") for test in here)
        n_alone = sum(test.file == file for test in alone)
        print(f"{file}: {len(here)} tests, {counts['ok']} ok, {counts['skipped']} skipped, "
              f"{counts['FAILED']} failed, {n_alone} of them with ours alone")  # fmt: skip
    for test in alone:
        print(f"  {'known' if test.name in known else 'NEW'}: {test.name}")
    return int(any(test.name not in known for test in alone))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
