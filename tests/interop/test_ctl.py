"""ovs-ctl takes a switch through its life, in the words of Debian's ovs-ctl."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.peers import wait_until
from tests.support.switches import own_tools

from netloom.transport.pidfile import running_pid

pytestmark = pytest.mark.interop

DAEMONS = ("--ovs-vswitchd-options=--enable-dummy=override", "--no-mlockall")


class Host:
    """A directory with everything of a host's Open vSwitch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "host"
        self.folder.mkdir()
        (tools,) = own_tools(folder / "tools").path
        self._env = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
        for name in ("RUNDIR", "LOGDIR", "DBDIR", "SYSCONFDIR"):
            self._env[f"OVS_{name}"] = str(self.folder)

    def run(self, *argv: str) -> tuple[int, str]:
        """Exit status, and all that was said; numbers of processes are all the same."""
        done = subprocess.run(
            argv, env=self._env, cwd=self.folder, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=200, check=False,
        )  # fmt: skip
        text = re.sub(r"\(\d+\)", "(PID)", done.stdout).replace(str(self.folder), "HOST")
        return done.returncode, re.sub(r"pid \d+", "pid PID", text)

    def ctl(self, *words: str) -> tuple[int, str]:
        return self.run("ovs-ctl", *words)

    def vsctl(self, *words: str) -> str:
        return self.run("ovs-vsctl", "--timeout=60", *words)[1].strip()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    made.ctl("stop")


RUNNING = "ovsdb-server is running with pid PID\novs-vswitchd is running with pid PID\n"
STOPPED = "ovsdb-server is not running\novs-vswitchd is not running\n"


def test_a_switch_is_started_restarted_with_its_flows_and_stopped(host: Host) -> None:
    assert host.ctl("status") == (1, STOPPED)
    assert host.ctl(*DAEMONS, "--system-id=random", "--external-id=a=b", "start") == (0, (
        "HOST/conf.db does not exist ... (warning).\n"
        "Creating empty database HOST/conf.db.\n"
        "Starting ovsdb-server.\n"
        "Configuring Open vSwitch system IDs.\n"
        "Starting ovs-vswitchd.\n"
        "Enabling remote OVSDB managers.\n"
    ))  # fmt: skip
    assert host.ctl("status") == (0, RUNNING)
    kept = (host.folder / "openvswitch/system-id.conf").read_text().strip()
    assert host.vsctl("get", "Open_vSwitch", ".", "external-ids:system-id") == f'"{kept}"'
    assert host.vsctl("get", "Open_vSwitch", ".", "external-ids:a", "db_version").split() == [
        "b", '"8.8.0"',
    ]  # fmt: skip
    assert host.ctl(*DAEMONS, "--system-id=random", "start") == (0, (
        "ovsdb-server is already running.\n"
        "ovs-vswitchd is already running.\n"
        "Enabling remote OVSDB managers.\n"
    ))  # fmt: skip
    host.vsctl("add-br", "br0", "--", "add-port", "br0", "p1", "--", "add-port", "br0", "p2",
               "--", "set", "port", "p2", "other_config:transient=true")  # fmt: skip
    group = "group_id=3,type=all,bucket=actions=output:1"
    host.run("ovs-ofctl", "-O", "OpenFlow13", "add-group", "br0", group)
    host.run("ovs-ofctl", "-O", "OpenFlow13", "replace-flows", "br0", "/dev/null")
    host.run("ovs-ofctl", "-O", "OpenFlow13", "add-flow", "br0", "priority=7,ip,actions=group:3")
    assert host.ctl("delete-transient-ports") == (0, "")
    assert host.vsctl("list-ports", "br0") == "p1"
    assert host.ctl(*DAEMONS, "--system-id=random", "restart") == (0, (
        "Saving flows.\n"
        "Exiting ovsdb-server (PID).\n"
        "Starting ovsdb-server.\n"
        "Configuring Open vSwitch system IDs.\n"
        "Exiting ovs-vswitchd (PID).\n"
        "Starting ovs-vswitchd.\n"
        "Restoring saved flows.\n"
        "Enabling remote OVSDB managers.\n"
    ))  # fmt: skip
    flows = host.run("ovs-ofctl", "-O", "OpenFlow13", "--no-stats", "dump-flows", "br0")[1]
    assert flows.split() == ["priority=7,ip", "actions=group:3"]
    assert host.vsctl("get", "Open_vSwitch", ".", "other_config") == "{}"
    assert host.vsctl("get", "Open_vSwitch", ".", "external-ids:system-id") == f'"{kept}"'
    assert host.ctl("stop") == (0, "Exiting ovs-vswitchd (PID).\nExiting ovsdb-server (PID).\n")
    assert host.ctl("stop") == (0, "ovs-vswitchd is not running.\novsdb-server is not running.\n")


def test_one_daemon_alone_and_one_that_was_killed(host: Host) -> None:
    options = (*DAEMONS, "--no-monitor", "--system-id=me")
    assert host.ctl(*options, "--no-ovs-vswitchd", "start")[0] == 0
    assert host.ctl("status")[0] == 1
    host.vsctl("--no-wait", "add-br", "br0")
    assert host.ctl(*options, "--no-ovsdb-server", "start") == (
        0, "Starting ovs-vswitchd.\nEnabling remote OVSDB managers.\n"
    )  # fmt: skip
    pid = int((host.folder / "ovs-vswitchd.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: not running_pid(str(host.folder / "ovs-vswitchd.pid")))
    assert host.ctl("status") == (1, (
        "ovsdb-server is running with pid PID\n"
        "Pidfile for ovs-vswitchd (HOST/ovs-vswitchd.pid) is stale\n"
    ))  # fmt: skip
    host.ctl("--no-ovs-vswitchd", "stop")
    assert host.ctl(*options, "--delete-bridges", "start")[0] == 0
    assert host.vsctl("list-br") == ""


def test_what_is_refused_says_why(host: Host) -> None:
    assert host.ctl() == (1, "ovs-ctl: missing command name (use --help for help)\n")
    assert host.ctl("foo") == (1, 'ovs-ctl: unknown command "foo" (use --help for help)\n')
    said = host.ctl("--foo", "load-kmod")
    assert said == (0, 'ovs-ctl: unknown option "--foo" (use --help for help)\n')
    status, text = host.ctl("force-reload-kmod")
    assert (status, "there is no kernel module to reload" in text) == (1, True)
    status, text = host.ctl("enable-protocol")
    assert (status, "enable-protocol is not supported" in text) == (1, True)
    failed = host.ctl("--db-schema=nothing", "--system-id=x", "start")
    assert failed[0] == 1
    assert failed[1].endswith("Creating empty database HOST/conf.db ... failed!\n")
