"""`dpctl/ct-...` and the text of the `ct` action: as Debian's ovs-vswitchd prints them."""

from __future__ import annotations

import pytest

from netloom.base.clock import ManualClock
from netloom.base.counters import Counters
from netloom.base.errors import CommandError, ConfigError
from netloom.datapath.action_parse import parse_actions
from netloom.datapath.action_text import format_actions
from netloom.datapath.dpctl import Dpctl
from netloom.datapath.dpif import LOCAL_PORT
from netloom.datapath.userspace.dpif import UserspaceDpif
from netloom.flow.fields import SLOT
from netloom.netdev.dummy import DummyFactory

UDP = bytes.fromhex(
    "50000000000250000000000108004500001e00010000401166cc0a0000010a00000200050035000a83346869"
)
LINE = (
    "udp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=5,dport=53),"
    "reply=(src=10.0.0.2,dst=10.0.0.1,sport=53,dport=5)"
)


class Switch:
    def __init__(self) -> None:
        self.clock = ManualClock(5_000)
        factory = DummyFactory(None, "override")
        self.dpif = UserspaceDpif("system", "ovs-system", self.clock, Counters())
        self.dpif.port_add(factory.open("ovs-system", "dummy-internal", {}), LOCAL_PORT)
        self.dpif.port_add(factory.open("p1", "system", {}))
        self.p1 = factory.devices["p1"]
        dpctl = Dpctl(lambda: [self.dpif], self.clock.now_ms, lambda path: "")
        self.handlers = {command.name: command.handler for command in dpctl.commands()}

    def __call__(self, name: str, *args: str) -> str:
        return self.handlers[f"dpctl/{name}"](list(args))

    def fails(self, name: str, *args: str) -> str:
        with pytest.raises(CommandError) as raised:
            self(name, *args)
        return str(raised.value).removeprefix("ovs-vswitchd: ")


@pytest.fixture
def switch() -> Switch:
    switch = Switch()
    flow = "in_port(1),eth(),eth_type(0x0800),ipv4(frag=no)"
    switch("add-flow", flow, "ct(commit,zone=3,mark=0x7,label=0x9),recirc(1)")
    switch.p1.inject(UDP)
    switch.dpif.run(5_000)
    return switch


def test_recirculated_packet_carries_what_tracking_said(switch: Switch) -> None:
    (upcall,) = switch.dpif.recv_upcalls(10)
    values = {name: SLOT[name].get(upcall.key) for name in (
        "recirc_id", "ct_state", "ct_zone", "ct_mark", "ct_label", "ct_nw_src", "ct_nw_dst",
        "ct_nw_proto", "ct_tp_src", "ct_tp_dst",
    )}  # fmt: skip
    assert list(values.values()) == [1, 0x21, 3, 7, 9, 0x0A000001, 0x0A000002, 17, 5, 53]


def test_dump_shows_connections(switch: Switch) -> None:
    assert switch("dump-conntrack") == LINE + ",zone=3,mark=7,labels=0x9\n"
    assert switch("dump-conntrack", "zone=4") == ""
    shown = LINE + ",id=0,zone=3,status=0,timeout=60,mark=7,labels=0x9\n"
    assert switch("dump-conntrack", "-m", "-s", "ovs-system", "zone=3") == shown


def test_stats_group_by_protocol(switch: Switch) -> None:
    assert switch("ct-stats-show") == "Connections Stats:\n    Total: 1\n  UDP: 1\n"
    assert switch("ct-stats-show", "zone=1") == "Connections Stats:\n    Total: 0\n"
    assert switch("ct-get-nconns") == "1\n"
    assert switch("ct-bkts").startswith("Total Buckets: 1\nCurrent Connections: 1\n\n+---")


def test_flush_by_zone_and_tuple(switch: Switch) -> None:
    switch("flush-conntrack", "zone=1")
    switch("flush-conntrack", "zone=4", "ct_nw_src=10.0.0.1")
    switch("flush-conntrack", "ct_nw_src=10.0.0.9")
    assert switch("ct-get-nconns") == "1\n"
    switch("flush-conntrack", "zone=3", "ct_nw_src=10.0.0.1,ct_nw_proto=17")
    assert switch("ct-get-nconns") == "0\n"


