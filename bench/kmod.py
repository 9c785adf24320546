"""Instructions a packet, beside `openvswitch.ko`: what runs in the guest of `make bench-kmod`.

The guest (`tools/kmod_guest.py`) has one processor whose clock is the number of instructions that
it has executed. So what a sender gets through in a second says how many instructions a packet
takes, the sender's own and the daemons' included: less those of a wire they are the data path's.
"""

from __future__ import annotations

import subprocess
from contextlib import ExitStack

import bench.datapath
from bench.datapath import (
    N_MASKED,
    BridgeSide,
    OwnSide,
    PeerSide,
    Side,
    SwitchSide,
    packets_per_second,
)

SECONDS = 0.5
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


def main() -> None:
    wait_patiently()
    bench.datapath.SECONDS = SECONDS
    with ExitStack() as stack:
        sides = [kind(stack) for kind in (Side, BridgeSide, ModuleSide, OwnSide)]
        for scenario, n_ports in SCENARIOS.items():
            for side in sides:
                if scenario and not isinstance(side, SwitchSide):
                    continue
                side.prepare(scenario)
                side.vm1.ping("10.0.0.2", count=2)
                packets_per_second(side, n_ports)
                cost = 1e9 / packets_per_second(side, n_ports)
                title = scenario or "NORMAL"
                print(f"RESULT {title}: {side.title}: {cost:.0f} instructions a packet", flush=True)


if __name__ == "__main__":
    main()
