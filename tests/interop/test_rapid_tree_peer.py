"""RSTP: a bridge that hears the same BPDUs at the same times as Debian's goes through the same
states, says the same, and sends the same BPDUs.

Debian's 3.1 hangs when two of its bridges speak RSTP over patch ports, so each switch has one
bridge here, and the test is its neighbours; trees of several bridges are in
`tests/unit/protocols/test_rstp.py` and at the end of this.
"""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from tests.support.peer_pair import PeerPair, peer_pair
from tests.support.peer_switch import CommandFailed, PeerSwitch
from tests.support.peers import wait_until

from netloom.protocols import rstp_values as v

pytestmark = pytest.mark.interop

N_PORTS = 4
PORTS = range(1, N_PORTS + 1)
_TIMES = v.Times(15, 2, 20, 1)
OWN_MAC = 0xAA66AA660000


def set_up(switch: PeerSwitch) -> None:
    words = [
        "add-br",
        "br0",
        "--",
        "set",
        "bridge",
        "br0",
        "datapath_type=dummy",
        "rstp_enable=true",
        f"other-config:hwaddr={OWN_MAC.to_bytes(6, 'big').hex(':')}",
    ]
    for number in range(1, N_PORTS + 1):
        name = f"d{number}"
        words += ["--", "add-port", "br0", name, "--", "set", "interface", name, "type=dummy",
                  f"ofport_request={number}", f"options:tx_pcap={switch.directory}/{name}.pcap",
                  "--", "set", "port", name, f"other_config:rstp-port-num={number}",
                  f"other_config:rstp-path-cost={1000 * number}"]  # fmt: skip
    switch.run("ovs-vsctl", *words)


def prepare(switch: PeerSwitch) -> None:
    switch.control("time/stop")
    set_up(switch)


@pytest.fixture
def switches(tmp_path: Path) -> Iterator[PeerPair]:
    with peer_pair(tmp_path, prepare) as pair:
        yield pair


def pass_seconds(switches: PeerPair, seconds: int) -> None:
    """One by one. A barrier tells that each switch has gone round its main loop since: a bridge
    that did not hear of two seconds in between counts one."""
    for _ in range(seconds):
        switches.control("time/warp", "1000")
        for switch in switches:
            switch.run("ovs-ofctl", "dump-aggregate", "br0")


def sent(switch: PeerSwitch, name: str) -> list[str]:
    """The BPDUs that left at a port, without their addresses."""
    path = switch.directory / f"{name}.pcap"
    data = path.read_bytes()[24:] if path.exists() else b""
    frames = []
    while len(data) >= 16:
        size = struct.unpack_from("<I", data, 8)[0]
        frames.append(data[28 : 16 + size].hex())
        data = data[16 + size :]
    return frames


def agree_on_packets(switches: PeerPair, ports: Iterable[int] = PORTS) -> None:
    seen: list[list[list[str]]] = []

    def same() -> bool:
        seen[:] = [[sent(switch, f"d{n}") for n in ports] for switch in switches]
        return seen[0] == seen[1]

    assert wait_until(same), "\n".join(
        f"d{n}\n  theirs {theirs[-8:]}\n  ours   {ours[-8:]}"
        for n, theirs, ours in zip(ports, *seen, strict=True)
        if theirs != ours
    )


def bpdu_frame(bpdu: v.Bpdu) -> str:
    payload = b"\x42\x42\x03" + bpdu.encode()
    head = bytes.fromhex("0180c20000000000000000aa") + len(payload).to_bytes(2, "big")
    return (head + payload).hex()


def say(switches: PeerPair, port: int, bpdu: v.Bpdu) -> None:
    switches.control("netdev-dummy/receive", f"d{port}", bpdu_frame(bpdu))


def neighbour(
    root: int = 0x1000_0000_0000_0001, cost: int = 2000, bridge: int = 0x2000_0000_0000_0002,
    port: int = 0x8001, flags: int = v.PROPOSAL | 3 << 2, kind: int = v.RST_KIND,
    times: v.Times = _TIMES,
) -> v.Bpdu:  # fmt: skip
    return v.Bpdu(kind, flags, v.Vector(root, cost, bridge, port), times)


def test_ports_where_nobody_answers_become_edges(switches: PeerPair) -> None:
    for _ in range(9):
        switches.agree("rstp/show")
        agree_on_packets(switches)
        pass_seconds(switches, 1)
    assert "Forwarding" in switches.agree("rstp/show", "br0")
    with pytest.raises(CommandFailed, match="No such RSTP object"):
        switches[1].control("rstp/show", "br9")
    assert switches.agree("rstp/tcn", "br0") == "OK\n"


def test_a_proposal_is_answered_at_once(switches: PeerPair) -> None:
    pass_seconds(switches, 6)
    say(switches, 1, neighbour())
    shown = switches.agree("rstp/show")
    assert "root-port       d1" in shown
    agree_on_packets(switches)
    pass_seconds(switches, 1)
    say(switches, 2, neighbour(bridge=0x3000_0000_0000_0003))
    assert "d2         Alternate  Discarding" in switches.agree("rstp/show")
    say(switches, 3, neighbour(bridge=0x8000 << 48 | OWN_MAC, port=0x8004, cost=3000))
    switches.agree("rstp/show")
    for _ in range(8):
        pass_seconds(switches, 1)
        switches.agree("rstp/show")
        agree_on_packets(switches)


