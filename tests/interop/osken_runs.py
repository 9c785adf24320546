"""os-ken's switch test tool run against a switch of two bridges, and what it found.

    python -m tests.interop.osken_runs [of10 of13 of14]

runs every pattern of matches and actions against Debian's switch and against ours, and
prints the failures of each side that the other has not, and the counts. `osken_failures.txt` keeps
what Debian's switch fails (OpenFlow that Open vSwitch has not: PBB, IPv6 extension headers and so
on); `--record` writes it anew. Patterns of groups and meters measure throughput, the machine's and
the tool's rather than the switch's: they are left out.

Debian's switch gets a pause between flow mod and packet, without which its caches fail patterns at
random; ours gets none.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.support.peers import SOURCE
from tests.support.ports import reserved_ports
from tests.support.switches import own_tools

from netloom.lab.peers import debian_programs
from netloom.lab.switch import Programs, Switch

HERE = Path(__file__).parent
TESTER = HERE / "osken_tester.py"
FAILURES = HERE / "osken_failures.txt"
VERSIONS = {"of10": "10", "of13": "13", "of14": "14"}
_RESULT = re.compile(r"^    (\S.*?) +(OK|ERROR)$")


class Found(NamedTuple):
    """What the tool said: every pattern, and those that failed with the reason."""

    patterns: tuple[str, ...]
    failures: dict[str, str]


def pattern_files(version: str, *kinds: str) -> list[Path]:
    """The files of patterns that os-ken brings, by the kind: match, action, group, meter."""
    import os_ken.tests.switch

    root = Path(os_ken.tests.switch.__path__[0]) / version
    return sorted(file for kind in kinds for file in (root / kind).rglob("*.json"))


@contextmanager
def running(side: str) -> Iterator[Switch]:
    """A switch with dummy devices: "debian" or "ours"."""
    directory = Path(tempfile.mkdtemp(prefix="nl"))
    tools: Programs = debian_programs() if side == "debian" else own_tools(directory / "bin")
    switch = Switch(directory / "s", None, tools, ("--enable-dummy=override",))
    try:
        switch.start()
        yield switch
    finally:
        switch.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _bridges(switch: Switch, version: str, port: int) -> None:
    for bridge, other in (("s1", "s2"), ("s2", "s1")):
        words = ["--", "--if-exists", "del-br", bridge, "--", "add-br", bridge]
        words += ["--", "set", "bridge", bridge, "datapath_type=dummy", "fail_mode=secure"]
        words += [f"other-config:datapath-id=000000000000000{bridge[1]}"]
        words += [f"protocols=OpenFlow{VERSIONS[version]}"]
        words += ["--", "set-controller", bridge, f"tcp:127.0.0.1:{port}"]
        for number in (1, 2, 3):
            name = f"{bridge}-{number}"
            words += ["--", "add-port", bridge, name, "--", "set", "interface", name, "type=patch"]
            words += [f"options:peer={other}-{number}", f"ofport_request={number}"]
        switch.run("ovs-vsctl", "--timeout=60", *words[1:])


def run_tool(
    switch: Switch, version: str, files: Iterable[Path], pause_s: float = 0.0, wait_s: float = 1.0
) -> Found:
    """Run the patterns of `files` with OpenFlow `version`. `pause_s` between patterns and before
    packets, `wait_s` for a packet that does not come."""
    with reserved_ports(1) as (port,), tempfile.TemporaryDirectory(prefix="nl") as directory:
        _bridges(switch, version, port)
        for number, file in enumerate(files):
            (Path(directory) / f"{number:03}-{file.name}").symlink_to(file)
        done = subprocess.run(
            [sys.executable, str(TESTER), directory, f"openflow{VERSIONS[version]}", str(port)],
            env={**os.environ, "PYTHONPATH": str(SOURCE), "OSKEN_PAUSE": str(pause_s),
                 "OSKEN_WAIT": str(wait_s)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert "---  Test end  ---" in done.stdout + done.stderr, (done.stdout + done.stderr)[-3000:]
    return parse_results(version, (done.stdout + done.stderr).splitlines())


def parse_results(version: str, lines: Iterable[str]) -> Found:
    """What the tool's lines say. Patterns that are called alike are numbered."""
    patterns: dict[str, None] = {}
    failures: dict[str, str] = {}
    title = last = ""
    for line in lines:
        if "--- Test report ---" in line or "---  Test end" in line:
            break
        result = _RESULT.match(line)
        if result:
            name = last = f"{version} {title} {result[1]}"
            again = 1
            while last in patterns:
                again += 1
                last = f"{name} #{again}"
            patterns[last] = None
            if result[2] == "ERROR":
                failures[last] = ""
        elif line.startswith("        ") and last in failures and not failures[last]:
            failures[last] = line.strip()
        elif line and not line.startswith(" "):
            title = line.strip()
    return Found(tuple(patterns), failures)


def known_failures() -> frozenset[str]:
    """The patterns that Debian's switch fails."""
    return frozenset(FAILURES.read_text().splitlines())


def _run_side(version: str, side: str) -> Found:
    pause_s = 0.05 if side == "debian" else 0.0
    with running(side) as switch:
        files = pattern_files(version, "match", "action")
        return run_tool(switch, version, files, pause_s, wait_s=0.5)


def _both(version: str) -> dict[str, Found]:
    """What each side does, both at the same time: they mostly wait."""
    sides = ("debian", "ours")
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda side: _run_side(version, side), sides)
        return dict(zip(sides, found, strict=True))


def main(argv: list[str]) -> int:
    """See the module."""
    record = "--record" in argv
    failed: list[str] = []
    worse = False
    for version in [word for word in argv if word in VERSIONS] or list(VERSIONS):
        found = _both(version)
        debian, ours = found["debian"], found["ours"]
        total = len(ours.patterns)
        print(f"{version}: {total} patterns, fail: Debian's {len(debian.failures)}, "
              f"ours {len(ours.failures)}")  # fmt: skip
        for side, one, other in (("Debian's", debian, ours), ("ours", ours, debian)):
            for name in sorted(set(one.failures) - set(other.failures)):
                print(f"  only {side}: {name}\n      {one.failures[name]}")
        worse |= bool(set(ours.failures) - set(debian.failures))
        failed += sorted(debian.failures)
    if record:
        FAILURES.write_text("".join(f"{name}\n" for name in failed))
    return int(worse)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
