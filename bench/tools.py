"""Whole commands of the tools side by side: what scripts and agents call by the thousand.

Both sides' tools talk to their own switch with dummy devices, in turns, so that whatever else the
machine does disturbs both alike. Counted is processor time, user's and kernel's, of the command
alone (`wait4`), in milliseconds; of the rounds the least, as a command that is disturbed takes
longer and none takes less. Starts of the daemons are until they have detached, which is when they
answer, by the clock.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

from bench.openflow import Side
from bench.report import Report
from netloom.base.errors import Unsupported
from netloom.lab.peers import debian_programs
from netloom.lab.switch import own_programs

ROUNDS = 30
STARTS = 3
FLOW = "priority=100,in_port=1,tcp,nw_dst=10.0.0.3,tp_dst=80,actions=output:2"
SELECT = '["Open_vSwitch",{"op":"select","table":"Bridge","where":[],"columns":["name"]}]'
COMMANDS = (
    ("ovs-ofctl", "--version"),
    ("ovs-ofctl", "show", "br0"),
    ("ovs-ofctl", "add-flow", "br0", "ip,actions=drop"),
    ("ovs-ofctl", "-O", "OpenFlow13", "add-flow", "br0", FLOW),
    ("ovs-ofctl", "del-flows", "br0", "ipv6"),
    ("ovs-ofctl", "dump-flows", "br0"),
    ("ovs-vsctl", "--version"),
    ("ovs-vsctl", "list-br"),
    ("ovs-vsctl", "show"),
    ("ovs-vsctl", "list", "bridge"),
    ("ovs-vsctl", "get", "bridge", "br0", "datapath_type"),
    ("ovs-vsctl", "set", "bridge", "br0", "external-ids:a=b"),
    ("ovs-vsctl", "--no-wait", "add-port", "br0", "p9", "--", "del-port", "p9"),
    ("ovs-vsctl", "--may-exist", "add-port", "br0", "p1"),
    ("ovs-appctl", "version"),
    ("ovs-appctl", "fdb/show", "br0"),
    ("ovs-dpctl", "--version"),
    ("ovsdb-client", "list-dbs"),
    ("ovsdb-client", "transact", SELECT),
    ("ovsdb-client", "dump", "Bridge", "name"),
)


def command_ms(side: Side, argv: tuple[str, ...]) -> float:
    """Processor time of a command, which must succeed."""
    env = side.switch.env
    program = shutil.which(argv[0], path=env["PATH"])
    if program is None:
        raise Unsupported(f"there is no {argv[0]}")
    nowhere = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    child = os.posix_spawn(program, argv, env, file_actions=nowhere)
    _, status, usage = os.wait4(child, 0)
    if status:
        raise Unsupported(f"{' '.join(argv)} fails")
    return (usage.ru_utime + usage.ru_stime) * 1_000


def measure_commands(report: Report, sides: list[Side]) -> None:
    for argv in COMMANDS:
        best = [min(column) for column in zip(*(
            [command_ms(side, argv) for side in sides] for _ in range(ROUNDS)
        ))]  # fmt: skip
        for number, ms in enumerate(best):
            report.add(" ".join(argv)[:60], "ms", number, ms, lower=True)


def measure_daemons(report: Report, number: int, side: Side) -> None:
    """Both daemons from nothing until they answer."""
    side.switch.stop()
    for name, start in (
        ("ovsdb-server", side.switch.start_ovsdb_server),
        ("ovs-vswitchd", side.switch.start_vswitchd),
    ):
        started = time.monotonic()
        start()
        took_ms = (time.monotonic() - started) * 1_000
        report.add(f"{name}, until it answers", "ms", number, took_ms, lower=True)


def main() -> None:
    """Measure both sides in turns and print the table."""
    try:
        programs = (own_programs(), debian_programs())
    except Unsupported as error:
        print(f"tools: {error}")
        return
    directory = Path(tempfile.mkdtemp(prefix="nlb"))
    sides: list[Side] = []
    report = Report("Tools: processor time of commands")
    try:
        for number, each in enumerate(programs):
            sides.append(Side(directory / str(number), each))
        measure_commands(report, sides)
        for _ in range(STARTS):
            for number, side in enumerate(sides):
                measure_daemons(report, number, side)
    finally:
        for side in sides:
            side.switch.stop()
        shutil.rmtree(directory, ignore_errors=True)
    report.print()
