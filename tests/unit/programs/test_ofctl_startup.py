"""What `ovs-ofctl` imports: scripts call it thousands of times."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SRC = Path(__file__).parents[3] / "src"
#: Each costs more than a millisecond, or belongs to commands that were not given.
SLOW = {
    "argparse", "asyncio", "collections", "dataclasses", "enum", "functools", "inspect", "json",
    "logging", "msgspec", "re", "socket", "ssl", "typing",
}  # fmt: skip


def imported(*command_line: str) -> set[str]:
    program = (
        f"import sys; sys.path.insert(0, {str(SRC)!r})\n"
        "from netloom.programs.ofctl import main\n"
        "main()\n"
        "print(' '.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, *command_line],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(done.stderr.split("\n")[-2].split())


def test_nothing_slow_is_imported():
    for command_line in (
        ("parse-flow", "ip,actions=1"), ("show", "unix:/nonexistent/socket"), ("--version",),
    ):  # fmt: skip
        assert imported(*command_line) & SLOW == set()


def test_a_flow_is_sent_without_the_code_that_prints_messages():
    modules = imported("add-flow", "unix:/nonexistent/socket", "ip,actions=1")
    for name in ("text_flows", "text_ports", "text_packets", "action_format", "codec_packets"):
        assert f"netloom.openflow.{name}" not in modules


def test_a_version_needs_nothing_of_openflow():
    modules = {name for name in imported("--version") if name.startswith("netloom.openflow.")}
    assert modules == {"netloom.openflow.protocol"}


def test_what_a_switch_says_is_shown_without_the_code_that_reads_and_prints_flows():
    for command in ("show", "dump-ports", "get-frags"):
        modules = imported(command, "unix:/nonexistent/socket")
        for name in ("flow_text", "action_parse", "action_decode", "text_flows"):
            assert f"netloom.openflow.{name}" not in modules


def test_help_needs_no_openflow_codec():
    assert "netloom.openflow.codec_flows" not in imported("--help")
