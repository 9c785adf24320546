"""A daemon of the switch with dummy devices behind Debian's ovsdb-server, driven by Debian's tools.

The daemon is Debian's or ours: nothing here depends on how it is made inside. Its unixctl socket is
spoken here directly: a command costs a millisecond, not a process.
"""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

from tests.support.peers import SCHEMA, peer_environment, wait_until

THEIRS = ("ovs-vswitchd",)
#: Every device a dummy; tunnels are real only beside them.
ALL_DUMMIES = ("--enable-dummy=override", "--disable-system")
REAL_TUNNELS = ("--enable-dummy", "--disable-system", "--disable-system-route")


class CommandFailed(Exception):
    """A command of the daemon failed; the text is its answer."""


class PeerSwitch:
    """ovsdb-server and one ovs-vswitchd in a directory of their own."""

    def __init__(
        self,
        directory: Path,
        vswitchd: tuple[str, ...] = THEIRS,
        options: tuple[str, ...] = ALL_DUMMIES,
    ) -> None:
        directory.mkdir(exist_ok=True)
        self.directory = directory
        self.env = peer_environment(directory)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._control = socket.socket(socket.AF_UNIX)
        try:
            self._begin(vswitchd, options)
        except BaseException:
            # Nobody has got this object, so nobody else can end what runs.
            self.close()
            raise

    def _begin(self, vswitchd: tuple[str, ...], options: tuple[str, ...]) -> None:
        directory = self.directory
        database, remote = directory / "conf.db", directory / "db.sock"
        self.run("ovsdb-tool", "create", str(database), str(SCHEMA))
        self._start("ovsdb-server", f"--remote=punix:{remote}", f"--unixctl={directory}/db.ctl",
                    str(database))  # fmt: skip
        self._await(remote)
        self.run("ovs-vsctl", "--no-wait", "init")
        control = directory / "switch.ctl"
        self._start(*vswitchd, f"unix:{remote}", *options, f"--unixctl={control}")
        self._await(control)
        self._control.settimeout(40)
        # A socket has its name a moment before it listens.
        assert wait_until(lambda: self._control.connect_ex(str(control)) == 0)

    def _start(self, *command: str) -> None:
        with (self.directory / f"{len(self._processes)}.err").open("wb") as stderr:
            self._processes.append(subprocess.Popen(command, env=self.env, stderr=stderr))

    def _await(self, path: Path) -> None:
        def is_there() -> bool:
            for process in self._processes:
                assert process.poll() is None, f"{process.args} ended"
            # The file is there a moment before anybody listens.
            with socket.socket(socket.AF_UNIX) as attempt:
                return attempt.connect_ex(str(path)) == 0

        assert wait_until(is_there), f"{path} does not appear"

    def add_bridge_of_two(self) -> None:
        """Bridge br0 with the dummies p1 and p2 as ports 1 and 2."""
        self.run(
            "ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy",
            "protocols=OpenFlow10,OpenFlow13,OpenFlow15", "fail_mode=secure",
            *(word for n in (1, 2) for word in (
                "--", "add-port", "br0", f"p{n}", "--", "set", "interface", f"p{n}",
                "type=dummy", f"ofport_request={n}")),
            "--", "set", "Open_vSwitch", ".", "other_config:vlan-limit=2",
        )  # fmt: skip

    def run(
        self, *argv: str, check: bool = True, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run one of Debian's tools."""
        done = subprocess.run(
            argv, env=self.env, input=stdin, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0 or not check, f"{argv}: {done.stderr}"
        return done

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
            return str(reply["result"] or "")

    def appctl(self, command: str, *args: str) -> str:
        """What `ovs-appctl COMMAND ARGS` prints, the text of a refusal included."""
        try:
            return self.control(command, *args)
        except CommandFailed as error:
            return str(error)

    def is_alive(self) -> bool:
        """Whether both daemons run."""
        return all(process.poll() is None for process in self._processes)

    def errors(self) -> str:
        """What the daemon of the switch wrote on standard error."""
        return (self.directory / "1.err").read_text(errors="replace")

    def close(self) -> None:
        self._control.close()
        for process in reversed(self._processes):
            process.terminate()
        for process in reversed(self._processes):
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
