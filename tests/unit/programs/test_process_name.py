"""The name under which a tool is in the process table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from netloom.programs.launch import title

SOURCE = Path(__file__).parents[3] / "src"


def test_title_ends_before_a_last_byte_that_is_no_zero() -> None:
    text = title(["ovsdb-client", "monitor", "Interface"], 40)
    assert text is not None
    assert len(text) == 40
    assert text.split(b"\0")[0] == b"ovsdb-client monitor Interface"
    assert text[-1] != 0


def test_title_without_room_is_not_written() -> None:
    assert title(["ovs-vsctl", "show"], 15) is None
    assert title(["ovs-vsctl", "show"], 16) == b"ovs-vsctl show\0-"


def test_process_is_seen_by_its_own_name() -> None:
    code = (
        "import sys; from netloom.programs.launch import show_as\n"
        "show_as(['ovs-testcontroller', *sys.argv[1:]])\n"
        "for name in ('comm', 'cmdline'):\n"
        "    print(open('/proc/self/' + name).read())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "ptcp:", "--detach"],
        env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    name, line = done.stdout.replace("\n\n", "\n").splitlines()
    assert name == "ovs-testcontrol"
    assert line == "ovs-testcontroller ptcp: --detach\0"
