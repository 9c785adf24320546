"""`dpctl/...`: the texts that Debian's ovs-vswitchd gives."""

from __future__ import annotations

import pytest

from netloom.base.clock import ManualClock
from netloom.base.counters import Counters
from netloom.base.errors import CommandError
from netloom.base.log import CONSOLE, DBG, vlog
from netloom.datapath.dpctl import Dpctl
from netloom.datapath.dpif import LOCAL_PORT
from netloom.datapath.userspace.dpif import UserspaceDpif
from netloom.netdev.dummy import DummyFactory

FLOW = "in_port(1),eth(),eth_type(0x0800),ipv4(dst=10.0.0.0/255.0.0.0,frag=no)"
PRINTED = "recirc_id(0)," + FLOW
PACKET = bytes.fromhex(
    "500000000002 500000000001 0800 4500002800000000400600000a0000010a000002"
    "000100500000000000000000501200000000 0000"
)
HEADING = "flow-dump from the main thread:\n"


class Commands:
    def __init__(self) -> None:
        self.clock = ManualClock(5_000)
        self.factory = DummyFactory(None, "override")
        self.files: dict[str, str] = {}
        self.dpifs = [UserspaceDpif("system", "ovs-system", self.clock, Counters())]
        self.dpifs[0].is_dummy = True
        self.open("ovs-system", "dummy-internal", LOCAL_PORT)
        self.open("p1", "system")
        self.open("p2", "system")
        self.open("br0", "dummy-internal")
        dpctl = Dpctl(lambda: self.dpifs, self.clock.now_ms, self.read)
        self.handlers = {command.name: command.handler for command in dpctl.commands()}

    def open(self, name: str, type_: str, number: int | None = None) -> None:
        device = self.factory.open(name, type_, {})
        self.dpifs[0].port_add(device, number)  # type: ignore[arg-type]

    def read(self, path: str) -> str:
        if path not in self.files:
            raise FileNotFoundError(2, "No such file or directory")
        return self.files[path]

    def __call__(self, name: str, *args: str) -> str:
        return self.handlers[f"dpctl/{name}"](list(args))

    def fails(self, name: str, *args: str) -> str:
        with pytest.raises(CommandError) as raised:
            self(name, *args)
        return str(raised.value)


@pytest.fixture
def dpctl() -> Commands:
    return Commands()


def test_show_lists_ports_with_the_numbers_of_their_names(dpctl: Commands) -> None:
    shown = (
        "system@ovs-system:\n  lookups: hit:0 missed:0 lost:0\n  flows: 0\n"
        "  port 0: ovs-system (dummy-internal)\n  port 1: p1\n  port 2: p2\n"
        "  port 100: br0 (dummy-internal)\n"
    )
    assert dpctl("show") == shown
    assert dpctl("show", "system@ovs-system") == shown
    assert dpctl("show", "ovs-system") == shown
    assert dpctl("dump-dps") == "system@ovs-system\n"


def test_show_counts_what_ports_saw(dpctl: Commands) -> None:
    dpctl("add-flow", FLOW, "2")
    dpctl.factory.devices["p1"].inject(PACKET)
    dpctl.dpifs[0].run(6_000)
    shown = dpctl("show", "-s")
    assert "  port 1: p1\n    RX packets:1 errors:? dropped:? overruns:? frame:?\n" in shown
    assert f"    RX bytes:0  TX bytes:{len(PACKET)}\n" in shown


def test_a_flow_is_added_shown_and_deleted(dpctl: Commands) -> None:
    assert dpctl("dump-flows") == ""
    assert dpctl("add-flow", FLOW, "push_vlan(vid=5,pcp=0),2") == ""
    line = f"{PRINTED}, packets:0, bytes:0, used:never, actions:push_vlan(vid=5,pcp=0),"
    assert dpctl("dump-flows") == f"{HEADING}{line}2\n"
    assert (
        dpctl("dump-flows", "--names")
        == HEADING + line.replace("in_port(1)", "in_port(p1)") + "p2\n"
    )
    assert dpctl("del-flow", "-s", FLOW) == "packets:0, bytes:0, used:never\n"
    assert dpctl("dump-flows") == ""


def test_statistics_of_a_flow_are_shown(dpctl: Commands) -> None:
    dpctl("add-flow", FLOW, "2")
    dpctl.factory.devices["p1"].inject(PACKET)
    dpctl.dpifs[0].run(6_000)
    dpctl.clock.advance(1_003)
    assert f"packets:1, bytes:{len(PACKET)}, used:0.003s, flags:S., actions:2" in dpctl(
        "dump-flows"
    )


