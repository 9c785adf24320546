"""Let two switches run for long while everything around them changes.

    tools/soak.py [MINUTES] [SEED]

Each data path (in the kernel, in user space) serves a lab of its own: four machines, two in each of
two VLANs, and a fifth behind another switch on another host. Both get the same random changes:
ports leave and return, devices are renamed, tags change and change back, flows come and go, tunnels
to the other host are built and taken down, either daemon is killed and started again, connections
are forgotten. After each change every machine must reach those of its VLAN and no other; meanwhile
two of them talk over one TCP connection, which has to survive all of it, and all listen for frames
that are not theirs (`soak_traffic`). At the end nothing may have leaked: no maps, programs or links
in the kernel beyond those of the switches' birth, no memory of a daemon that goes on growing, no
flows of traffic that has ended.

Prints a line per minute; exit status 1 with what was wrong. Needs root.
"""

from __future__ import annotations

import os
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "tools")]

from tests.support.switches import own_tools  # noqa: E402

from netloom.lab.commands import CommandFailed  # noqa: E402
from netloom.lab.lab import Lab  # noqa: E402
from netloom.lab.namespace import VirtualMachine  # noqa: E402
from netloom.lab.switch import Programs, Switch  # noqa: E402
from soak_traffic import Traffic  # noqa: E402

CHOICE = "NETLOOM_SYSTEM_DATAPATH"
#: Ends of the wire between the hosts, and the fifth machine.
ADDRESSES = (("172.31.1.1", "fd31::1"), ("172.31.1.2", "fd31::2"))
FAR_ADDRESS = "10.0.0.5"
VLANS = {"vif1": 10, "vif2": 10, "vif3": 20, "vif4": 20}
#: Resident memory that the daemon may have more than after its first minute.
MEMORY_SLACK_KIB = 40_000
IDLE_S = 15
#: How soon a device that is back must be a port again.
SETTLE_S = 10.0
#: Of the daemon's log that are told when something is wrong.
LOG_LINES = 20


class Failure(Exception):
    """Something that must not be; the text says what."""


