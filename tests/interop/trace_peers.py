"""Two switches to put the same questions to: Debian's ovs-vswitchd and ours, on dummy devices.

Both are daemons behind Debian's ovsdb-server and are driven by Debian's tools, so that nothing here
depends on how either is made inside. `trace` speaks unixctl directly: a process per trace would
take most of the time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"

THEIRS = ("ovs-vswitchd",)

_START_S = 20.0


def peer_env(rundir: Path) -> dict[str, str]:
    """The environment for Debian's programs; skips where they are not unpacked."""
    root = Path(os.environ.get("NETLOOM_PEER_OVS", Path.home() / ".cache/netloom/peers/ovs"))
    env = dict(os.environ)
    if root.is_dir():
        env["LD_LIBRARY_PATH"] = f"{root}/usr/lib/x86_64-linux-gnu"
        env["PATH"] = (
            f"{root}/usr/bin:{root}/usr/sbin:{root}/usr/lib/openvswitch-switch:" + env["PATH"]
        )
        env["OVS_PKGDATADIR"] = f"{root}/usr/share/openvswitch"
    for name in ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"):
        env[name] = str(rundir)
    env["PYTHONPATH"] = str(SOURCE)
    if shutil.which("ovs-vswitchd", path=env["PATH"]) is None:
        pytest.skip("no ovs-vswitchd of Debian's openvswitch here (tools/fetch_peers.py)")
    return env


class CommandFailed(Exception):
    """A command of the daemon failed; the text is its answer."""


class PeerSwitch:
    """ovsdb-server and one ovs-vswitchd in a directory of their own."""

    def __init__(self, directory: Path, vswitchd: tuple[str, ...]) -> None:
        directory.mkdir()
        self.directory = directory
        self.env = peer_env(directory)
        self._processes: list[subprocess.Popen[bytes]] = []
        schema = SOURCE / "netloom/ovsdb/schemas/vswitch.ovsschema"
        database, remote = directory / "conf.db", directory / "db.sock"
        self._tool("ovsdb-tool", "create", str(database), str(schema))
        self._start("ovsdb-server", f"--remote=punix:{remote}", f"--unixctl={directory}/db.ctl",
                    str(database))  # fmt: skip
        self._await(remote)
        self._tool("ovs-vsctl", "--no-wait", "init")
        control = directory / "switch.ctl"
        self._start(*vswitchd, f"unix:{remote}", "--enable-dummy=override", "--disable-system",
                    f"--unixctl={control}")  # fmt: skip
        self._await(control)
        self._control = socket.socket(socket.AF_UNIX)
        self._control.settimeout(30)
        self._control.connect(str(control))

    def _start(self, *command: str) -> None:
        with (self.directory / f"{len(self._processes)}.err").open("wb") as stderr:
            self._processes.append(subprocess.Popen(command, env=self.env, stderr=stderr))

    def _await(self, path: Path) -> None:
        deadline = time.monotonic() + _START_S
        while not path.exists():
            for process in self._processes:
                assert process.poll() is None, f"{process.args} ended"
            assert time.monotonic() < deadline, f"{path} does not appear"
            time.sleep(0.02)

    def _tool(self, *command: str, stdin: str = "") -> str:
        done = subprocess.run(command, env=self.env, input=stdin, text=True, capture_output=True,
                              timeout=60, check=False)  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def vsctl(self, line: str) -> str:
        return self._tool("ovs-vsctl", *line.split())

    def use_prefixes(self, bridge: str, fields: tuple[str, ...]) -> None:
        """Keep tries for these fields in the tables that tests use (3.1 has two by default, and
        three at most)."""
        for table in range(10):
            self._tool("ovs-vsctl", "--", "--id=@t", "create", "Flow_Table",
                       f"prefixes=[{','.join(fields)}]", "--", "set", "Bridge", bridge,
                       f"flow_tables:{table}=@t")  # fmt: skip

    def ofctl(self, *words: str, stdin: str = "") -> str:
        return self._tool("ovs-ofctl", "-O", "OpenFlow13", *words, stdin=stdin)

    def replace_flows(self, bridge: str, flows: str) -> None:
        self.ofctl("del-flows", bridge)
        self.ofctl("add-flows", bridge, "-", stdin=flows)

    def control(self, method: str, *params: str) -> str:
        """One unixctl command; raises CommandFailed with the text of a refusal."""
        request = {"id": 0, "method": method, "params": list(params)}
        self._control.sendall(json.dumps(request).encode())
        data = b""
        while True:
            received = self._control.recv(65536)
            assert received, "the daemon closed its control socket"
            data += received
            try:
                reply = json.loads(data)
            except ValueError:
                continue
            if reply["error"] is not None:
                raise CommandFailed(str(reply["error"]))
            return str(reply["result"])

    def dp_ports(self) -> dict[str, str]:
        """Data-path port number -> name, over all bridges."""
        rows = re.findall(r"^ +(\S+) \d+/(\d+):", self.control("dpif/show"), re.MULTILINE)
        return {number: name for name, number in rows}

    def close(self) -> None:
        self._control.close()
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
        for process in reversed(self._processes):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def verdict(trace: str) -> tuple[str, str]:
    """(megaflow, data-path actions) of a trace."""
    found = dict(re.findall(r"^(Megaflow|Datapath actions): (.*)$", trace, re.MULTILINE))
    return found["Megaflow"], found["Datapath actions"]


def split_actions(text: str) -> list[str]:
    """Data-path actions, one by one."""
    actions, depth, start = [], 0, 0
    for at, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == "," and not depth:
            actions.append(text[start:at])
            start = at + 1
    return [*actions, text[start:]]


def deliveries(packet: str, actions: str, names: dict[str, str]) -> Counter[str]:
    """What leaves where, in no order: each output with the header changes made to `packet` (a
    flow of ovs-ofctl) before it. The order in which a flood visits the ports is no promise of
    either switch."""
    tagged = re.search(r"dl_vlan=(\d+),dl_vlan_pcp=(\d+)", packet)
    tags = [f"push_vlan(vid={tagged[1]},pcp={tagged[2]})"] if tagged else []
    changes: dict[str, str] = {}
    sent: Counter[str] = Counter()
    for action in split_actions(actions):
        if action.startswith("push_vlan("):
            tags.append(action)
        elif action == "pop_vlan":
            tags.pop()
        elif action.startswith("set("):
            header, _, rest = action[4:-2].partition("(")
            for change in re.findall(r"[^,]+=[^,]+", rest):
                changes[f"{header}.{change.partition('=')[0]}"] = change.partition("=")[2]
        else:
            action = re.sub(r"recirc_id=\d+,", "", action)
            state = ",".join([*tags, *(f"{name}={changes[name]}" for name in sorted(changes))])
            sent[f"{names.get(action, action)} [{state}]"] += 1
    return sent