def random_bpdu(rng: random.Random) -> v.Bpdu:
    own = 0x8000 << 48 | OWN_MAC
    kind = rng.choice([v.RST_KIND] * 6 + [v.CONFIG_KIND, v.TCN_KIND])
    role = rng.choice([0, 1, 2, 3, 3, 3, 3])
    flags = role << 2
    for flag in (v.TOPOLOGY_CHANGE, v.PROPOSAL, v.LEARNING_FLAG, v.FORWARDING_FLAG, v.AGREEMENT):
        flags |= flag if rng.random() < 0.4 else 0
    bridge = rng.choice([0x2000 << 48 | 2, 0x3000 << 48 | 3, 0x9000 << 48 | 9, own])
    root = rng.choice([0x1000 << 48 | 1, 0x1000 << 48 | 1, 0x2000 << 48 | 2, bridge, own])
    return neighbour(
        root=root, cost=0 if root == bridge else rng.choice([1000, 2000, 5000]), bridge=bridge,
        port=0x8000 | rng.randint(1, 4), flags=flags, kind=kind,
        times=v.Times(15, 2, rng.choice([20, 20, 20, 6]), rng.choice([0, 1, 1, 2, 19])),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(12))
def test_random_neighbours_see_the_same_bridge(switches: PeerPair, seed: int) -> None:
    rng = random.Random(seed)
    always_up = set(PORTS)
    for step in range(60):
        choice = rng.random()
        if choice < 0.55:
            port, bpdu = rng.randint(1, N_PORTS), random_bpdu(rng)
            say(switches, port, bpdu)
            done = f"d{port} got {bpdu}"
        elif choice < 0.95:
            done = "a second"
            pass_seconds(switches, 1)
        else:
            port, state = rng.randint(1, N_PORTS), rng.choice(["up", "up", "down"])
            always_up.discard(port)
            switches.control("netdev-dummy/set-admin-state", f"d{port}", state)
            done = f"d{port} {state}"
        try:
            switches.agree("rstp/show")
            # One that is down: Debian's dummy devices send all the same.
            agree_on_packets(switches, always_up)
        except AssertionError as error:
            raise AssertionError(f"step {step}: {done}\n{error}") from error


def rows(switch: PeerSwitch, table: str, columns: str) -> list[str]:
    done = switch.run(
        "ovs-vsctl", "-f", "csv", "--no-headings", f"--columns={columns}", "list", table
    )
    return sorted(re.sub(r"rstp_(tx_count|uptime)=\d+", "", line)
                  for line in done.stdout.splitlines())  # fmt: skip


def test_the_database_and_controllers_are_told(switches: PeerPair) -> None:
    pass_seconds(switches, 6)
    say(switches, 2, neighbour())
    pass_seconds(switches, 2)
    answers: list[list[str]] = []
    for table, columns in (
        ("bridge", "name,rstp_status,status"), ("port", "name,rstp_status,rstp_statistics,status"),
    ):  # fmt: skip

        def same(table: str = table, columns: str = columns) -> bool:
            switches.control("time/warp", "100")
            answers[:] = [rows(switch, table, columns) for switch in switches]
            return answers[0] == answers[1]

        assert wait_until(same), "\n".join(str(answer) for answer in answers)
    shown = [
        re.sub(r"addr:.*|xid=\S+", "", switch.run("ovs-ofctl", "show", "br0").stdout)
        for switch in switches
    ]
    assert shown[0] == shown[1]
    for flow in ("in_port=1", "in_port=2", "in_port=3,dl_dst=01:80:c2:00:00:00",
                 "in_port=LOCAL,dl_dst=01:80:c2:00:00:00,dl_type=0x05ff"):  # fmt: skip
        traces = [switch.control("ofproto/trace", "br0", flow) for switch in switches]
        # The peer floods in the order of a hash table.
        theirs, ours = (sorted_outputs(trace) for trace in traces)
        assert ours == theirs, f"{flow}\n{theirs}\n{ours}"


def sorted_outputs(trace: str) -> str:
    return re.sub(
        r"(?<=Datapath actions: ).*", lambda found: ",".join(sorted(found[0].split(","))), trace
    )


def test_settings_of_bridge_and_ports(switches: PeerPair) -> None:
    changes = (
        "set bridge br0 other-config:rstp-priority=4100",
        "set bridge br0 other-config:rstp-address=00:00:00:00:00:07",
        "set bridge br0 other-config:rstp-max-age=10 other-config:rstp-forward-delay=8",
        "set bridge br0 other-config:rstp-max-age=40",
        "set port d1 other-config:rstp-port-priority=33",
        "set port d2 other-config:rstp-port-num=77 other-config:rstp-path-cost=9",
        "set port d3 other-config:rstp-enable=false",
        "set port d4 other-config:rstp-port-num=0",
        "remove port d4 other-config rstp-port-num",
        "del-port d1",
        "set bridge br0 stp_enable=true",
        "set bridge br0 rstp_enable=false stp_enable=false",
    )
    for change in changes:
        for switch in switches:
            switch.run("ovs-vsctl", *change.split())
        pass_seconds(switches, 3)
        try:
            switches.agree("rstp/show")
        except AssertionError as error:
            raise AssertionError(f"{change}\n{error}") from error


def test_a_root_port_that_is_removed_is_not_missed(switches: PeerPair) -> None:
    """Here we differ on purpose: Debian's 3.1 goes on with the root of a port that is gone."""
    pass_seconds(switches, 6)
    say(switches, 1, neighbour())
    assert "root-port       d1" in switches.agree("rstp/show")
    for switch in switches:
        switch.run("ovs-vsctl", "del-port", "d1")
    assert "unknown root port" in switches[0].control("rstp/show")
    assert "This bridge is the root" in switches[1].control("rstp/show")
