"""What a miss costs the kernel data path: flows that come of misses, per second of processor time.

From the packet that comes up to the flow that is in the kernel, and the packet that goes on: what
counts is the processor time of the whole daemon, kernel calls included, over the flows that the
data path has got. The same flow tables and frames as in `bench.pipeline`, in turns with Debian's
switch: its data path in user space and, where there is one, `openvswitch.ko`, whose misses come up
by netlink. Frames come in small groups, and in greater ones, as when a machine begins to speak to
many.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.agent_flows import agent_flows
from bench.pipeline import (
    CASES,
    Side,
    acl_flows,
    acl_frames,
    connection_frames,
    normal_frames,
)
from netloom.lab.lab import Lab
from netloom.lab.peers import debian_programs
from netloom.lab.switch import own_programs

ROUNDS = 5
BURSTS = (20, 200)
GOAL = 30_000
#: Flows, frames. A bridge of which NORMAL is the only rule has no misses here, so it has another.
TABLES: dict[str, tuple[Callable[[], str], Callable[[random.Random], list[bytes]]]] = {
    "NORMAL": (lambda: "dl_type=0x88b5,actions=drop\npriority=1,actions=NORMAL\n", normal_frames),
    "br-int, conntrack": (agent_flows, connection_frames),
    "10,000 prefixes": (acl_flows, acl_frames),
}
assert list(TABLES) == list(CASES)
OURS, PEERS, MODULE = "netloom in the kernel", "Open vSwitch in user space", "openvswitch.ko"


def has_module() -> bool:
    """Whether Debian's switch has a kernel data path here."""
    return Path("/sys/module/openvswitch").exists()


def make_sides(stack: ExitStack) -> dict[str, Side]:
    """All that take part, by title."""

    def lab(name: str) -> Lab:
        return stack.enter_context(Lab(f"bench-misses-{name}"))

    sides = {
        OURS: Side(lab("own"), own_programs(), "system"),
        PEERS: Side(lab("peer"), debian_programs()),
    }
    if has_module():
        sides[MODULE] = Side(lab("module"), debian_programs(), "system")
    return sides


def n_flows(side: Side) -> int:
    """Flows in the data path."""
    shown = side.switch.run("ovs-appctl", "dpctl/show").stdout
    return sum(map(int, re.findall(r"flows: (\d+)", shown)))


def installed_per_cpu_second(side: Side, frames: list[bytes], burst: int) -> float:
    """Raises SystemExit if many misses were lost."""
    side.forget()
    flows, cpu = n_flows(side), side.cpu_seconds()
    side.send(frames, burst)
    cpu = side.cpu_seconds() - cpu
    flows = n_flows(side) - flows
    if flows < len(frames) // 2:
        raise SystemExit(f"only {flows} flows of {len(frames)} frames")
    return flows / cpu


#: Flow table, frames at once -> title of a side -> what it got.
Samples = dict[tuple[str, int], dict[str, list[float]]]


def measure_all(rounds: int, bursts: tuple[int, ...] = BURSTS) -> Samples:
    """Everybody in turns."""
    rng = random.Random(1)
    samples: Samples = {}
    with ExitStack() as stack:
        sides = make_sides(stack)
        for name, (flows, make_frames) in TABLES.items():
            for side in sides.values():
                side.set_flows(flows())
            for burst in bursts * rounds:
                frames = make_frames(rng)
                row = samples.setdefault((name, burst), {})
                for title, side in sides.items():
                    rate = installed_per_cpu_second(side, frames, burst)
                    row.setdefault(title, []).append(rate)
    return samples


def main() -> None:
    show(measure_all(ROUNDS))


def show(samples: Samples) -> None:
    """Medians, and how far ours spread."""
    titles = list(next(iter(samples.values())))
    heading = f"Installed misses per CPU-second (goal: {GOAL:,})"
    table = Table("flow table", "at once", *titles, "spread of ours", title=heading)
    for (name, burst), row in samples.items():
        ours = row[OURS]
        values = [f"{median(row[title]):,.0f}" for title in titles]
        table.add_row(name, str(burst), *values, f"{min(ours):,.0f} to {max(ours):,.0f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