def test_more_shows_what_is_wildcarded_and_an_id_that_finds_the_flow(dpctl: Commands) -> None:
    dpctl("add-flow", FLOW, "2")
    (line,) = dpctl("dump-flows", "-m").splitlines()[1:]
    ufid, _, rest = line.partition(", ")
    assert rest.startswith("recirc_id(0),dp_hash(0/0),skb_priority(0/0)")
    assert "in_port(p1),skb_mark(0/0),ct_state(0/0)" in rest
    assert rest.endswith(", packets:0, bytes:0, used:never, dp:ovs, actions:p2")
    assert dpctl("get-flow", ufid) == f"{PRINTED}, packets:0, bytes:0, used:never, actions:2\n"
    assert dpctl("del-flow", ufid) == ""
    assert dpctl.fails("get-flow", ufid) == (
        "ovs-vswitchd: getting flow (No such file or directory)"
    )


def test_filters_look_at_what_both_sides_match(dpctl: Commands) -> None:
    dpctl("add-flow", FLOW, "2")
    assert dpctl("dump-flows", "filter=in_port=p1,ip")
    assert dpctl("dump-flows", "filter=ip,nw_dst=10.1.1.1")
    assert dpctl("dump-flows", "filter=tcp")
    assert dpctl("dump-flows", "filter=in_port=p2") == ""
    assert dpctl("dump-flows", "filter=ip,nw_dst=11.0.0.1") == ""
    assert dpctl("dump-flows", "type=offloaded") == ""
    assert dpctl("dump-flows", "type=ovs,dpdk")
    assert dpctl.fails("dump-flows", "filter=bogus=1") == (
        "ovs-vswitchd: Failed to parse filter (bogus=1: unknown field bogus)"
    )
    assert dpctl.fails("dump-flows", "type=bogus") == (
        "ovs-vswitchd: Failed to parse type (bogus) (Invalid argument)"
    )


def test_mistakes_have_the_peers_messages(dpctl: Commands) -> None:
    dpctl("add-flow", FLOW, "2")
    update = "ovs-vswitchd: updating flow table"
    assert dpctl.fails("add-flow", FLOW, "1") == f"{update} (File exists)"
    other = FLOW.replace("10.", "11.", 1)
    assert dpctl.fails("mod-flow", other, "1") == f"{update} (No such file or directory)"
    assert dpctl.fails("mod-flow", "--clear", FLOW, "1") == f"{update} (Operation not supported)"
    assert dpctl.fails("add-flow", "in_port(1),eth()", "1") == f"{update} (Invalid argument)"
    assert dpctl.fails("add-flow", FLOW, "bogus") == (
        "ovs-vswitchd: parsing actions (Invalid argument)"
    )
    assert dpctl.fails("add-flow", "foo", "1") == (
        "ovs-vswitchd: parsing flow key (syntax error at foo) (Invalid argument)"
    )
    assert dpctl.fails("del-flow", other) == (
        "ovs-vswitchd: deleting flow (No such file or directory)\n"
        "Perhaps you need to specify a UFID?"
    )
    # Some are told, and the command has not failed.
    assert dpctl("get-flow", "x") == "ovs-vswitchd: parsing flow ufid\n"
    broken = "ovs-vswitchd: parsing flow ufid (Invalid argument)"
    assert dpctl("get-flow", "ufid:12") == f"{broken}\n"
    assert dpctl.fails("add-flow", f"ufid:12,{FLOW}", "1") == broken
    assert dpctl.fails("dump-flows", "--bogus") == "Unrecognized option --bogus"
    assert dpctl.fails("dump-flows", "-z") == "Unrecognized option -z"
    assert dpctl.fails("dump-flows", "x") == ("ovs-vswitchd: datapath not found (Invalid argument)")
    assert dpctl.fails("show", "x") == ("ovs-vswitchd: opening datapath x failed (No such device)")


def test_two_data_paths_have_to_be_told_apart(dpctl: Commands) -> None:
    dpctl.dpifs.append(UserspaceDpif("netdev", "netdev@ovs-netdev", dpctl.clock, Counters()))
    assert dpctl("dump-dps") == "system@ovs-system\nnetdev@ovs-netdev\n"
    assert dpctl.fails("dump-flows") == (
        "ovs-vswitchd: multiple datapaths, specify one\n"
        "ovs-vswitchd: datapath not found (Invalid argument)"
    )
    assert dpctl("add-flow", "netdev@ovs-netdev", FLOW, "1") == ""
    assert dpctl("dump-flows", "netdev@ovs-netdev").startswith(HEADING)
    assert dpctl("dump-flows", "ovs-system") == ""


