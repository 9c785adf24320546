"""Let two switches run for long while everything around them changes.

    tools/soak.py [MINUTES] [SEED]

Each data path (in the kernel, in user space) serves a lab of its own: four machines, two in each of
two VLANs. Both get the same random changes: ports leave and return, tags change and change back,
flows come and go, the daemon is killed and started again, connections are forgotten. After each
change every machine must reach those of its VLAN and no other. At the end nothing may have leaked:
no maps, programs or links in the kernel beyond those of the switch's birth, no memory of the daemon
that goes on growing, no flows of traffic that has ended.

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
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.support.switches import own_tools  # noqa: E402

from netloom.lab.commands import CommandFailed  # noqa: E402
from netloom.lab.lab import Lab  # noqa: E402
from netloom.lab.namespace import VirtualMachine  # noqa: E402
from netloom.lab.switch import Programs  # noqa: E402

CHOICE = "NETLOOM_SYSTEM_DATAPATH"
VLANS = {"vif1": 10, "vif2": 10, "vif3": 20, "vif4": 20}
#: Resident memory that the daemon may have more than after its first minute.
MEMORY_SLACK_KIB = 40_000
IDLE_S = 15
#: Of the daemon's log that are told when something is wrong.
LOG_LINES = 20


class Failure(Exception):
    """Something that must not be; the text says what."""


class World:
    """One data path and its machines."""

    def __init__(self, stack: ExitStack, kind: str, tools: Programs) -> None:
        self.kind = kind
        self.lab = stack.enter_context(Lab(f"soak-{kind}"))
        env = {CHOICE: kind}
        self.switch = self.lab.add_switch("switch", Programs(tools.path, env))
        self.vms = {
            vif: self.lab.add_vm(f"vm{n}", vif, f"10.0.0.{n}/24") for n, vif in enumerate(VLANS, 1)
        }
        self.switch.start()
        self.vsctl("add-br", "br0")
        for vif, vlan in VLANS.items():
            self.vsctl("add-port", "br0", vif, f"tag={vlan}")
        self.memory_kib = 0

    def vsctl(self, *argv: str) -> str:
        return self.switch.run("ovs-vsctl", "--timeout=20", *argv).stdout

    def resident_kib(self) -> int:
        status = Path(f"/proc/{self.switch.pid('ovs-vswitchd')}/status").read_text()
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
                    self._check_pair(vm, peer, VLANS[vif] == VLANS[other])

    def _check_pair(self, vm: VirtualMachine, peer: VirtualMachine, together: bool) -> None:
        tries = 3 if together else 1
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
    world.switch.kill("ovs-vswitchd")
    world.switch.start_vswitchd()
    # What a process needs at its start is not what it needs later.
    world.memory_kib = 0


def second_bridge(world: World, rng: random.Random) -> None:
    world.vsctl(*("add-br", "br1", "--", "add-port", "br0", "pa", "--", "set", "interface", "pa"),
                *("type=patch", "options:peer=pb", "--", "add-port", "br1", "pb", "--", "set"),
                *("interface", "pb", "type=patch", "options:peer=pa"))  # fmt: skip
    world.check()
    world.vsctl("del-port", "pa", "--", "del-br", "br1")


EVENTS: tuple[Callable[[World, random.Random], None], ...] = (
    replug, retag, change_flows, track, kill, second_bridge,
)  # fmt: skip


def kernel_objects(worlds: list[World]) -> dict[str, int]:
    """How many maps, programs and links the kernel has that are these switches'."""
    counts: dict[str, int] = {"map": 0, "prog": 0, "pin": 0}
    folder = Path("/sys/fs/bpf/netloom")
    for world in worlds:
        pid, name = world.switch.pid("ovs-vswitchd"), world.switch.rundir.parent.name
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            target = os.readlink(fd)
            for kind in ("map", "prog"):
                counts[kind] += f"bpf-{kind}" in target
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
                    f"{elapsed / 60:.0f} min, {rounds} changes, {kernel_objects(worlds)}",
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
        pid = world.switch.pid("ovs-vswitchd")
        log = (world.switch.rundir / "ovs-vswitchd.log").read_text().splitlines()[-LOG_LINES:]
        words = f"ovs-vswitchd is process {pid}" if pid else "ovs-vswitchd does not run"
        lines = [f"{world.kind}: {event.__name__}: {error}", words, *log]
        raise Failure("\n".join(lines)) from error


def check_memory(worlds: list[World]) -> None:
    for world in worlds:
        now_kib = world.resident_kib()
        world.memory_kib = world.memory_kib or now_kib
        if now_kib > world.memory_kib + MEMORY_SLACK_KIB:
            raise Failure(f"{world.kind}: grew from {world.memory_kib} to {now_kib} KiB")


def check_rest(worlds: list[World], born: dict[str, int]) -> None:
    """When all is quiet, nothing is left of what was."""
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
