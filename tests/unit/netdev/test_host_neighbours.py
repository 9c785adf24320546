"""The kernel's ARP table, as in-band control reads it."""

from __future__ import annotations

from netloom.netdev.linux.host_neighbours import find_neighbour

TABLE = """\
IP address       HW type     Flags       HW address            Mask     Device
10.0.0.1         0x1         0x2         fe:54:00:12:34:56     *        br0
10.0.0.2         0x1         0x0         00:00:00:00:00:00     *        br0
10.0.0.3         0x1         0x6         fe:54:00:00:00:03     *        eth1
""".splitlines()


def test_complete_entry_of_the_device_is_found() -> None:
    assert find_neighbour(TABLE, "br0", 0x0A000001) == 0xFE5400123456
    assert find_neighbour(TABLE, "eth1", 0x0A000003) == 0xFE5400000003


def test_incomplete_entries_and_those_of_other_devices_do_not_count() -> None:
    assert find_neighbour(TABLE, "br0", 0x0A000002) is None
    assert find_neighbour(TABLE, "br0", 0x0A000003) is None
    assert find_neighbour([], "br0", 0x0A000001) is None
