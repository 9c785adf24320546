"""Which thread polls which queue, beside Debian's switch: the same cores, ports and configuration
give the same assignment, whatever is changed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.peer_pair import PeerPair, peer_pair
from tests.support.peer_switch import ALL_DUMMIES, PeerSwitch

pytestmark = pytest.mark.interop
OPTIONS = (*ALL_DUMMIES, "--dummy-numa=0,0,0,1,1,8")


def prepare(switch: PeerSwitch) -> None:
    switch.run(
        "ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy",
        "--", "add-port", "br0", "p1", "--", "set", "interface", "p1", "type=dummy-pmd",
        "options:n_rxq=5", "--", "add-port", "br0", "p2", "--", "set", "interface", "p2",
        "type=dummy-pmd", "options:n_rxq=2", "options:numa_id=1",
    )  # fmt: skip


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PeerPair]:
    with peer_pair(tmp_path_factory.mktemp("threads"), prepare, OPTIONS) as pair:
        yield pair


def without_usage(text: str) -> str:
    """Who polls what, less what it costs."""
    return "\n".join(line.partition("   pmd usage")[0] for line in text.splitlines()
                     if "overhead" not in line)  # fmt: skip


def root(*words: str) -> tuple[str, ...]:
    return ("set", "Open_vSwitch", ".", *(f"other_config:{word}" for word in words))


@pytest.mark.parametrize(
    "words",
    [
        root("pmd-cpu-mask=0x3f"),
        root("pmd-rxq-assign=roundrobin"),
        root("pmd-rxq-assign=group"),
        ("set", "interface", "p1", "other_config:pmd-rxq-affinity=0:2,3:4"),
        root("pmd-rxq-isolate=false"),
        root("pmd-rxq-assign=cycles"),
        root("pmd-cpu-mask=7"),
        ("set", "interface", "p2", "options:n_rxq=4", "options:numa_id=8"),
        ("remove", "interface", "p1", "other_config", "pmd-rxq-affinity"),
        ("remove", "Open_vSwitch", ".", "other_config", "pmd-cpu-mask"),
        ("del-port", "p1"),
    ],
    ids=" ".join,
)
def test_each_change_gives_the_same_assignment(pair: PeerPair, words: tuple[str, ...]) -> None:
    pair.configure(*words)
    assert "queue-id" in pair.agree("dpif-netdev/pmd-rxq-show", shown=without_usage)


def test_flows_added_by_hand_are_those_of_every_thread(pair: PeerPair) -> None:
    flow = "in_port(1),eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02),eth_type(0x1234)"
    pair.configure(*root("pmd-cpu-mask=3"))
    pair.control("dpctl/add-flow", flow, "2")
    for thread in ("-1", "0", "1", "2"):
        shown = pair.agree("dpctl/dump-flows", f"pmd={thread}")
        assert ("0x1234" in shown) == (thread != "2")
    for switch in pair:
        headings = [
            line
            for line in switch.control("dpctl/dump-flows").splitlines()
            if line.startswith("flow-dump")
        ]
        assert sorted(headings) == [
            "flow-dump from pmd on cpu core: 0",
            "flow-dump from pmd on cpu core: 1",
            "flow-dump from the main thread:",
        ]
    pair.control("dpctl/del-flow", flow)
    assert pair.agree("dpctl/dump-flows") == ""


def test_options_choose_threads_and_data_paths(pair: PeerPair) -> None:
    for words in (("-pmd", "1"), ("-pmd", "9"), ("nowhere",), ("ovs-dummy",)):
        pair.agree("dpif-netdev/pmd-rxq-show", *words, shown=without_usage)
