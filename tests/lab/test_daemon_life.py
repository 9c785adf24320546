"""How the daemons start, refuse to start, end, and come back; what they do with broken files."""

from __future__ import annotations

import os
import signal
import struct
from pathlib import Path

import pytest
from tests.support.peers import wait_until
from tests.support.switches import RunningSwitch, needs_root

from netloom.lab.commands import Result
from netloom.lab.lab import Lab
from netloom.lab.switch import Programs

pytestmark = [pytest.mark.root, needs_root]


@pytest.fixture
def switch(lab: Lab, tools: Programs) -> RunningSwitch:
    """A switch that runs, with bridge br0."""
    made = RunningSwitch(lab, tools, tools)
    made.start()
    made.vsctl("add-br", "br0")
    return made


def devices(lab: Lab) -> set[str]:
    listed = lab.host.ip("-o", "link").stdout
    return {line.split(": ")[1].split("@")[0] for line in listed.splitlines()}


def start_again(switch: RunningSwitch, *options: str) -> Result:
    """One more ovsdb-server on the database of the switch."""
    rundir = switch.daemons.rundir
    return switch.run(
        "ovsdb-server", "--detach", f"--pidfile={rundir}/ovsdb-server.pid", "--no-chdir",
        f"--remote=punix:{rundir}/other.sock", "-vconsole:warn", *options, f"{rundir}/conf.db",
        check=False,
    )  # fmt: skip


def test_sigterm_ends_both_daemons_and_removes_their_files(switch: RunningSwitch) -> None:
    rundir = switch.daemons.rundir
    assert (rundir / "br0.mgmt").exists()
    for name in ("ovs-vswitchd", "ovsdb-server"):
        switch.daemons.kill(name, signal.SIGTERM)
    left = {path.name for path in rundir.iterdir()}
    assert left == {"conf.db", ".conf.db.~lock~", "ovs-vswitchd.log", "ovsdb-server.log"}


def test_exit_ends_the_switch_and_the_row_stays(switch: RunningSwitch) -> None:
    pid = switch.daemons.pid("ovs-vswitchd")
    switch.appctl("exit")
    assert wait_until(lambda: switch.daemons.pid("ovs-vswitchd") != pid)
    assert switch.vsctl("--no-wait", "list-br") == "br0\n"
    switch.run("ovs-appctl", "-t", "ovsdb-server", "exit")
    assert wait_until(lambda: switch.daemons.pid("ovsdb-server") is None)


def test_exit_cleanup_removes_devices_and_keeps_the_configuration(
    lab: Lab, switch: RunningSwitch
) -> None:
    assert "br0" in devices(lab)
    switch.appctl("exit", "--cleanup")
    assert wait_until(lambda: "br0" not in devices(lab))
    assert wait_until(lambda: switch.daemons.pid("ovs-vswitchd") is None)
    switch.daemons.start_vswitchd()
    assert wait_until(lambda: "br0" in devices(lab))


def test_a_second_daemon_with_the_same_pid_file_is_refused(switch: RunningSwitch) -> None:
    first = switch.daemons.pid("ovsdb-server")
    second = start_again(switch)
    assert second.status == 1
    assert f"already running as pid {first}" in second.stderr, second.stderr
    assert switch.daemons.pid("ovsdb-server") == first
    assert switch.vsctl("list-br") == "br0\n"


def test_a_second_server_on_one_database_is_refused(switch: RunningSwitch) -> None:
    rundir = switch.daemons.rundir
    second = start_again(switch, f"--pidfile={rundir}/second.pid")
    assert second.status == 1
    assert "failed to lock lockfile" in second.stderr
    assert not (rundir / "second.pid").exists()


