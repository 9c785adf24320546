"""What the tools load as they are started (`launch`): scripts call them by the thousand.

Counted are modules that ran: those that are imported late cost nothing until they do.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[3] / "src"
#: Each takes a millisecond or more, and what it is for can be had for less.
SLOW = frozenset((
    "argparse", "asyncio", "collections", "dataclasses", "enum", "functools", "inspect", "json",
    "logging", "msgspec", "os", "pathlib", "re", "signal", "site", "socket", "ssl", "subprocess",
    "typing",
))  # fmt: skip
NOWHERE = "unix:/nonexistent/socket"
#: Command line -> so many modules of the package may run. Commands that talk to a switch or a
#: database find none, after all that they do before.
BUDGETS = {
    ("ovs-ofctl", "--version"): 23,
    ("ovs-ofctl", "show", NOWHERE): 48,
    ("ovs-ofctl", "dump-flows", NOWHERE): 49,
    ("ovs-ofctl", "parse-flow", "ip,actions=output:1"): 75,
    ("ovs-vsctl", "--version"): 31,
    ("ovs-vsctl", f"--db={NOWHERE}", "list-br"): 50,
    ("ovs-vsctl", f"--db={NOWHERE}", "add-port", "br0", "p0"): 50,
    ("vtep-ctl", f"--db={NOWHERE}", "list-ps"): 50,
    ("ovs-appctl", "-t", "/nonexistent/socket", "version"): 27,
    ("ovs-dpctl", "--version"): 17,
    ("ovsdb-client", "list-dbs", NOWHERE): 36,
}
PROGRAM = f"""\
import sys
sys.path.insert(0, {str(SRC)!r})
from netloom.programs import launch

def finish(status):
    late = [name for name, module in sys.modules.items() if "Late" in type(module).__name__]
    late = [name for name in late if not hasattr(sys.modules[name], "__path__")]
    print(*[name for name in sys.modules if name not in late], file=sys.stderr)

launch.finish = finish
launch.run(sys.argv[1], sys.argv[2:])
"""


def has_run(*argv: str) -> set[str]:
    """The modules that have run when a command ends."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PROGRAM, *argv],
        capture_output=True, text=True, check=True, env={"NETLOOM_COMPILE": "0"},
    )  # fmt: skip
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("argv", list(BUDGETS), ids=" ".join)
def test_a_command_runs_no_more_modules_than_it_may(argv: tuple[str, ...]) -> None:
    modules = has_run(*argv)
    assert modules & SLOW == set()
    own = sorted(name for name in modules if name.startswith("netloom"))
    assert len(own) <= BUDGETS[argv], own
    # Whoever needs less is to say so here.
    assert len(own) >= BUDGETS[argv] - 3, own


def test_a_plain_flow_is_read_without_the_code_for_others() -> None:
    modules = has_run("ovs-ofctl", "parse-flow", "ip,actions=output:1")
    for name in ("learn", "conntrack", "choice", "encap", "small", "field_text"):
        assert f"netloom.openflow.action_{name}" not in modules
    modules = has_run("ovs-ofctl", "parse-flow", "ip,actions=ct(commit),output:1")
    assert "netloom.openflow.action_conntrack" in modules


def test_ports_are_asked_for_without_the_table_of_fields() -> None:
    modules = has_run("ovs-ofctl", "show", NOWHERE)
    assert not modules & {"netloom.flow.fields", "netloom.openflow.oxm"}


def test_half_a_message_is_an_error_also_where_the_json_package_was_never_imported() -> None:
    program = f"""\
import sys
sys.path.insert(0, {str(SRC)!r})
from netloom.rpc.json_codec import LightJson
for text in (b'{{"a', b'{{"a":1', b'["a",', b'{{1}}'):
    try:
        LightJson().decode(text)
    except ValueError as error:
        print("refused")
assert "json" not in sys.modules
"""
    run = subprocess.run(
        [sys.executable, "-IS", "-c", program], capture_output=True, text=True, timeout=60
    )
    assert run.stdout.split() == ["refused"] * 4, run.stderr
