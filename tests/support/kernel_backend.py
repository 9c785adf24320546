"""The kernel data path over veth pairs in a network namespace of this process alone."""

from __future__ import annotations

import ctypes
import os
import select
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyroute2 import IPRoute
from tests.support.dummy_backend import NO_DROPS
from tests.support.kernel_programs import require_programs

from netloom.base.clock import SystemClock
from netloom.base.counters import Counters
from netloom.datapath.action_parse import parse_actions
from netloom.datapath.dpif import DpPortNo
from netloom.datapath.ebpf.dpif import EbpfDpif
from netloom.datapath.ebpf.kernel_counters import SLOW_PACKETS
from netloom.flow.odp_parse import parse_odp_flow
from netloom.netdev.device import Packet
from netloom.netdev.linux.packet_socket import PacketSocketDevice
from netloom.netdev.linux.rtnl import Rtnl
from netloom.packet.offload import Offload, finish_offload

CLONE_NEWNET = 0x40000000
#: How long nothing may happen before all packets have arrived.
QUIET_S = 0.02
#: Until the next look at the devices. A data path never runs out of work while packets wait in it
#: for the answer to a miss of their kind, which may be the test's to give.
BUSY_RUNS = 100
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def private_namespace() -> Iterator[None]:
    """This thread is in a new network namespace meanwhile, where nobody speaks unasked."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        if _libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
        yield
    finally:
        _libc.setns(home, CLONE_NEWNET)
        os.close(home)


@contextmanager
def kernel_backend(numbers: tuple[int, ...]) -> Iterator[KernelBackend]:
    """One with these ports, in a namespace of its own; skips the test where it cannot be."""
    require_programs()
    with private_namespace():
        backend = KernelBackend(numbers)
        try:
            yield backend
        finally:
            backend.close()


def _on_wire(packet: Packet) -> list[bytes]:
    """What a device that has no offloads would send."""
    return [packet.data] if packet.offload is None else finish_offload(packet.data, packet.offload)


class KernelBackend:
    """Ports p1 to p4 of a data path; at the other ends of their wires, devices x1 to x4. Must be
    made, used and closed in a private namespace."""

    def __init__(self, numbers: tuple[int, ...], use_tcx: bool | None = None) -> None:
        self.counters = Counters()
        self.clock = SystemClock()
        self.dpif = EbpfDpif(
            "system", "system@ovs-system", self.clock, self.counters, use_tcx=use_tcx
        )
        self._rtnl = Rtnl()
        self.devices: dict[str, PacketSocketDevice] = {}
        self._ends: dict[int, PacketSocketDevice] = {}
        with IPRoute() as ip:
            for number in numbers:
                ip.link("add", ifname=f"p{number}", kind="veth", peer=f"x{number}")
                for name in (f"p{number}", f"x{number}"):
                    ip.link("set", index=ip.link_lookup(ifname=name)[0], state="up")
        for number in numbers:
            device = self.devices[f"p{number}"] = PacketSocketDevice(f"p{number}", self._rtnl)
            assert self.dpif.port_add(device, DpPortNo(number)).number == number
            self._ends[number] = PacketSocketDevice(f"x{number}", self._rtnl)
        self.start()

    def start(self) -> None:
        """Forget all flows, packets and counts."""
        self.dpif.flow_flush()
        self.run()
        self._sent: dict[int, list[bytes]] = {number: [] for number in self._ends}
        self.dpif.recv_upcalls(1_000_000)
        self._before = self._totals()
        self.dpif.reasons.clear()

    def put(self, flow: str, actions: str) -> None:
        self.dpif.flow_put(*parse_odp_flow(flow), parse_actions(actions))

    def inject(self, port: int, packet: bytes, offload: Offload | None = None) -> None:
        self._ends[port].send([Packet(packet, offload)])

    def run(self) -> None:
        """Until nothing has happened for a moment."""
        descriptors = [*self.dpif.poll_fds(), *(end.fileno() for end in self._ends.values())]
        while True:
            for _ in range(BUSY_RUNS):
                if not self.dpif.run(self.clock.now_ms()):
                    break
            if not select.select(descriptors, (), (), QUIET_S)[0]:
                return
            for number, end in self._ends.items():
                if packets := end.receive(1_000):
                    self._sent[number] += [data for packet in packets for data in _on_wire(packet)]

    def sent(self, port: int) -> list[bytes]:
        return self._sent[port]

    def _totals(self) -> dict[str, int]:
        return {
            counter.name: counter.total
            for counter in self.counters.all()
            if not counter.name.startswith(NO_DROPS)
        }

    def drops(self) -> dict[str, int]:
        return {
            name: total - self._before.get(name, 0)
            for name, total in self._totals().items()
            if total > self._before.get(name, 0) and name != SLOW_PACKETS
        }

    def reasons(self) -> set[str]:
        """Why flows are not run in the kernel."""
        return set(self.dpif.reasons)

    def close(self) -> None:
        self.dpif.close()
        for device in (*self.devices.values(), *self._ends.values()):
            device.close()
        self._rtnl.close()
