"""What one run of the ingress program takes, by itself: time here, instructions in the guest.

BPF_PROG_TEST_RUN runs a program many times on one packet and says how long that took; from that the
time of an empty program is taken away. Where time is counted in instructions (`bench.kmod`) the
result is exact. What the kernel does with the verdict (sending the packet on) is not part of it.

    python -m bench.program
"""

from __future__ import annotations

import os
import socket
import struct
from statistics import median

from netloom.datapath.ebpf.flowtable import FlowTable
from netloom.datapath.ebpf.loader import Loaded, load
from netloom.datapath.ebpf.maps import SharedArray
from netloom.datapath.ebpf.orphans import SWITCHED
from netloom.datapath.ebpf.ports import Ports
from netloom.datapath.ebpf.spec import (
    ACTION,
    CONFIG,
    DEVICE,
    DEVICE_SLOTS,
    MAPS,
    OP,
    OUTPUT,
    PORT_KIND,
)
from netloom.datapath.ebpf.switching import KernelSwitches
from netloom.datapath.ebpf.syscall import prog_load, test_run
from netloom.datapath.switching import Address, SwitchConfig, SwitchMember
from netloom.flow.fields import SLOT
from netloom.flow.odp_parse import parse_odp_flow

RUNS, ROUNDS = 100_000, 5
TCP, UDP, ICMP = 6, 17, 1
_SPECS = {spec.name: spec for spec in MAPS}
#: `r0 = 2; exit`: drop.
_EMPTY = struct.pack("<BBhiBBhi", 0xB7, 0, 0, 2, 0x95, 0, 0, 0)
_FLOW = (
    "in_port(1),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),eth_type(0x0800),"
    "ipv4(src=10.0.0.1{slash},dst=10.0.0.2,proto={proto},frag=no)"
)
_PORTS = {TCP: ",tcp(src=1000,dst={port})", UDP: ",udp(src=1000,dst={port})", ICMP: ""}
OUT = ACTION.pack(OP["OUTPUT"], 0, 0, 2, 0)


def packet(proto: int) -> bytes:
    """A frame of 60 bytes that `_FLOW` matches."""
    transport = struct.pack("!HHHH", 1000, 2000, 26, 0) + bytes(18)
    if proto == TCP:
        transport = struct.pack("!HHIIBBHHH", 1000, 2000, 1, 1, 0x50, 0x10, 100, 0, 0) + bytes(6)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 46, 1, 0, 64, proto, 0) + bytes([10, 0, 0, 1] * 2)
    return bytes.fromhex("0200000000020200000000010800") + head[:19] + b"\2" + transport


def flow(proto: int = UDP, slash: str = "", port: int = 2000) -> tuple[int, int]:
    """Key and mask of the flow of `packet`."""
    return parse_odp_flow((_FLOW + _PORTS[proto]).format(proto=proto, slash=slash, port=port))


class Bench:
    """The programs with ports 1 (where packets come in) and 2."""

    def __init__(self) -> None:
        self.loaded: Loaded = load()
        self.table = FlowTable(self.loaded)
        self._config = SharedArray(self.loaded.maps["config"], _SPECS["config"])
        devices = SharedArray(self.loaded.maps["devices"], _SPECS["devices"])
        outputs = SharedArray(self.loaded.maps["outputs"], _SPECS["outputs"])
        # Test runs come in at the loopback device.
        index = socket.if_nametoindex("lo")
        at = index % DEVICE_SLOTS * DEVICE.size
        devices.view[at : at + DEVICE.size] = DEVICE.pack(index, 1)
        self._outputs, self._index = outputs, index
        self.set_output(b"")

    def set_output(self, peer: bytes) -> None:
        """Port 2, with or without a shortcut to this address."""
        number = int.from_bytes(peer, "little")
        entry = OUTPUT.pack(self._index, PORT_KIND["DEVICE"], number, 2_000, 0, 0, 0, 0, 0, 0)
        self._outputs.view[2 * OUTPUT.size : 3 * OUTPUT.size] = entry

    def be_switch(self) -> None:
        """Have NORMAL on both ports; who is behind port 2 is known."""
        ports = Ports(self.loaded, None)
        switches = KernelSwitches(self.loaded, ports)
        number = switches.number_of("br0")
        switches.configure(number, SwitchConfig((SwitchMember(1), SwitchMember(2))))
        switches.put(number, Address(0x020000000002, 0, 2, 0, True), 0)
        key = SLOT["in_port"].put(0, 1)
        self.table.put(key, SWITCHED, [ACTION.pack(OP["NORMAL"], 0, 0, number, 0)], 0)

    def has_cache(self, wanted: bool) -> None:
        """Entries of caches are never of generation 0."""
        if wanted:
            self.table.forget()
        else:
            at = CONFIG.offsets["generation"]
            self._config.view[at : at + 4] = bytes(4)

    def cost(self, data: bytes) -> float:
        """Nanoseconds of one run, more than of an empty program."""
        empty = prog_load("empty", _EMPTY, 0, b"")
        rounds = []
        for _ in range(ROUNDS):
            _, _, base = test_run(empty, data, repeat=RUNS)
            _, _, took = test_run(self.loaded.programs["nl_ingress"], data, repeat=RUNS)
            rounds.append(took - base)
        os.close(empty)
        return median(rounds)

    def report(self, title: str, data: bytes) -> None:
        print(f"RESULT {title}: {self.cost(data):.0f}", flush=True)


def main() -> None:
    """Print a line for each case."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    for proto, name in ((UDP, "UDP"), (TCP, "TCP"), (ICMP, "ICMP")):
        bench = Bench()
        data = packet(proto)
        bench.table.put(*flow(proto), [OUT], 0)
        bench.report(f"{name}, output", data)
        bench.set_output(data[:6])
        bench.report(f"{name}, output by the shortcut", data)
        bench.set_output(b"")
        bench.table.put(*flow(proto), [ACTION.pack(OP["SET_MARK"], 0, 0, 0, 0), OUT], 0)
        bench.report(f"{name}, an action and output", data)
    bench = Bench()
    bench.be_switch()
    bench.report("UDP, NORMAL", packet(UDP))
    for n_masks in (1, 3, 8, 32):
        bench = Bench()
        for number in range(n_masks - 1):
            bench.table.put(*flow(UDP, f"/255.255.{255 - number}.0", 1), [OUT], 0)
        bench.table.put(*flow(UDP), [OUT], 0)
        bench.has_cache(False)
        bench.report(f"UDP, output, {n_masks} masks without caches", packet(UDP))
        for now_ms in (1, 1_000):
            bench.table.specialise(now_ms)
        assert bench.table.has_special_lookup
        bench.report(f"UDP, output, {n_masks} masks, special lookup", packet(UDP))
    os.sched_setaffinity(0, allowed)


if __name__ == "__main__":
    main()
