"""Coverage counters: ours are called as the peer's, and count the same of what both do."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from tests.support.peer_pair import PeerPair, peer_pair
from tests.support.peer_switch import CommandFailed, PeerSwitch
from tests.support.peers import SCHEMA, peer_environment, wait_until

from netloom.programs.coverage_events import COUNTED, NEVER

pytestmark = pytest.mark.interop
#: Names of ours that the peer does not have, or only in later releases.
OWN = {
    "conntrack_invalid_fragment", "conntrack_invalid_header", "conntrack_invalid_icmp",
    "conntrack_invalid_state", "conntrack_l3csum_checked", "conntrack_l4csum_checked",
    "conntrack_nat_exhausted", "conntrack_zone_full", "datapath_drop_hw_post_process",
    "datapath_drop_hw_post_process_consumed", "dp_packet_batch_grow", "dp_packet_gso",
    "dp_packet_partial_gso",
    "dpif_netdev_output_grow_queues", "dpif_netdev_recirc_big_batch",
    "drop_action_tunnel_header_build_failed", "drop_action_tunnel_neigh_cache_miss",
    "drop_action_tunnel_output_no_ethernet", "drop_action_tunnel_routing_failed",
    "ipf_l3csum_checked", "native_tnl_l3csum_checked", "native_tnl_l3csum_err",
    "native_tnl_l4csum_checked", "native_tnl_l4csum_err",
    "netdev_linux_invalid_l4_csum", "netdev_linux_unknown_l4_csum", "revalidate_missing_dp_flow",
    "tc_netlink_malformed_reply", "ukey_dp_change", "ukey_replace_contention",
    "vhost_tx_contention",
}  # fmt: skip
#: Of these, what only a switch has.
OWN_OF_SWITCHES = {"revalidate_missing_dp_flow"}
PACKET = (
    "in_port({port}),eth(src=50:54:00:00:00:{src:02x},dst=50:54:00:00:00:07),eth_type(0x0800),"
    "ipv4(src=192.168.0.1,dst=192.168.0.2,proto=17,tos=0,ttl=64,frag=no),udp(src=8,dst=9)"
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PeerPair]:
    with peer_pair(tmp_path_factory.mktemp("counters"), prepare) as pair:
        yield pair


def prepare(switch: PeerSwitch) -> None:
    switch.add_bridge_of_two()
    switch.run("ovs-ofctl", "add-flow", "br0", "actions=normal")


def read(switch: PeerSwitch, name: str) -> int:
    return int(switch.control("coverage/read-counter", name))


def count(pair: PeerPair, wanted: dict[str, int], *commands: tuple[str, ...]) -> None:
    """With these commands the counters of both switches grow by so much, the same if that is -1.
    What the peer's threads have counted is known a second later."""
    before = {id(switch): look(switch, wanted) for switch in pair}
    for switch in pair:
        for words in commands:
            if words[0].startswith("ovs-"):
                switch.run(*words)
            else:
                switch.appctl(*words)
    seen: list[dict[str, int]] = []

    def is_right() -> bool:
        seen[:] = [
            {name: n - before[id(switch)][name] for name, n in look(switch, wanted).items()}
            for switch in pair
        ]
        theirs, ours = seen
        return all(
            theirs[name] == ours[name] and (ours[name] == n if n >= 0 else ours[name] > 0)
            for name, n in wanted.items()
        )

    assert wait_until(is_right), seen


def look(switch: PeerSwitch, names: Iterable[str]) -> dict[str, int]:
    return {name: read(switch, name) for name in names}


def receive(port: int, src: int = 5) -> tuple[str, ...]:
    return "netdev-dummy/receive", f"p{port}", PACKET.format(port=port, src=src)


def test_every_counter_has_the_name_that_the_peer_gives_it(pair: PeerPair) -> None:
    for name in [*COUNTED, *(name for names in NEVER.values() for name in names)]:
        assert read(pair.ours, name) >= 0
        if name not in OWN:
            assert read(pair.theirs, name) >= 0


def test_no_counter_of_the_peer_is_missing(pair: PeerPair) -> None:
    shown = pair.theirs.control("coverage/show")
    hit = set(re.findall(r"^(\w+)\s.*total: \d+$", shown, re.MULTILINE))
    (n_never,) = re.findall(r"^(\d+) events never hit$", shown, re.MULTILINE)
    known = {*COUNTED, *(name for names in NEVER.values() for name in names)}
    assert hit <= known
    assert len(known - OWN) == len(hit) + int(n_never)