def test_tuple_without_a_zone_is_flushed_from_all(switch: Switch) -> None:
    switch("flush-conntrack", "ct_nw_src=10.0.0.1,ct_nw_proto=17")
    assert switch("ct-get-nconns") == "0\n"


def test_one_connection_must_be_there_to_be_flushed(switch: Switch) -> None:
    one = "ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.2,ct_nw_proto=17,ct_tp_src=9,ct_tp_dst=9"
    missing = "failed to flush conntrack (No such file or directory)"
    assert switch.fails("flush-conntrack", one) == missing
    assert switch.fails("flush-conntrack", "ct_tp_src=8") == (
        "port is set without protocol (Invalid argument)"
    )


@pytest.mark.parametrize(
    "words",
    [
        ("mark=7",), ("mark=3/3",), ("labels=0x8/0x8",), ("mark=7", "labels=9"),
        ("ct_nw_proto=0x11,ct_tp_dst=53",), ("", "ct_nw_src=10.0.0.2"),
        ("zone=3", "ct_nw_src=10.0.0.2,ct_nw_dst=10.0.0.1,ct_nw_proto=17,ct_tp_src=53,ct_tp_dst=5"),
    ],
)  # fmt: skip
def test_a_connection_is_flushed_by_what_it_is(switch: Switch, words: tuple[str, ...]) -> None:
    switch("flush-conntrack", "mark=6")
    switch("flush-conntrack", "labels=6/2", "ct_nw_src=10.0.0.1")
    switch("flush-conntrack", "", "ct_nw_src=10.0.0.1")
    assert switch("ct-get-nconns") == "1\n"
    switch("flush-conntrack", *words)
    assert switch("ct-get-nconns") == "0\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("mark=x",), "failed to parse mark"),
        (("labels=x",), "failed to parse labels"),
        (("ct_nw_src=x",), "failed to parse field ct_nw_src"),
        (("ct_nw_src=1.1.1.1", "ct_ipv6_src=::1"), "the L3 protocol does not match ::1"),
        (("ct_nw_src=1.1.1.1,ct_nw_src=1.1.1.1",), "ct_nw_src is set multiple times"),
        (("icmp_id=1",), "invalid L4 fields"),
        (("ct_nw_src=1.1.1.1", "ct_nw_dst=1.1.1.1", "x=1"), "invalid arguments"),
    ],
)
def test_what_is_to_be_flushed_must_be_clear(
    switch: Switch, words: tuple[str, ...], message: str
) -> None:
    assert switch.fails("flush-conntrack", *words) == f"{message} (Invalid argument)"


def test_zone_must_be_a_number(switch: Switch) -> None:
    assert switch.fails("flush-conntrack", "zone=x") == "failed to parse zone (Invalid argument)"


def test_connection_disappears_when_its_time_is_over(switch: Switch) -> None:
    switch.clock.advance(61_000)
    assert switch("dump-conntrack") == ""
    switch.dpif.run(66_000)
    assert switch("ct-get-nconns") == "0\n"


def test_limits_are_set_shown_and_deleted(switch: Switch) -> None:
    assert switch("ct-get-limits") == "default limit=0\n"
    switch("ct-set-limits", "default=10", "zone=3,limit=5", "zone=2,limit=6")
    text = "default limit=10\nzone=2,limit=6,count=0\nzone=3,limit=5,count=0\n"
    assert switch("ct-get-limits") == text
    assert switch("ct-get-limits", "zone=3,4") == (
        "default limit=10\nzone=3,limit=5,count=0\nzone=4,limit=10,count=0\n"
    )
    switch("ct-del-limits", "zone=2")
    switch("ct-del-limits", "default", "zone=3")
    assert switch("ct-get-limits") == "default limit=0\n"


