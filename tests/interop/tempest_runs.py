"""Neutron's API test-suites, which we did not write, run against our service with a real keystone.

    python -m tests.interop.tempest_runs [part of a module's name ...]

runs `tempest.api.network`, `neutron_tempest_plugin.api`, and the functional tests for networks of
openstacksdk and of the `openstack` client, prints what fails and what was skipped and why, and ends
with status 1 if a test fails, or is skipped, that `tempest_expected.txt` does not name with the
reason. Tests of extensions that we do not announce are skipped by the suites themselves.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.support.tempest_site import Site, tempest_site

from netloom.lab.peers import peer_root

HERE = Path(__file__).parent
DRIVER = HERE / "tempest_driver.py"
EXPECTED = HERE / "tempest_expected.txt"
SUITES = (
    "tempest/api/network",
    "neutron_tempest_plugin/api",
    "openstack/tests/functional/network/v2",
    "openstackclient/tests/functional/network/v2",
)
#: How the suites say what they miss; the compute service counts as an extension.
_MISSED = (
    r"network extension: (\S+) is not enabled",
    r"(?:No )?(?:Network |Neutron )?([\w -]+?) extension (?:not enabled|disabled|present)",
    r"(?:Network |Neutron )?([\w -]+?) [Ee]xtension (?:disabled|is required)",
    r"(\w+) service not supported",
    r"the (\w+) service is not available",
    r"(Nova-net)",
)
#: How many processes run tests: more would wait for keystone.
PROCESSES = 2


class Result(NamedTuple):
    name: str
    outcome: str
    text: str


def environment() -> Path:
    """Where the suites are installed."""
    return peer_root().parent / "tempest"


def modules() -> list[str]:
    """The names of the test modules of the suites."""
    (library,) = (environment() / "lib").glob("python*/site-packages")
    files = (file for suite in SUITES for file in (library / suite).rglob("test_*.py"))
    return sorted(
        str(file.relative_to(library).with_suffix("")).replace("/", ".") for file in files
    )


def _run_some(folder: Path, names: list[str], tell: Callable[[Result], None]) -> list[Result]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    env.pop("PYTHONPATH", None)
    env |= {"TEMPEST_CONFIG_DIR": str(folder), "TEMPEST_CONFIG": "tempest.conf"}
    # Three seconds for each test are few where there are many processes.
    env |= {"OS_TEST_TIMEOUT": "300"}
    env |= {"OS_CLIENT_CONFIG_FILE": str(folder / "clouds.yaml")}
    command = [str(environment() / "bin/python"), str(DRIVER), *names]
    results = []
    with (folder / "driver.log").open("a") as log:
        process = subprocess.Popen(
            command, env=env, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True
        )
        with process:
            assert process.stdout is not None
            for line in process.stdout:
                results.append(Result(*json.loads(line)))
                tell(results[-1])
    assert process.returncode == 0, (folder / "driver.log").read_text()[-3000:]
    return results


def _no_matter(result: Result) -> None:
    return None


def run_modules(
    site: Site, folder: Path, names: Iterable[str], tell: Callable[[Result], None] = _no_matter
) -> list[Result]:
    """What becomes of every test of the modules; `tell` hears of each when it is done."""
    site.write_tempest_conf(folder)
    site.write_clouds(folder)
    wanted = list(names)
    parts = [part for start in range(PROCESSES) if (part := wanted[start::PROCESSES])]
    with ThreadPoolExecutor(PROCESSES) as pool:
        found = pool.map(lambda part: _run_some(folder, part, tell), parts)
        return [result for results in found for result in results]


def expected() -> dict[str, str]:
    """Test, or class or module of tests -> why it cannot pass here."""
    lines = EXPECTED.read_text().splitlines()
    entries = [line.partition(": ") for line in lines if line and not line.startswith("#")]
    return {f"{name}.": reason for name, _, reason in entries}


def _named(text: str) -> str:
    """The alias of the extension that a suite misses, as far as its words tell."""
    for pattern in _MISSED:
        found = re.search(pattern, text)
        if found:
            return found[1].lower().replace(" ", "-")
    return ""


def is_excused(result: Result, announced: Iterable[str]) -> bool:
    """Whether the test passes, or is skipped for something that we never claimed to have."""
    if result.outcome != "skipped":
        return result.outcome == "passed"
    alias = _named(result.text)
    return alias != "" and alias not in announced


def surprises(results: Iterable[Result], announced: Iterable[str]) -> list[Result]:
    """What neither passes nor is excused nor expected."""
    known = tuple(expected())
    return [
        one
        for one in results
        if not is_excused(one, announced) and not f"{one.name}.".startswith(known)
    ]


def main(words: list[str]) -> int:
    """See the module."""
    names = [name for name in modules() if not words or any(word in name for word in words)]
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="nl") as scratch:
        folder = Path(scratch)
        with tempest_site(folder / "site") as site:
            announced = site.extensions

            def tell(result: Result) -> None:
                for one in surprises([result], announced):
                    print(f"{one.outcome}: {one.name}\n{one.text[-2500:]}", flush=True)

            results = run_modules(site, folder, names, tell)
    counts = Counter(one.outcome for one in results)
    reasons = Counter(one.text for one in results if one.outcome == "skipped")
    for reason, count in reasons.most_common():
        print(f"skipped {count:4}: {reason}")
    wrong = surprises(results, announced)
    seconds = time.monotonic() - started
    print(f"{len(names)} modules, {dict(counts)}, {len(wrong)} unexpected, {seconds:.0f} s")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
