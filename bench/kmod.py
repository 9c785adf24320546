"""Instructions a packet, beside `openvswitch.ko`: what runs in the guest of `make bench-kmod`.

The guest (`tools/kmod_guest.py`) has one processor whose clock is the number of instructions that
it has executed. So what a sender gets through in a second says how many instructions a packet
takes, the sender's own included: less those of a wire they are the data path's. The machine that
packets are for drops them as they come in, before its network stack would find nobody to give them
to, which costs as much as a switch. The daemons' own work (revalidating, statistics) is shown
apart.

Before that, what one run of our program takes by itself (`BPF_PROG_TEST_RUN`).
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from statistics import median

import bench.datapath
import bench.program
from bench.datapath import (
    N_MASKED,
    SENDER,
    BridgeSide,
    OwnSide,
    PeerSide,
    Side,
    SwitchSide,
    packets_per_second,
    received,
)

SECONDS, ROUNDS = 0.4, 3
#: Scenario -> UDP ports that packets go to.
SCENARIOS = {"": 1, "64": 64, "masks-1": N_MASKED, "masks-3": N_MASKED, "conntrack": 1}


class ModuleSide(PeerSide):
    """Debian's switch with the module of Debian's kernel."""

    title = "openvswitch.ko"
    datapath_type = "system"
    offloads = True


def wait_patiently() -> None:
    """While the guest waits for the host its clock jumps: nobody may take that for silence."""
    communicate, wait = subprocess.Popen.communicate, subprocess.Popen.wait
    setattr(subprocess.Popen, "communicate", lambda self, input=None, timeout=None:  # noqa: B010
            communicate(self, input))  # fmt: skip
    setattr(subprocess.Popen, "wait", lambda self, timeout=None: wait(self))  # noqa: B010


#: Around the sending of SENDER: how long processes have run that are there all the time.
MEASURE = """
import pathlib
def others_ns():
    total = 0
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if int(process.name) != os.getpid() and (process / "cmdline").read_bytes():
                total += int((process / "schedstat").read_text().split()[0])
        except OSError:
            pass
    return total
"""


def sender() -> str:
    """SENDER, saying how many nanoseconds others took of its time."""
    before, loop = SENDER.split("send, fd, end = ")
    loop = "send, fd, end = " + loop
    return f"import os\n{MEASURE}{before}was = others_ns()\n{loop}print(others_ns() - was)\n"


def measure(side: Side, n_ports: int) -> tuple[float, float]:
    """Instructions a packet: all, and those of the daemons."""
    before = received(side.vm2)
    took = side.vm1.run("python3", "-c", sender(), str(SECONDS), str(n_ports)).stdout
    cost = SECONDS * 1e9 / (received(side.vm2) - before)
    return cost, int(took) / (SECONDS * 1e9) * cost


def title_of(scenario: str) -> str:
    """What it is called on the command line and in the report."""
    return scenario or "NORMAL"


def main() -> None:
    """Everything, or what the arguments name: "program", titles of scenarios."""
    wait_patiently()
    known = ["program", *map(title_of, SCENARIOS)]
    wanted = sys.argv[1:] or known
    if strange := [word for word in wanted if word not in known]:
        sys.exit(f"unknown scenario {strange[0]!r}; there are {', '.join(known)}")
    if "program" in wanted:
        bench.program.main()
    if wanted == ["program"]:
        return
    bench.datapath.SECONDS = SECONDS
    with ExitStack() as stack:
        sides = [kind(stack) for kind in (Side, BridgeSide, ModuleSide, OwnSide)]
        for scenario, n_ports in SCENARIOS.items():
            for side in sides if title_of(scenario) in wanted else ():
                if scenario and not isinstance(side, SwitchSide):
                    continue
                side.prepare(scenario)
                side.vm1.ping("10.0.0.2", count=2)
                packets_per_second(side, n_ports)
                rows = [measure(side, n_ports) for _ in range(ROUNDS)]
                cost, others = median(row[0] for row in rows), median(row[1] for row in rows)
                title = f"{title_of(scenario)}: {side.title}"
                figures = f"{cost:.0f} instructions a packet, the daemons' {others:.0f}"
                print(f"RESULT {title}: {figures}", flush=True)


if __name__ == "__main__":
    main()
