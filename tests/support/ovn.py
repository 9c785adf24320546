"""OVN on our switches: its own daemons and databases, served by our ovsdb-server."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.support.peers import peer_tools, wait_until
from tests.support.tunnel_sites import ADDRESSES, WIRE, lay_wire

from netloom.lab.commands import run
from netloom.lab.lab import Lab
from netloom.lab.namespace import Namespace, VirtualMachine
from netloom.lab.peers import peer_root
from netloom.lab.switch import Programs, Switch


def ovn_programs(tools: Programs) -> Programs:
    """OVN's programs before the switch's `tools`; skips the test if they are not unpacked."""
    root = peer_root("ovn")
    if not (root / "usr/bin/ovn-northd").exists():
        pytest.skip(f"OVN is not in {root}; tools/fetch_peers.py unpacks it")
    libraries = peer_tools().env["LD_LIBRARY_PATH"]
    return Programs(
        (str(root / "usr/bin"), *tools.path), {**tools.env, "LD_LIBRARY_PATH": libraries}
    )


@contextmanager
def daemon(env: dict[str, str], host: Namespace, *argv: str) -> Iterator[None]:
    """A program that runs in a namespace until the end."""
    inside = ("nsenter", f"--net=/run/netns/{host.name}", *argv)
    with subprocess.Popen(inside, env=env, stderr=subprocess.DEVNULL) as running:
        try:
            yield
        finally:
            running.terminate()


class Cloud:
    """Two hosts with a chassis each, and the central databases on the first. Tunnels of the second
    lead through a bridge, those of the first through the wire itself if `has_uplinks`."""

    def __init__(self, lab: Lab, tools: Programs, stack: ExitStack, has_uplinks: bool) -> None:
        self._plain = {0} if has_uplinks else set()
        self.lab = lab
        self._programs = ovn_programs(tools)
        self._stack = stack
        self.directory = lab.directory
        self.hosts = lay_wire(lab)
        for name in ("nb", "sb"):
            self._serve(name)
        self._start(
            *("ovn-northd", f"--ovnnb-db={self._remote('nb')}", f"--ovnsb-db={self._remote('sb')}"),
            *(f"--unixctl={self.directory}/northd.ctl", f"--log-file={self.directory}/northd.log"),
        )
        self.switches = [self._chassis(number, host) for number, host in enumerate(self.hosts)]

    def _remote(self, name: str) -> str:
        return f"unix:{self.directory}/{name}.sock"

    def _environment(self, directory: Path) -> dict[str, str]:
        env = Switch(directory, programs=self._programs).env
        return {**env, "OVN_RUNDIR": str(directory), "OVN_LOGDIR": str(directory)}

    def _start(
        self, *argv: str, host: Namespace | None = None, directory: Path | None = None
    ) -> None:
        env = self._environment(directory or self.directory)
        self._stack.enter_context(daemon(env, host or self.lab.host, *argv))

    def _serve(self, name: str) -> None:
        schema = peer_root("ovn") / f"usr/share/ovn/ovn-{name}.ovsschema"
        file = str(self.directory / f"{name}.db")
        env = self._environment(self.directory)
        run("ovsdb-tool", "create", file, str(schema), env=env)
        socket = self.directory / f"{name}.sock"
        control = self.directory / f"{name}.ctl"
        self._start("ovsdb-server", f"--remote=punix:{socket}", f"--unixctl={control}", file)
        assert wait_until(socket.exists)

    def _chassis(self, number: int, host: Namespace) -> Switch:
        switch = self.lab.add_switch(f"s{number}", self._programs, host=host)
        switch.start()
        switch.run(
            *("ovs-vsctl", "--timeout=60", "set", "open", "."),
            *(
                f"external-ids:system-id=hv{number}",
                f"external-ids:ovn-remote={self._remote('sb')}",
            ),
            *("external-ids:ovn-encap-type=geneve",),
            f"external-ids:ovn-encap-ip={ADDRESSES[number]}",
            *("--", "add-br", "br-int", "--", "set", "bridge", "br-int", "fail-mode=secure"),
        )
        device = WIRE
        if number not in self._plain:
            device = "br-phy"
            switch.run("ovs-vsctl", "add-br", device, "--", "add-port", device, WIRE)
            host.ip("link", "set", device, "up")
        host.ip("addr", "add", f"{ADDRESSES[number]}/24", "dev", device)
        database = f"unix:{switch.db_socket}"
        log = f"--log-file={switch.rundir}/ovn-controller.log"
        self._start("ovn-controller", database, log, host=host, directory=switch.rundir)
        return switch

    def northbound(self, *words: str) -> str:
        """What ovn-nbctl says."""
        env = self._environment(self.directory)
        argv = ("ovn-nbctl", f"--db={self._remote('nb')}", "--timeout=100", *words)
        return run(*argv, env=env).stdout

    def settle(self) -> None:
        """Wait until all chassis do what the northbound database says."""
        self.northbound("--wait=hv", "sync")

    def add_machine(
        self, name: str, switch: str, number: int, address: str, gateway: str
    ) -> VirtualMachine:
        """A machine on one of the hosts, with a port of a logical switch."""
        vm = self.lab.add_vm(name, f"v-{name}", f"{address}/24", self.hosts[number])
        mac = f"02:00:00:00:00:{len(self.lab.vms):02x}"
        vm.ip("route", "add", "default", "via", gateway)
        self.northbound("lsp-add", switch, name, "--",
                        "lsp-set-addresses", name, f"{mac} {address}")  # fmt: skip
        self.switches[number].run(
            *("ovs-vsctl", "--timeout=60", "add-port", "br-int", vm.vif, "--"),
            *("set", "interface", vm.vif, f"external-ids:iface-id={name}"),
        )
        return vm

    def complaints(self) -> list[str]:
        """What the controllers had to say of our switches."""
        logs = [switch.rundir / "ovn-controller.log" for switch in self.switches]
        lines = [line for log in logs for line in log.read_text().splitlines()]
        return [line for line in lines if "OpenFlow error" in line or "|ERR|" in line]