class World:
    """One data path and its machines."""

    def __init__(self, stack: ExitStack, kind: str, tools: Programs) -> None:
        self.kind = kind
        self.lab = stack.enter_context(Lab(f"soak-{kind}"))
        self.far_host = self.lab.add_namespace("far")
        programs = Programs(tools.path, {CHOICE: kind})
        self.switch = self.lab.add_switch("switch", programs)
        self.far = self.lab.add_switch("far", programs, host=self.far_host)
        self.vms = {
            vif: self.lab.add_vm(f"vm{n}", vif, f"10.0.0.{n}/24") for n, vif in enumerate(VLANS, 1)
        }
        self.far_vm = self.lab.add_vm("vm5", "vif5", f"{FAR_ADDRESS}/24", self.far_host)
        for switch in self.switches:
            switch.start()
            switch.run("ovs-vsctl", "--timeout=20", "add-br", "br0")
        for vif, vlan in VLANS.items():
            self.vsctl("add-port", "br0", vif, f"tag={vlan}")
        self.far.run("ovs-vsctl", "--timeout=20", "add-port", "br0", "vif5", "tag=10")
        self._lay_wire()
        self.memory_kib: dict[str, int] = {}
        groups = [[self.vms["vif1"], self.vms["vif2"]], [self.vms["vif3"], self.vms["vif4"]]]
        self.traffic = Traffic(self.lab.directory, groups)
        stack.callback(self.traffic.stop)

    @property
    def switches(self) -> tuple[Switch, Switch]:
        return self.switch, self.far

    def _lay_wire(self) -> None:
        host, far = self.lab.host, self.far_host
        host.run(
            "ip", "link", "add", "eth9", "type", "veth", "peer", "name", "eth9", "netns", far.name
        )
        for namespace, switch in zip((host, far), self.switches, strict=True):
            namespace.ip("link", "set", "eth9", "mtu", "1600", "up")
            switch.run("ovs-vsctl", "--timeout=20", "add-br", "br-phy", "--", "add-port", "br-phy",
                       "eth9")  # fmt: skip
        self.give_addresses()

    def give_addresses(self) -> None:
        """To the ends of the wire, if they have none."""
        for namespace, (address, address6) in zip(
            (self.lab.host, self.far_host), ADDRESSES, strict=True
        ):
            namespace.ip("addr", "replace", f"{address}/24", "dev", "br-phy")
            namespace.ip("addr", "replace", f"{address6}/64", "dev", "br-phy", "nodad")
            namespace.ip("link", "set", "br-phy", "up")

    def vsctl(self, *argv: str) -> str:
        return self.switch.run("ovs-vsctl", "--timeout=20", *argv).stdout

    def resident_kib(self, switch: Switch) -> int:
        status = Path(f"/proc/{switch.pid('ovs-vswitchd')}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        assert found is not None
        return int(found[1])

    def n_flows(self) -> int:
        shown = self.switch.run("ovs-appctl", "dpctl/dump-flows").stdout
        return len(shown.splitlines())

    def check(self) -> None:
        """Everybody reaches those of the same VLAN, and nobody else."""
        for vif, vm in self.vms.items():
            for other, peer in self.vms.items():
                if vif < other:
                    self.check_pair(vm, peer, VLANS[vif] == VLANS[other])
        if trouble := self.traffic.trouble():
            raise Failure(f"{self.kind}: {trouble}")

    def check_pair(
        self, vm: VirtualMachine, peer: VirtualMachine, together: bool, patience: int = 3
    ) -> None:
        tries = patience if together else 1
        reached = any(
            vm.ping(peer.ip_address, count=1, wait_s=1.0 if together else 0.2) for _ in range(tries)
        )
        if reached != together:
            word = "does not reach" if together else "reaches"
            raise Failure(f"{self.kind}: {vm.label} {word} {peer.label}")


# What happens to a world; each leaves it as it was.


def replug(world: World, rng: random.Random) -> None:
    vif = rng.choice(list(VLANS))
    world.vsctl("del-port", vif)
    world.vsctl("add-port", "br0", vif, f"tag={VLANS[vif]}")


def retag(world: World, rng: random.Random) -> None:
    vif = rng.choice(list(VLANS))
    world.vsctl("set", "port", vif, "tag=77")
    world.vsctl("set", "port", vif, f"tag={VLANS[vif]}")


def change_flows(world: World, rng: random.Random) -> None:
    n = rng.randrange(1, 200)
    rules = "".join(
        f"priority=5,udp,tp_dst={rng.randrange(65536)},actions=drop\n" for _ in range(n)
    )
    world.switch.run("ovs-ofctl", "add-flows", "br0", "-", stdin=rules)
    world.switch.run("ovs-ofctl", "del-flows", "br0", "udp")


def track(world: World, rng: random.Random) -> None:
    """All IP through the tracker for a while."""
    rules = (
        "priority=9,ip,ct_state=-trk,actions=ct(zone=1,table=1)\n"
        "table=1,priority=1,ip,actions=ct(commit,zone=1),NORMAL\n"
    )
    world.switch.run("ovs-ofctl", "add-flows", "br0", "-", stdin=rules)
    world.check()
    world.switch.run("ovs-ofctl", "del-flows", "br0", "table=1")
    world.switch.run("ovs-ofctl", "--strict", "del-flows", "br0", "priority=9,ip,ct_state=-trk")
    world.switch.run("ovs-appctl", "dpctl/flush-conntrack")


def kill(world: World, rng: random.Random) -> None:
    switch = rng.choice((world.switch, world.switch, world.far))
    switch.kill("ovs-vswitchd")
    switch.start_vswitchd()
    if world.kind == "userspace":
        # The devices that a process made go with it, and with them their addresses.
        world.give_addresses()
    # What a process needs at its start is not what it needs later.
    world.memory_kib.clear()


def rename(world: World, rng: random.Random) -> None:
    """A device goes by another name for a while."""
    vif = rng.choice(list(VLANS))
    host = world.lab.host
    for old, new in ((vif, "elsewhere"), ("elsewhere", vif)):
        host.ip("link", "set", old, "down")
        host.ip("link", "set", old, "name", new)
        host.ip("link", "set", new, "up")
        time.sleep(rng.random())
    end = time.monotonic() + SETTLE_S
    while world.vsctl("get", "interface", vif, "error").strip() != "[]":
        if time.monotonic() > end:
            raise Failure(f"{world.kind}: {vif} is not taken back")
        time.sleep(0.1)


def tunnel(world: World, rng: random.Random) -> None:
    """The fifth machine is reached through a tunnel, and not any more."""
    kind, family = rng.choice(("vxlan", "geneve", "gre")), rng.randrange(2)
    options = [f"options:{word}" for word in ("key=7", "csum=true") if rng.random() < 0.5]
    for number, switch in enumerate(world.switches):
        remote = ADDRESSES[1 - number][family]
        switch.run("ovs-vsctl", "--timeout=20", "add-port", "br0", "tun0", "trunks=10,20", "--",
                   "set", "interface", "tun0", f"type={kind}", f"options:remote_ip={remote}",
                   *options)  # fmt: skip
    for vif, vm in world.vms.items():
        world.check_pair(vm, world.far_vm, VLANS[vif] == 10, patience=15)
    # Either end alone makes an end of it.
    first, second = rng.sample(world.switches, 2)
    first.run("ovs-vsctl", "--timeout=20", "del-port", "tun0")
    world.check_pair(world.vms["vif1"], world.far_vm, False)
    second.run("ovs-vsctl", "--timeout=20", "del-port", "tun0")


def meter(world: World, rng: random.Random) -> None:
    """All IP through a meter that has room for it."""
    of13 = ("ovs-ofctl", "-O", "OpenFlow13")
    world.switch.run(*of13, "add-meter", "br0", "meter=1,kbps,bands=type=drop,rate=1000000")
    world.switch.run(*of13, "add-flow", "br0", "priority=7,ip,actions=meter:1,normal")
    world.check()
    world.switch.run(*of13, "del-meters", "br0")


def second_bridge(world: World, rng: random.Random) -> None:
    world.vsctl(*("add-br", "br1", "--", "add-port", "br0", "pa", "--", "set", "interface", "pa"),
                *("type=patch", "options:peer=pb", "--", "add-port", "br1", "pb", "--", "set"),
                *("interface", "pb", "type=patch", "options:peer=pa"))  # fmt: skip
    world.check()
    world.vsctl("del-port", "pa", "--", "del-br", "br1")


EVENTS: tuple[Callable[[World, random.Random], None], ...] = (
    replug, retag, change_flows, track, kill, second_bridge, rename, tunnel, meter,
)  # fmt: skip


def kernel_objects(worlds: list[World]) -> dict[str, int]:
    """How many maps, programs and links the kernel has that are these switches'."""
    counts: dict[str, int] = {"map": 0, "prog": 0, "link": 0, "pin": 0}
    folder = Path("/sys/fs/bpf/netloom")
    for world in worlds:
        for switch in world.switches:
            for fd in Path(f"/proc/{switch.pid('ovs-vswitchd')}/fd").iterdir():
                target = os.readlink(fd)
                for kind in ("map", "prog", "link"):
                    counts[kind] += target.endswith((f"bpf-{kind}", f"bpf_{kind}"))
        name = world.lab.directory.name
        counts["pin"] += sum(path.is_file() for path in folder.glob(f"*{name}*/*/*"))
    return counts


def run(minutes: float, seed: int) -> None:
    started, rng = time.monotonic(), random.Random(seed)
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        tools = own_tools(Path(directory))
        worlds = [World(stack, kind, tools) for kind in ("kernel", "userspace")]
        for world in worlds:
            world.check()
        born, rounds, told = kernel_objects(worlds), 0, 0.0
        while (elapsed := time.monotonic() - started) < 60 * minutes:
            event, draw = rng.choice(EVENTS), rng.randrange(1 << 30)
            for world in worlds:
                suffer(world, event, random.Random(draw))
            rounds += 1
            if elapsed - told >= 60:
                told = elapsed
                print(
                    f"{elapsed / 60:.0f} min, {rounds} changes, {kernel_objects(worlds)}, "
                    f"{[world.traffic.n_blocks for world in worlds]} blocks",
                    flush=True,
                )
                check_memory(worlds)
        check_rest(worlds, born)
        print(f"{rounds} changes survived (seed {seed})")


def suffer(world: World, event: Callable[[World, random.Random], None], rng: random.Random) -> None:
    """Have something happen to a world, which must be whole afterwards."""
    try:
        event(world, rng)
        world.check()
    except (Failure, CommandFailed) as error:
        lines = [f"{world.kind}: {event.__name__}: {error}"]
        for switch in world.switches:
            pid = switch.pid("ovs-vswitchd")
            lines.append(f"ovs-vswitchd is process {pid}" if pid else "ovs-vswitchd does not run")
            lines += (switch.rundir / "ovs-vswitchd.log").read_text().splitlines()[-LOG_LINES:]
        raise Failure("\n".join(lines)) from error


def check_memory(worlds: list[World]) -> None:
    for world in worlds:
        for switch in world.switches:
            now_kib = world.resident_kib(switch)
            at_first_kib = world.memory_kib.setdefault(switch.rundir.name, now_kib)
            if now_kib > at_first_kib + MEMORY_SLACK_KIB:
                raise Failure(f"{world.kind}: grew from {at_first_kib} to {now_kib} KiB")


def check_rest(worlds: list[World], born: dict[str, int]) -> None:
    """When all is quiet, nothing is left of what was."""
    for world in worlds:
        world.traffic.stop()
    time.sleep(IDLE_S)
    for world in worlds:
        if (n := world.n_flows()) > 20:
            raise Failure(f"{world.kind}: {n} flows are left")
    if (now := kernel_objects(worlds)) != born:
        raise Failure(f"objects in the kernel: {born} at first, {now} now")


def main(argv: list[str]) -> int:
    minutes = float(argv[0]) if argv else 30.0
    seed = int(argv[1]) if len(argv) > 1 else random.randrange(1 << 30)
    try:
        run(minutes, seed)
    except Failure as failure:
        print(f"{failure} (seed {seed})")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