def test_a_database_server_has_the_counters_of_its_peer(pair: PeerPair, tmp_path: Path) -> None:
    database, socket = tmp_path / "conf.db", tmp_path / "server.ctl"
    env = peer_environment(tmp_path)
    pair.theirs.run("ovsdb-tool", "create", str(database), str(SCHEMA))
    server = subprocess.Popen(
        (sys.executable, "-m", "netloom.programs.ovsdb_server", f"--unixctl={socket}", "--no-dbs"),
        env=env,
    )
    try:
        assert wait_until(socket.exists)
        run = pair.theirs.run
        run("ovs-appctl", "-t", str(socket), "ovsdb-server/add-db", str(database))
        theirs = str(pair.theirs.directory / "db.ctl")
        known = set()
        for target in (theirs, str(socket)):
            shown = run("ovs-appctl", "-t", target, "coverage/show").stdout
            hit = set(re.findall(r"^(\w+)\s.*total: \d+$", shown, re.MULTILINE))
            (n_never,) = re.findall(r"^(\d+) events never hit$", shown, re.MULTILINE)
            known.add(
                len(hit) + int(n_never) - (len(OWN - OWN_OF_SWITCHES) if target != theirs else 0)
            )
            locked = run("ovs-appctl", "-t", target, "coverage/read-counter", "lockfile_lock")
            assert locked.stdout == "1\n"
        assert len(known) == 1, known
    finally:
        server.terminate()
        server.wait(60)


def test_a_counter_that_nobody_knows_is_refused_alike(pair: PeerPair) -> None:
    answers = []
    for switch in pair:
        with pytest.raises(CommandFailed) as failed:
            switch.control("coverage/read-counter", "no_such_thing")
        answers.append(str(failed.value))
    assert answers[0] == answers[1] == "No such counter\n"


def test_requests_of_controllers_are_counted(pair: PeerPair) -> None:
    counts = {"ofproto_recv_openflow": -1, "vconn_received": -1, "vconn_sent": -1,
              "rconn_queued": -1, "rconn_sent": -1, "ofproto_packet_out": 1,
              "ofproto_queue_req": 1, "rev_flow_table": 1, "dpif_meter_set": 1,
              "dpif_meter_get": 1}  # fmt: skip
    frame = "50540000000750540000000108060001"
    count(
        pair,
        counts,
        ("ovs-ofctl", "add-flow", "br0", "priority=7,in_port=9,actions=drop"),
        ("ovs-ofctl", "packet-out", "br0", "1", "2", frame),
        ("ovs-ofctl", "queue-stats", "br0"),
        ("ovs-ofctl", "dump-flows", "br0"),
        ("ovs-ofctl", "-OOpenFlow13", "add-meter", "br0", "meter=1,pktps,band=type=drop,rate=9"),
        ("ovs-ofctl", "-OOpenFlow13", "meter-stats", "br0"),
    )


def test_packets_and_addresses_are_counted(pair: PeerPair) -> None:
    count(
        pair,
        {"netdev_received": 4, "netdev_sent": -1, "mac_learning_learned": 2,
         "mac_learning_static_none_move": 1},
        receive(1),
        receive(1),
        receive(2, 6),
        ("fdb/add", "br0", "p1", "0", "50:54:00:00:00:0a"),
        receive(2, 10),
    )  # fmt: skip


def test_changes_by_hand_are_counted(pair: PeerPair) -> None:
    count(
        pair,
        {"rev_port_toggled": 1, "ofproto_update_port": 1, "dpif_flow_flush": 1, "dpif_flow_put": 1},
        ("netdev-dummy/set-admin-state", "p2", "down"),
        ("dpctl/del-flows",),
        ("dpctl/add-flow", "in_port(7),eth(),eth_type(0x1234)", "1"),
    )


def test_flows_that_end_are_counted(pair: PeerPair) -> None:
    flow = "priority=9,hard_timeout=1,in_port=9,actions=drop"
    count(pair, {"ofproto_dpif_expired": 1}, ("ovs-ofctl", "add-flow", "br0", flow))


def test_broken_headers_are_counted(pair: PeerPair) -> None:
    macs = "505400000007505400000005"
    for tail, name in (
        ("08004500001c0000", "ipv4_pkt_too_short"),
        ("08004500003c000000004011b1e7c0a80001c0a800020001000200080000", "ipv4_pkt_len_error"),
        ("86dd6000000000081140", "ipv6_pkt_too_short"),
        ("86dd6000000000501140" + 64 * "0" + "0001000200080000", "ipv6_pkt_len_error"),
    ):
        counter = f"miniflow_extract_{name}"
        before = [read(switch, counter) for switch in pair]
        pair.control("netdev-dummy/receive", "p1", macs + tail)
        # The peer's dummies read packets, too: it counts each twice.
        pair.agree_on(
            lambda switch, counter=counter, before=before: (  # type: ignore[misc]
                (read(switch, counter) - before[switch is pair.ours])
                // (1 if switch is pair.ours else 2)
            ),
        )
        assert read(pair.ours, counter) == before[1] + 1
