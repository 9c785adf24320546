"""Once somebody says which descriptors are readable, idle devices are left alone."""

from __future__ import annotations

import os
from pathlib import Path

from netloom.base.clock import ManualClock
from netloom.base.counters import Counters
from netloom.datapath.userspace.dpif import UserspaceDpif
from netloom.netdev.device import Packet
from netloom.netdev.dummy import DummyDevice, DummyFactory

FRAME = bytes(60)


class Watched:
    """A dummy that has a descriptor, and counts how often it is asked."""

    def __init__(self, device: DummyDevice, fd: int) -> None:
        self._device = device
        self._fd = fd
        self.name, self.type = device.name, "system"
        self.n_asked = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._device, name)

    def fileno(self) -> int:
        return self._fd

    def receive(self, limit: int) -> list[Packet]:
        self.n_asked += 1
        return self._device.receive(limit)


def test_only_readable_and_busy_ports_and_those_without_descriptor_are_asked(
    tmp_path: Path,
) -> None:
    dpif = UserspaceDpif("netdev", "ovs-netdev", ManualClock(1), Counters())
    factory = DummyFactory(None, "override")
    watched = []
    for number in (1, 2):
        device = factory.open(f"p{number}", "dummy", {})
        assert isinstance(device, DummyDevice)
        device.set_admin_up(True)
        watched.append(Watched(device, 1_000 + number))
        dpif.port_add(watched[-1])  # type: ignore[arg-type]
    polled = factory.open("p3", "dummy", {})
    assert isinstance(polled, DummyDevice)
    polled.set_admin_up(True)
    dpif.port_add(polled)

    dpif.run(1)
    assert [device.n_asked for device in watched] == [1, 1]
    assert dpif.poll_fds() == [1_001, 1_002]
    dpif.note_readable(1_001)
    watched[0].inject(FRAME)  # type: ignore[operator]
    assert dpif.run(2)
    assert [device.n_asked for device in watched] == [2, 1]
    # It had packets: it is asked once more.
    assert not dpif.run(3)
    assert [device.n_asked for device in watched] == [3, 1]
    polled.inject(FRAME)
    assert dpif.run(4)
    assert [device.n_asked for device in watched] == [3, 1]
    assert len(dpif.recv_upcalls(9)) == 2
    dpif.note_readable(os.O_RDWR + 5_000)
    assert not dpif.run(5)
    assert [device.n_asked for device in watched] == [3, 1]
