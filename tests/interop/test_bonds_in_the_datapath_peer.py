"""`other_config:lb-output-action`: the data path spreads packets over a bond by itself, as the
peer's does."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest
from tests.support.peer_pair import PeerPair, peer_pair, stop_time
from tests.support.peer_switch import PeerSwitch
from tests.support.peers import wait_until

pytestmark = pytest.mark.interop
PACKET = (
    "in_port(7),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:06),eth_type(0x0800),"
    "ipv4(src=10.0.0.2,dst=10.0.0.1,proto=6,tos=0,ttl=64,frag=no),tcp(src={},dst=8)"
)
N_PACKETS = 60


def prepare(switch: PeerSwitch) -> None:
    """br0 with a bond of p1, p2, p3, each wired to a member of br1's bond."""
    words: list[str] = []
    for number in (0, 1):
        words += [
            "--", "add-br", f"br{number}", "--", "set", "bridge", f"br{number}",
            "datapath_type=dummy", f"other-config:hwaddr=aa:66:aa:66:00:0{number}",
        ]  # fmt: skip
    for number in (0, 1):
        members = [f"p{number * 3 + at}" for at in (1, 2, 3)]
        words += [
            "--", "add-bond", f"br{number}", f"bond{number}", *members, "bond_mode=balance-tcp",
            "lacp=active", "other-config:lacp-time=fast",
            "--", "add-port", f"br{number}", f"p{7 + number}", "--", "set", "interface",
            f"p{7 + number}", "type=dummy", f"ofport_request={7 + number}",
        ]  # fmt: skip
        for at, name in enumerate(members, 1):
            path = f"{switch.directory}/{at}.sock"
            wire = f"stream=unix:{path}" if number else f"pstream=punix:{path}"
            words += ["--", "set", "interface", name, "type=dummy",
                      f"ofport_request={number * 3 + at}", f"options:{wire}"]  # fmt: skip
    switch.run("ovs-vsctl", *words[1:])
    switch.run("ovs-vsctl", "set", "port", "bond0", "other-config:lb-output-action=true",
               "other-config:bond-rebalance-interval=10000")  # fmt: skip
    stop_time(switch)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PeerPair]:
    with peer_pair(tmp_path_factory.mktemp("bonds"), prepare) as pair:

        def is_negotiated() -> bool:
            pair.warp(1_000)
            shown = [switch.control("bond/show", "bond0") for switch in pair]
            return all(
                "negotiated" in text and len(re.findall(r"^member \w+: enabled", text, re.M)) == 3
                for text in shown
            )

        assert wait_until(is_negotiated)
        yield pair


def without_choice(text: str) -> str:
    """What `bond/show` says less which member is the active one, and when it will rebalance."""
    lines = text.splitlines()
    skipped = ("active member", "  active member", "next rebalance")
    return "\n".join(line for line in lines if not line.startswith(skipped))


def sorted_actions(text: str) -> str:
    return re.sub(
        r"(?<=actions: )\S+", lambda found: ",".join(sorted(found[0].split(","))), text
    )  # fmt: skip


def test_a_bond_is_shown_to_be_in_the_data_path(pair: PeerPair) -> None:
    shown = pair.agree("bond/show", "bond0", shown=without_choice)
    assert "lb_output action: enabled, bond-id: 1" in shown
    # A feature that Debian's release does not know.
    pair.agree(
        "dpif/show-dp-features", "br0", shown=lambda text: text.replace("psample action: No\n", "")
    )


def test_a_packet_to_the_bond_is_traced_to_it(pair: PeerPair) -> None:
    shown = pair.agree(
        "ofproto/trace", "br0", "in_port=7,tcp,dl_src=50:54:00:00:00:05", shown=sorted_actions
    )
    assert "lb_output(1)" in shown


def test_buckets_are_shown_with_their_members(pair: PeerPair) -> None:
    # Which member has which bucket is left to chance; each has some.
    pattern = re.compile(r"member (\d+)$", re.MULTILINE)
    pair.agree("dpif-netdev/bond-show", shown=lambda text: pattern.sub("member X", text))
    for switch in pair:
        shares = Counter(pattern.findall(switch.control("dpif-netdev/bond-show")))
        assert shares.keys() == {"1", "2", "3"} and sum(shares.values()) == 256


def test_packets_are_spread_and_counted_by_one_flow(pair: PeerPair) -> None:
    for sport in range(1, N_PACKETS + 1):
        pair.control("netdev-dummy/receive", "p7", PACKET.format(sport))

    def arrived(switch: PeerSwitch) -> str:
        shown = switch.run("ovs-ofctl", "dump-ports", "br1", "8").stdout
        return str(re.findall(r"tx pkts=(\d+)", shown))

    pair.agree_on(arrived, each_time=lambda: pair.warp(100))
    assert arrived(pair.ours) == str([str(N_PACKETS)])
    for switch in pair:
        flows = switch.control("dpctl/dump-flows").splitlines()
        (flow,) = [line for line in flows if "in_port(7)" in line]
        # The first packet is the one that brought it.
        assert f"packets:{N_PACKETS - 1}," in flow and "lb_output(1)" in flow


def test_the_bond_leaves_the_data_path_when_it_is_told_to(pair: PeerPair) -> None:
    pair.configure("remove", "port", "bond0", "other-config", "lb-output-action")
    pair.warp(1_000)
    assert pair.agree("dpif-netdev/bond-show") == ""
    assert "lb_output action: disabled" in pair.agree("bond/show", "bond0", shown=without_choice)
    shown = pair.agree(
        "ofproto/trace", "br0", "in_port=7,tcp,dl_src=50:54:00:00:00:05", shown=sorted_actions
    )
    assert "recirc(" in shown