def test_limits_of_the_database_cannot_be_changed_by_hand(switch: Switch) -> None:
    switch.dpif.conntrack.limits.is_protected = True
    for verb in ("set", "del"):
        assert switch.fails(
            f"ct-{verb}-limits", "zone=3,limit=5"[: 15 if verb == "set" else 6]
        ) == (
            f"the zone limits are set via database, use 'ovs-vsctl {verb}-zone-limit <...>' "
            "instead. (Operation not permitted)"
        )
    assert switch("ct-get-limits") == "default limit=0\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("ct-set-limits zone=1", "failed to parse zone limit"),
        ("ct-set-limits foo", "field foo missing value"),
        ("ct-set-limits zone=99999,limit=1", "failed to parse field zone"),
        ("ct-set-limits default=-1", "invalid default limit"),
        ("ct-set-limits default=4294967296", "invalid default limit"),
        ("ct-set-limits zone=1,limit=-1", "failed to parse field limit"),
        ("ct-set-limits zone=1,limit=4294967296", "failed to parse field limit"),
        ("ct-get-limits foo", "invalid argument foo"),
        ("ct-get-limits zone=x", "invalid zone"),
        ("ct-del-limits zone=x", "invalid zone"),
        ("ct-set-maxconns abc", "maxconns missing or malformed"),
        ("flush-conntrack foo", "field foo missing value"),
        ("ct-stats-show foo", "datapath not found"),
        ("ct-get-maxconns nodp", "datapath not found"),
    ],
)
def test_bad_arguments_have_the_known_messages(switch: Switch, command: str, message: str) -> None:
    assert switch.fails(*command.split()) == f"{message} (Invalid argument)"


def test_settings_are_kept(switch: Switch) -> None:
    assert switch("ct-set-maxconns", "100") == "setting maxconns successful\n"
    assert switch("ct-get-maxconns") == "100\n"
    assert switch("ct-disable-tcp-seq-chk") == "disabling TCP sequence checking successful\n"
    assert switch("ct-get-tcp-seq-chk") == "TCP sequence checking: disabled\n"
    switch("ct-set-sweep-interval", "500")
    assert "500" in switch("ct-get-sweep-interval")


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("ct()", "ct"),
        ("ct(zone=0)", "ct"),
        ("ct(mark=1)", "ct(mark=0x1/0xffffffff)"),
        ("ct(label=0x5,commit)", "ct(commit,label=0x5)"),
        ("ct(commit,label=0/0xf)", "ct(commit,label=0/0xf)"),
        ("ct(commit,mark=0x1/0x0)", "ct(commit)"),
        ("ct(commit,nat(src=[2001::1]))", "ct(commit,nat(src=2001::1))"),
        ("ct(commit,nat(src=[::1]-[::2]))", "ct(commit,nat(src=::1-::2))"),
        ("ct(commit,nat(src=1.1.1.1-1.1.1.1))", "ct(commit,nat(src=1.1.1.1))"),
        ("ct(commit,nat(src=1.1.1.1:8-8))", "ct(commit,nat(src=1.1.1.1:8))"),
        ("ct(commit,nat(src,hash))", "ct(commit,nat(src))"),
        ("ct(zone=99999)", "ct(zone=34463)"),
        (
            "ct(commit,nat(dst=[2001::1]-[2001::9]:5-6,persistent,hash))",
            "ct(commit,nat(dst=[2001::1]-[2001::9]:5-6,persistent,hash))",
        ),
        (
            "ct(force_commit,timeout=x,helper=tftp,mark=1,zone=3,nat)",
            "ct(force_commit,zone=3,mark=0x1/0xffffffff,helper=tftp,timeout=x,nat)",
        ),
    ],
)
def test_ct_text_is_normalised(text: str, normal: str) -> None:
    assert format_actions(parse_actions(text)) == normal
    assert format_actions(parse_actions(normal)) == normal


@pytest.mark.parametrize(
    "inside",
    [
        "commit,force", "foo", "commit,nat(src=1.1.1.9-1.1.1.1)", "commit,nat(src=1.1.1.1:9-2)",
        "commit,nat(src=:80-90)", "commit,nat(src=1.1.1.1,dst=2.2.2.2)",
        "commit,nat(src=1.1.1.1,hash,random)",
    ],
)  # fmt: skip
def test_ct_text_that_is_none_is_refused(inside: str) -> None:
    with pytest.raises(ConfigError):
        parse_actions(f"ct({inside})")
