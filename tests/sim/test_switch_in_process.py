"""The whole switch daemon in one process: a real database, a real replica, fake bridges.

The wire is cut and mended, devices come and go, other clients write: what the rows say at the end
is what a user would see.
"""

from __future__ import annotations

import random

import pytest
from tests.support.fake_switch import FakeConnections, FakeDataPaths, FakeDevices
from tests.support.memory_database import MemoryDatabase

from netloom.base.clock import ManualClock
from netloom.ofproto.settings import ControllerStatus
from netloom.ovsdb.idl import Idl
from netloom.vswitchd.switch import TABLES, Switch


class Stand:
    def __init__(self, **devices: str) -> None:
        self.clock = ManualClock(1_000_000)
        self.database = MemoryDatabase(self.clock)
        self.devices = FakeDevices(**devices)
        self.connections = FakeConnections()
        self.start()

    def start(self) -> None:
        """Start the daemon, or a new one after `kill`."""
        self.idl = Idl("Open_vSwitch", TABLES)
        self.wire = self.database.wire(self.idl)
        self.datapaths = FakeDataPaths()
        self.switch = Switch(self.idl, self.devices, self.datapaths, self.connections)
        self.wire.connect()

    def settle(self, ms: int = 1_000) -> None:
        """Let everything happen that happens within a second."""
        for _ in range(20):
            while self.wire.step():
                continue
            self.switch.run(self.clock.now_ms())
            self.clock.advance(ms // 20)
        while self.wire.step():
            continue

    def interface(self, name: str) -> dict[str, object]:
        (row,) = self.database.select("Interface", name=name)
        return row

    def root(self) -> dict[str, object]:
        (row,) = self.database.select("Open_vSwitch")
        return row


def test_an_empty_database_makes_the_daemon_ready() -> None:
    stand = Stand()
    assert not stand.switch.ready
    stand.settle()
    assert stand.switch.ready
    assert stand.root()["datapath_types"] == ["netdev", "system"]
    assert stand.root()["iface_types"] == ["dummy", "internal", "patch", "system"]
    assert stand.root()["dpdk_version"] == "none"


def test_a_daemon_that_has_nothing_to_write_is_ready_at_once() -> None:
    stand = Stand()
    stand.settle()
    stand.wire.cut()
    stand.start()
    while stand.wire.step():
        continue
    stand.switch.run(stand.clock.now_ms())
    assert stand.switch.ready


def test_a_bridge_comes_up_and_is_told() -> None:
    stand = Stand(p1="00:00:5e:00:53:01")
    number = stand.database.add_bridge("br0")
    number = stand.database.add_port("br0", "p1")
    stand.settle()
    assert stand.root()["cur_cfg"] == number
    bridge = stand.database.select("Bridge", name="br0")[0]
    assert bridge["datapath_id"] == "000000005e005301"
    assert bridge["datapath_version"] == "<built-in>"
    row = stand.interface("p1")
    assert (row["ofport"], row["error"], row["admin_state"], row["link_state"]) == (
        1,
        [],
        "up",
        "up",
    )
    assert (row["mac_in_use"], row["mtu"], row["ifindex"]) == ("00:00:5e:00:53:01", 1500, 7)
    assert row["statistics"]["rx_packets"] == 0  # type: ignore[index]
    assert stand.interface("br0")["ofport"] == 65534


def test_a_missing_device_is_told_on_its_row_and_comes_back() -> None:
    stand = Stand()
    stand.database.add_bridge("br0")
    number = stand.database.add_port("br0", "p1")
    stand.settle()
    row = stand.interface("p1")
    assert row["error"] == "could not open network device p1 (No such device)"
    assert (row["ofport"], row["mtu"], row["statistics"]) == (-1, [], {})
    assert stand.root()["cur_cfg"] == number, "a failure does not hold up the configuration"
    stand.devices.appear("p1")
    stand.settle()
    row = stand.interface("p1")
    assert (row["error"], row["ofport"]) == ([], 1)


def test_a_vanished_device_is_told_and_found_again_within_one_look() -> None:
    stand = Stand(p1="00:00:5e:00:53:01")
    stand.database.add_bridge("br0")
    stand.database.add_port("br0", "p1")
    stand.settle()
    stand.devices.vanish("p1")
    stand.settle()
    assert stand.interface("p1")["error"] == "could not open network device p1 (No such device)"
    assert stand.interface("p1")["ofport"] == -1
    stand.devices.appear("p1")
    stand.settle()
    assert stand.interface("p1")["ofport"] == 1


def test_own_writes_do_not_start_another_round() -> None:
    stand = Stand(p1="00:00:5e:00:53:01")
    stand.database.add_bridge("br0")
    stand.database.add_port("br0", "p1")
    stand.settle()
    before = stand.switch.applier.version
    stand.settle(20_000)
    assert stand.switch.applier.version == before


def test_counters_are_written_every_five_seconds() -> None:
    stand = Stand(p1="00:00:5e:00:53:01")
    stand.database.add_bridge("br0")
    stand.database.add_port("br0", "p1")
    stand.settle()
    stand.devices.open_devices["p1"].send([None] * 3)  # type: ignore[list-item]
    stand.settle(2_000)
    assert stand.interface("p1")["statistics"]["tx_packets"] == 0  # type: ignore[index]
    stand.settle(4_000)
    assert stand.interface("p1")["statistics"]["tx_packets"] == 3  # type: ignore[index]


def test_a_lost_database_leaves_bridges_alone_and_is_caught_up_with() -> None:
    stand = Stand(p1="00:00:5e:00:53:01", p2="00:00:5e:00:53:02")
    stand.database.add_bridge("br0")
    stand.database.add_port("br0", "p1")
    stand.settle()
    stand.wire.cut()
    number = stand.database.add_port("br0", "p2")
    stand.settle()
    assert len(stand.datapaths.made) == 1
    assert set(stand.datapaths.made[0].numbers) == {"br0", "p1"}
    stand.wire.connect()
    stand.settle()
    assert stand.root()["cur_cfg"] == number
    assert len(stand.datapaths.made) == 1
    assert set(stand.datapaths.made[0].numbers) == {"br0", "p1", "p2"}


@pytest.mark.parametrize("cut", [False, True])
def test_an_idle_daemon_sleeps(cut: bool) -> None:
    stand = Stand(p1="00:00:5e:00:53:01")
    stand.database.add_bridge("br0")
    stand.database.add_port("br0", "p1")
    stand.settle()
    if cut:
        stand.wire.cut()
        stand.devices.touch()
    stand.settle()
    turns = 0
    for _ in range(100):
        due_ms = stand.switch.deadline()
        if due_ms is not None and due_ms <= stand.clock.now_ms():
            turns += 1
        stand.switch.run(stand.clock.now_ms())
        while stand.wire.step():
            stand.switch.run(stand.clock.now_ms())
        stand.clock.advance(100)
    assert turns <= 3, "counters every five seconds, and nothing else"


def test_a_new_daemon_finds_everything_as_it_was() -> None:
    stand = Stand(p1="00:00:5e:00:53:01", p2="00:00:5e:00:53:02")
    stand.database.add_bridge("br0")
    stand.database.add_port("br0", "p2")
    stand.settle()
    stand.database.add_port("br0", "p1")
    stand.settle()
    before = {name: stand.interface(name)["ofport"] for name in ("br0", "p1", "p2")}
    assert before == {"br0": 65534, "p1": 2, "p2": 1}
    stand.wire.cut()
    stand.start()
    stand.settle()
    assert {name: stand.interface(name)["ofport"] for name in before} == before


def test_the_second_daemon_waits_for_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    stand = Stand()
    stand.database.add_bridge("br0")
    stand.settle()
    first, first_wire, first_paths = stand.switch, stand.wire, stand.datapaths
    stand.start()
    stand.settle()
    assert stand.datapaths.made == []
    assert first_paths.made[0].numbers == {"br0": 65534}
    assert not stand.switch.ready
    assert "another ovs-vswitchd process is running" in capsys.readouterr().err
    first.close()
    first_wire.cut()
    stand.settle()
    assert stand.datapaths.made[0].numbers == {"br0": 65534}


def test_a_bridge_that_cannot_be_had_has_empty_columns() -> None:
    stand = Stand()
    number = stand.database.add_bridge("br0", datapath_type="bogus")
    stand.settle()
    bridge = stand.database.select("Bridge", name="br0")[0]
    assert (bridge["datapath_id"], bridge["datapath_version"]) == ([], "")
    assert stand.interface("br0")["ofport"] == []
    assert stand.root()["cur_cfg"] == number


def test_a_patch_port_without_a_usable_peer_says_so_until_it_has_one() -> None:
    stand = Stand()
    stand.database.add_bridge("br0")
    stand.database.add_bridge("br1")
    stand.database.add_port("br0", "pa", {"type": "patch", "options": ["map", [["peer", "pb"]]]})
    stand.settle()
    assert stand.interface("pa")["error"] == "No usable peer 'pb' exists in 'system' datapath."
    stand.database.add_port("br1", "pb", {"type": "patch", "options": ["map", [["peer", "pa"]]]})
    stand.settle()
    assert stand.interface("pa")["error"] == []
    assert stand.interface("pb")["error"] == []
    stand.database.set("Interface", "pb", options=["map", [["peer", "px"]]])
    stand.settle()
    assert stand.interface("pa")["error"] == "No usable peer 'pb' exists in 'system' datapath."


def test_a_controllers_state_is_told_when_it_changes() -> None:
    stand = Stand()
    stand.database.add_bridge("br0")
    target = "tcp:127.0.0.1:6653"
    stand.database.reconfigure(
        {
            "op": "insert",
            "table": "Controller",
            "row": {"target": target},
            "uuid-name": "controller",
        },
        {
            "op": "update",
            "table": "Bridge",
            "where": [["name", "==", "br0"]],
            "row": {"controller": ["named-uuid", "controller"]},
        },
    )
    stand.connections.statuses["br0", target] = ControllerStatus(
        target=target, is_connected=False, state="BACKOFF", last_error="Connection refused"
    )
    stand.settle()
    row = stand.database.select("Controller")[0]
    assert (row["is_connected"], row["role"]) == (False, [])
    assert row["status"] == {"last_error": "Connection refused", "state": "BACKOFF"}
    stand.connections.statuses["br0", target] = ControllerStatus(
        target=target, is_connected=True, role="master", state="ACTIVE", sec_since_connect=0
    )
    stand.connections.serial += 1
    stand.settle(500)
    row = stand.database.select("Controller")[0]
    assert (row["is_connected"], row["role"]) == (True, "master")
    assert row["status"] == {"sec_since_connect": "0", "state": "ACTIVE"}


def test_columns_that_somebody_else_overwrites_are_put_right() -> None:
    stand = Stand(p1="00:00:5e:00:53:01")
    stand.database.add_bridge("br0")
    stand.database.add_port("br0", "p1")
    stand.settle()
    stand.database.transact(
        {
            "op": "update",
            "table": "Interface",
            "where": [["name", "==", "p1"]],
            "row": {"ofport": 99, "error": "nonsense"},
        }
    )
    stand.settle()
    row = stand.interface("p1")
    assert (row["ofport"], row["error"]) == (1, [])


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_the_rows_tell_the_truth_in_the_end(seed: int) -> None:
    """Ports, devices and the wire change at random; then everything calms down."""
    print(f"seed {seed}")
    chance = random.Random(seed)
    stand = Stand()
    stand.database.add_bridge("br0")
    names = [f"p{i}" for i in range(5)]
    configured: set[str] = set()
    is_cut = False
    for _ in range(120):
        name = chance.choice(names)
        match chance.randrange(6):
            case 0:
                (configured.remove if name in configured else configured.add)(name)
                change = stand.database.add_port if name in configured else None
                (change or stand.database.delete_port)("br0", name)
            case 1:
                (stand.devices.vanish if name in stand.devices.existing else stand.devices.appear)(
                    name
                )
            case 2:
                (stand.wire.connect if is_cut else stand.wire.cut)()
                is_cut = not is_cut
            case 3 if name in configured:
                stand.database.set("Port", name, tag=chance.randrange(1, 4))
            case _:
                stand.wire.step()
                stand.switch.run(stand.clock.now_ms())
                stand.clock.advance(chance.randrange(200))
    if is_cut:
        stand.wire.connect()
    stand.settle()
    bridge = stand.datapaths.made[0]
    assert set(bridge.numbers) == {"br0"} | (configured & set(stand.devices.existing))
    assert set(bridge.bundles) == set(bridge.numbers)
    for name in configured:
        row = stand.interface(name)
        if name in stand.devices.existing:
            assert (row["ofport"], row["error"]) == (bridge.numbers[name], [])
        else:
            assert row["error"] == f"could not open network device {name} (No such device)"
    assert stand.root()["cur_cfg"] == stand.root()["next_cfg"]