def test_flow_files_add_modify_and_delete(dpctl: Commands) -> None:
    other = "in_port(2),eth(),eth_type(0x0800),ipv4(frag=no)"
    dpctl.files["flows"] = f"# two flows\n{FLOW} 2\n\nadd {other} 1\nmodify {FLOW} 1\n"
    assert dpctl("add-flows", "flows") == ""
    assert dpctl("dump-flows").count("actions:1") == 2
    dpctl.files["gone"] = f"{FLOW}\n"
    assert dpctl("del-flows", "gone") == ""
    assert dpctl("dump-flows").count("actions:") == 1
    assert dpctl("del-flows") == ""
    assert dpctl("dump-flows") == ""
    dpctl.files["bad"] = f"{FLOW}\n"
    assert dpctl("add-flows", "bad") == ("ovs-vswitchd: Failed parsing line number 1, skipped!\n")
    assert dpctl("add-flows", "nowhere") == (
        'ovs-vswitchd: Opening file "nowhere" failed (No such file or directory)\n'
    )


def test_a_flow_may_be_given_a_number(dpctl: Commands) -> None:
    ufid = "ufid:12345678-1234-1234-1234-123456789012"
    other = "in_port(2),eth(),eth_type(0x0800),ipv4(frag=no)"
    dpctl("add-flow", f"{ufid},{FLOW}", "2")
    dpctl("add-flow", other, "1")
    assert dpctl("get-flow", ufid).endswith("actions:2\n")
    assert dpctl("get-flow", "-m", ufid).startswith(f"{ufid}, ")
    shown = dpctl("dump-flows", "-m")
    assert shown.count("ufid:") == 2
    assert shown.count(ufid) == 1
    dpctl("mod-flow", f"{ufid},{FLOW}", "1")
    assert dpctl("get-flow", ufid).endswith("actions:1\n")
    assert dpctl("del-flow", "-s", f"{ufid},{FLOW}") == "packets:0, bytes:0, used:never\n"
    assert dpctl("dump-flows").count("actions:") == 1
    assert dpctl.fails("del-flow", ufid).startswith("ovs-vswitchd: deleting flow (No such file")
    dpctl("add-flow", FLOW, "2")
    assert ufid not in dpctl("dump-flows", "-m")


def test_modifying_a_flow_keeps_its_statistics(dpctl: Commands) -> None:
    dpctl("add-flow", FLOW, "2")
    dpctl.factory.devices["p1"].inject(PACKET)
    dpctl.dpifs[0].run(6_000)
    dpctl("mod-flow", FLOW, "drop")
    assert "packets:1" in dpctl("dump-flows")
    dpctl.factory.devices["p1"].inject(PACKET)
    dpctl.dpifs[0].run(6_000)
    assert "packets:2" in dpctl("dump-flows")
    assert len(dpctl.factory.devices["p2"].sent) == 1


def test_commands_are_listed_as_the_peer_lists_them(dpctl: Commands) -> None:
    lines = dpctl("list-commands").splitlines()
    assert lines[0] == "The available commands are:"
    assert lines[1] == "  dpctl/add-dp                  dp [iface...]"
    assert lines[2] == "  dpctl/del-dp                  dp"


def test_what_is_done_to_flows_is_told_to_those_who_ask(
    dpctl: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    levels = vlog.levels()
    vlog.set_level(DBG, "dpif", CONSOLE)
    try:
        dpctl("add-flow", FLOW, "2")
        dpctl("mod-flow", FLOW, "1")
        dpctl("del-flow", FLOW)
        dpctl("del-flows")
    finally:
        vlog.set_levels(levels)
    said = [line.partition("|DBG|system@ovs-system: ")[2]
            for line in capsys.readouterr().err.splitlines()]  # fmt: skip
    added, changed, removed, flushed = said
    assert added.startswith("put[create] ufid:") and added.endswith(", actions:2")
    assert changed.startswith("put[modify] ufid:") and changed.endswith(", actions:1")
    assert removed.startswith("flow_del ufid:")
    assert removed.endswith(" , packets:0, bytes:0, used:never")
    assert flushed == "flow_flush success"
