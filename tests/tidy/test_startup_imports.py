"""What the classic tools import decides how fast they start: a list, since times vary.

Budget: a whole `ovs-vsctl` command in 20 ms, of which Python itself takes a third.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"

#: Each of these takes 1 to 50 ms: no tool may import them on the way to an ordinary answer.
SLOW = {
    "argparse", "asyncio", "collections", "contextlib", "dataclasses", "datetime", "enum",
    "functools", "inspect", "json", "logging", "msgspec", "pathlib", "random", "re", "shutil",
    "signal", "site", "socket", "ssl", "subprocess", "tempfile", "threading", "types", "typing",
    "uuid",
}  # fmt: skip

#: The modules of one run: what is not needed for the command at hand must not appear.
PROBE = """
import sys
sys.path.append({source!r})
from netloom.programs import launch
def finish(status):
    names = ",".join('"%s"' % name for name in sorted(sys.modules))
    sys.stderr.write("\\n[%s]" % names)
launch.finish = finish
launch.run({tool!r}, {args!r})
"""


def modules(tool: str, *args: str) -> set[str]:
    """The modules that are loaded when the tool has failed to reach a server."""
    code = PROBE.format(source=str(SOURCE), tool=tool, args=list(args))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


CASES = [
    ("ovs-vsctl", "--db=unix:/nonexistent", "add-port", "br0", "p1", "tag=3"),
    ("ovs-vsctl", "--db=unix:/nonexistent", "list", "bridge"),
    ("ovs-vsctl", "--db=unix:/nonexistent", "set", "bridge", "br0", "a=b"),
    ("ovs-vsctl", "--db=unix:/nonexistent", "show"),
    ("vtep-ctl", "--db=unix:/nonexistent", "list-local-macs", "ls0"),
    ("ovsdb-client", "list-dbs", "unix:/nonexistent"),
]


@pytest.mark.parametrize("case", CASES, ids=[" ".join(case) for case in CASES])
def test_tool_imports_nothing_slow(case: tuple[str, ...]) -> None:
    assert not modules(*case) & SLOW


def test_command_imports_only_its_own_module() -> None:
    packages = ("netloom.programs.vsctl.", "netloom.programs.db_ctl.")
    loaded = {name for name in modules("ovs-vsctl", "--db=unix:/nonexistent", "list-br")
              if name.startswith(packages)}  # fmt: skip
    assert {name.rpartition(".")[2] for name in loaded} == {
        "bridges", "command_line", "commands", "context", "main", "model", "options",
        "run", "schema_file", "session",
    }  # fmt: skip


def test_number_of_modules_is_a_ratchet() -> None:
    # `gc`, which is built in, is turned off while modules are loaded: that saves a millisecond.
    # `kept_bytecode` saves more than it takes.
    assert len(modules("ovs-vsctl", "--db=unix:/nonexistent", "list-br")) <= 87
