"""Faucet, a controller that people run, has a bridge of ours do what its configuration says: VLANs
apart, an ACL, and routing between VLANs, all between real namespaces."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.peers import python_peer, wait_until
from tests.support.switches import RunningSwitch, needs_root

from netloom.lab.lab import Lab
from netloom.lab.namespace import VirtualMachine
from netloom.lab.switch import Programs

pytestmark = [pytest.mark.root, needs_root, pytest.mark.interop]

CONFIG = """
vlans:
  office:
    vid: 100
    faucet_mac: "0e:00:00:00:00:01"
    faucet_vips: ["10.0.100.254/24"]
  guest:
    vid: 200
    faucet_mac: "0e:00:00:00:00:02"
    faucet_vips: ["10.0.200.254/24"]
  island:
    vid: 300
routers:
  between:
    vlans: [office, guest]
acls:
  no-web:
    - rule: {dl_type: 0x0800, nw_proto: 6, tcp_dst: 80, actions: {allow: 0}}
    - rule: {actions: {allow: 1}}
dps:
  sw1:
    dp_id: 0x1
    hardware: "Open vSwitch"
    interfaces:
      1: {native_vlan: office}
      2: {native_vlan: office}
      3: {native_vlan: guest, acl_in: no-web}
      4: {native_vlan: island}
      5: {tagged_vlans: [office]}
"""


class Faucet:
    """The controller in the lab's host, listening on 6653."""

    def __init__(self, lab: Lab) -> None:
        folder = python_peer("faucet", "faucet").parent
        self._lab = lab
        self.config = lab.directory / "faucet.yaml"
        self.log = lab.directory / "faucet.log"
        self.write(CONFIG)
        env = {
            **os.environ,
            # It starts a program of its own environment by name.
            "PATH": f"{folder}:{os.environ['PATH']}",
            "FAUCET_CONFIG": str(self.config),
            "FAUCET_LOG": str(self.log),
            "FAUCET_EXCEPTION_LOG": str(lab.directory / "faucet-exceptions.log"),
        }
        with (lab.directory / "faucet.out").open("wb") as out:
            self._process = subprocess.Popen(
                ["ip", "netns", "exec", lab.host.name, str(folder / "faucet")],
                env=env, stdout=out, stderr=out,
            )  # fmt: skip

    def write(self, text: str) -> None:
        self.config.write_text(text)

    def reload(self) -> None:
        self._process.send_signal(1)

    @property
    def exceptions(self) -> str:
        path = Path(self._lab.directory, "faucet-exceptions.log")
        return path.read_text() if path.exists() else ""

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(60)


class Office:
    """A bridge with four machines, and a fifth behind another switch, on a tagged port."""

    def __init__(self, lab: Lab, tools: Programs) -> None:
        self.lab = lab
        self.switch = RunningSwitch(lab, tools, tools)
        self.ann = lab.add_vm("ann", "vif1", "10.0.100.1/24")
        self.bob = lab.add_vm("bob", "vif2", "10.0.100.2/24")
        self.gus = lab.add_vm("gus", "vif3", "10.0.200.1/24")
        self.eve = lab.add_vm("eve", "vif4", "10.0.100.4/24")
        self.tim = lab.add_vm("tim", "vif5", "10.0.100.5/24")
        for vm, gateway in ((self.ann, "10.0.100.254"), (self.gus, "10.0.200.254")):
            vm.ip("route", "add", "default", "via", gateway)
        self.faucet = Faucet(lab)
        self.switch.start()
        words = ["add-br", "br0", "--", "set", "bridge", "br0",
                 "other-config:datapath-id=0000000000000001", "fail_mode=secure"]  # fmt: skip
        for number in range(1, 5):
            words += ["--", "add-port", "br0", f"vif{number}", "--", "set", "interface",
                      f"vif{number}", f"ofport_request={number}"]  # fmt: skip
        # Behind port 5 is another switch, which no controller knows, with tags on the link.
        for bridge, port, peer in (("br0", "up", "down"), ("br1", "down", "up")):
            words += ["--", "--may-exist", "add-br", bridge, "--", "add-port", bridge, port,
                      "--", "set", "interface", port, "type=patch", f"options:peer={peer}",
                      "ofport_request=5"]  # fmt: skip
        words += ["--", "add-port", "br1", "vif5", "tag=100"]
        self.switch.vsctl(*words, "--", "set-controller", "br0", "tcp:127.0.0.1:6653")

    def is_controlled(self) -> bool:
        return self.switch.get("controller", "br0", "is_connected") == "true"


@pytest.fixture
def office(lab: Lab, tools: Programs) -> Iterator[Office]:
    made = Office(lab, tools)
    try:
        assert wait_until(made.is_controlled), made.faucet.log.read_text()
        yield made
    finally:
        made.faucet.end()


def reaches(vm: VirtualMachine, address: str) -> bool:
    return wait_until(lambda: vm.ping(address))


def connects(
    client: VirtualMachine, server: VirtualMachine, port: int, patience_s: int = 20
) -> bool:
    """Does a TCP connection come about?"""
    code = (
        "import socket, sys\n"
        "listener = socket.create_server(('', int(sys.argv[1])))\n"
        "print('ready', flush=True)\n"
        "listener.settimeout(40)\n"
        "listener.accept()\n"
    )
    python = "/usr/bin/env", "python3", "-c"
    listener = subprocess.Popen(
        ["ip", "netns", "exec", server.name, *python, code, str(port)], stdout=subprocess.PIPE
    )
    try:
        assert listener.stdout is not None
        assert listener.stdout.readline() == b"ready\n"
        dial = (
            "import socket, sys\n"
            "socket.create_connection((sys.argv[1], int(sys.argv[2])), int(sys.argv[3])).close()\n"
        )
        words = (server.ip_address, str(port), str(patience_s))
        return client.run(*python, dial, *words, check=False).ok
    finally:
        listener.kill()
        listener.wait()


def test_faucets_vlans_acls_and_routes(office: Office) -> None:
    assert reaches(office.ann, "10.0.100.2"), office.faucet.exceptions
    assert reaches(office.ann, "10.0.100.5"), "a tagged port of the VLAN"
    assert not office.ann.ping("10.0.100.4"), "another VLAN, though the same subnet"
    assert reaches(office.ann, "10.0.100.254"), "Faucet answers at the gateway's address"
    assert reaches(office.ann, "10.0.200.1"), "routed to the guests' VLAN"
    assert reaches(office.gus, "10.0.100.1")
    assert connects(office.gus, office.ann, 8080)
    assert not connects(office.gus, office.ann, 80, 3), "the ACL of the guests' port"
    assert connects(office.ann, office.gus, 80), "which is for what comes in there"
    assert not office.faucet.exceptions


def test_faucet_changes_its_mind(office: Office) -> None:
    assert reaches(office.ann, "10.0.100.2"), office.faucet.exceptions
    assert not office.ann.ping("10.0.100.4")
    office.faucet.write(CONFIG.replace("4: {native_vlan: island}", "4: {native_vlan: office}"))
    office.faucet.reload()
    assert reaches(office.ann, "10.0.100.4"), office.faucet.log.read_text()
    assert not office.faucet.exceptions
