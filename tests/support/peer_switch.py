"""Debian's Open vSwitch with dummy devices, for tests that compare answers with it.

Its unixctl socket is spoken here directly: a command costs a millisecond, not a process.
"""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

from tests.support.peers import await_path, peer_environment


class PeerSwitch:
    """ovsdb-server and ovs-vswitchd with one dummy bridge br0 of ports p1 and p2."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.env = peer_environment(directory)
        database = directory / "conf.db"
        schema = Path(self.env["OVS_PKGDATADIR"], "vswitch.ovsschema")
        self.run("ovsdb-tool", "create", str(database), str(schema))
        socket_path = directory / "db.sock"
        self._daemons = [
            self._start("ovsdb-server", f"--remote=punix:{socket_path}", str(database))
        ]
        await_path(socket_path)
        self.run("ovs-vsctl", "--no-wait", "init")
        control = directory / "switch.ctl"
        self._daemons.append(
            self._start("ovs-vswitchd", "--enable-dummy=override", f"--unixctl={control}")
        )
        await_path(control)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(control))
        self.run(
            "ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy",
            "protocols=OpenFlow10,OpenFlow13,OpenFlow15", "fail_mode=secure",
            *(word for n in (1, 2) for word in (
                "--", "add-port", "br0", f"p{n}", "--", "set", "interface", f"p{n}",
                "type=dummy", f"ofport_request={n}")),
            "--", "set", "Open_vSwitch", ".", "other_config:vlan-limit=2",
        )  # fmt: skip

    def _start(self, *argv: str) -> subprocess.Popen[bytes]:
        null = subprocess.DEVNULL
        return subprocess.Popen(argv, env=self.env, stdout=null, stderr=null)

    def run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs one of the peer's tools."""
        return subprocess.run(
            argv, env=self.env, check=check, capture_output=True, text=True, timeout=60
        )

    def appctl(self, command: str, *args: str) -> str:
        """What `ovs-appctl COMMAND ARGS` prints, its error text included."""
        request = {"id": 1, "method": command, "params": list(args)}
        self._socket.sendall(json.dumps(request).encode())
        data = b""
        while True:
            data += self._socket.recv(1 << 16)
            try:
                reply = json.loads(data)
            except ValueError:
                continue
            return str(reply["error"] or reply["result"] or "")

    def stop(self) -> None:
        self._socket.close()
        for daemon in reversed(self._daemons):
            daemon.terminate()
            daemon.wait(10)