def test_a_monitored_daemon_is_started_anew_after_a_crash(lab: Lab, tools: Programs) -> None:
    switch = RunningSwitch(lab, tools, tools, ("--monitor",))
    switch.start()
    switch.vsctl("add-br", "br0")
    first = switch.daemons.pid("ovs-vswitchd")
    assert first is not None
    os.kill(first, signal.SIGSEGV)
    assert wait_until(lambda: switch.daemons.pid("ovs-vswitchd") not in (None, first))
    switch.vsctl("add-br", "br1")
    assert switch.get("interface", "br1", "ofport") == "65534"
    assert "killed (Segmentation fault)" in switch.log()
    # SIGTERM is no crash.
    second = switch.daemons.pid("ovs-vswitchd")
    switch.daemons.kill("ovs-vswitchd", signal.SIGTERM)
    assert wait_until(lambda: not (switch.daemons.rundir / "ovs-vswitchd.pid").exists())
    assert switch.daemons.pid("ovs-vswitchd") != second


@pytest.mark.parametrize("daemon", ["ovs-vswitchd", "ovsdb-server"])
def test_a_log_file_that_was_moved_away_is_opened_anew(daemon: str, switch: RunningSwitch) -> None:
    log = switch.daemons.rundir / f"{daemon}.log"
    old = log.rename(log.with_suffix(".log.1"))
    switch.run("ovs-appctl", "-t", daemon, "vlog/reopen")
    assert "opened log file" in log.read_text()
    before = old.read_text()
    switch.run("ovs-appctl", "-t", daemon, "vlog/set", "nope", check=False)
    switch.run("ovs-appctl", "-t", daemon, "vlog/reopen")
    assert old.read_text() == before
    assert log.read_text().count("opened log file") == 1


def test_a_truncated_tail_is_dropped_with_a_warning(switch: RunningSwitch) -> None:
    database = switch.daemons.rundir / "conf.db"
    switch.vsctl("set", "bridge", "br0", "external_ids:kept=yes")
    switch.daemons.stop()
    with database.open("ab") as file:
        file.write(b'OVSDB JSON 500 0123456789012345678901234567890123456789\n{"cut')
    switch.daemons.start_ovsdb_server()
    log = switch.log("ovsdb-server")
    assert "WARN" in log and "conf.db" in log.split("WARN", 1)[1], log
    switch.vsctl("--no-wait", "set", "bridge", "br0", "external_ids:later=too")
    switch.daemons.kill("ovsdb-server", signal.SIGTERM)
    switch.daemons.start_ovsdb_server()
    kept = switch.vsctl("--no-wait", "get", "bridge", "br0", "external_ids")
    assert kept == "{kept=yes, later=too}\n"


@pytest.mark.parametrize("content", [b"garbage\n", b"", bytes(4096), struct.pack("<I", 7) * 99])
def test_a_file_that_is_no_database_is_refused_by_name(
    content: bytes, lab: Lab, tools: Programs
) -> None:
    switch = RunningSwitch(lab, tools, tools)
    rundir = switch.daemons.rundir
    rundir.mkdir()
    database = rundir / "conf.db"
    database.write_bytes(content)
    result = start_again(switch)
    assert result.status == 1
    assert str(database) in result.stderr, result.stderr
    assert "Traceback" not in result.stderr
    assert database.read_bytes() == content
    assert not (rundir / "ovsdb-server.pid").exists()


def test_a_log_file_that_cannot_be_written_is_an_error(lab: Lab, tools: Programs) -> None:
    switch = RunningSwitch(lab, tools, tools)
    rundir = switch.daemons.rundir
    rundir.mkdir()
    switch.run("ovsdb-tool", "create", str(rundir / "conf.db"))
    result = start_again(switch, "--log-file=/proc/nope/x.log")
    assert "/proc/nope/x.log" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_run_directory_that_is_missing_is_an_error(lab: Lab, tools: Programs) -> None:
    switch = RunningSwitch(lab, tools, tools)
    rundir = switch.daemons.rundir
    rundir.mkdir()
    switch.run("ovsdb-tool", "create", str(rundir / "conf.db"))
    missing = Path("/proc/nope")
    result = start_again(switch, f"--pidfile={missing}/x.pid")
    assert result.status == 1
    assert f"{missing}/x.pid" in result.stderr
    assert "No such file or directory" in result.stderr
    result = start_again(switch, f"--unixctl={missing}/x.ctl")
    assert result.status == 1
    assert "Traceback" not in result.stderr
