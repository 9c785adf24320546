from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.support.openflow_bench import (
    FRAME,
    KEY,
    TARGET,
    Bench,
    add,
    primary,
    settings,
)

from netloom import OVS_VERSION
from netloom.flow.fields import FIELD
from netloom.flow.match import Match
from netloom.flow.ports import CONTROLLER, NORMAL, TABLE
from netloom.ofproto.settings import BridgeSettings, ControllerSettings
from netloom.openflow import actions as a
from netloom.openflow import messages as m
from netloom.openflow.codec import decode_message
from netloom.openflow.messages_groups import OFPGC_ADD, GroupMod
from netloom.openflow.messages_tables import RequestForward
from netloom.openflow.protocol import INITIAL


def bench_with_controller() -> Bench:
    return Bench(settings("secure", primary()))


def shown(bench: Bench) -> Sequence[tuple[int, a.Actions]]:
    return [(rule.priority, rule.actions) for rule in bench.switch.tables.rules(hidden=True)]


# Switch


def test_features_of_openflow_10_have_ports_and_actions() -> None:
    (reply,) = Bench().join(1).ask(m.FeaturesRequest())
    assert isinstance(reply, m.FeaturesReply)
    assert reply.capabilities == 0xC7
    assert (reply.n_tables, reply.n_buffers, reply.actions) == (254, 0, 0xFFF)
    assert [port.name for port in reply.ports] == ["p1", "br0"]


def test_features_of_openflow_13_have_neither() -> None:
    (reply,) = Bench().join(4).ask(m.FeaturesRequest())
    assert reply == m.FeaturesReply(0xFAEE858A1749, 0, 254, capabilities=0x4F)


def test_the_description_names_the_release_that_is_followed() -> None:
    (reply,) = Bench().join().ask(m.DescRequest())
    assert reply == m.DescReply("Nicira, Inc.", "Open vSwitch", OVS_VERSION, "None", "None")


def test_set_config_is_what_get_config_shows_and_reassembly_is_not_supported() -> None:
    client = Bench().join()
    get = m.GetConfigRequest()
    assert client.ask(m.SetConfig(m.OFPC_FRAG_DROP, 100), get) == [m.GetConfigReply(1, 100)]
    assert client.ask(m.SetConfig(m.OFPC_FRAG_REASM, 9), get) == [m.GetConfigReply(1, 9)]


def test_a_change_of_fragment_handling_is_one_of_the_pipeline() -> None:
    bench = Bench()
    before = bench.switch.tables.settings_generation
    bench.join().ask(m.SetConfig(m.OFPC_FRAG_NX_MATCH, 0))
    assert bench.manager.frag_handling == m.OFPC_FRAG_NX_MATCH
    assert bench.switch.tables.settings_generation == before + 1


def test_a_barrier_waits_for_the_data_path() -> None:
    bench = Bench()
    assert bench.join().ask(add(a.Output(1)), m.BarrierRequest()) == [m.BarrierReply()]
    assert bench.switch.calls == ["settle"]


# Flow mods and packet-outs


def test_a_flow_mod_changes_the_tables_without_a_reply() -> None:
    bench = Bench()
    assert bench.join().ask(add(a.Output(1))) == []
    assert (10, (a.Output(1),)) in shown(bench)


def test_a_flow_that_replaces_another_counts_from_zero_in_openflow_10_only() -> None:
    for version, expected in ((1, 0), (4, 5)):
        bench = Bench(settings("secure"))
        client = bench.join(version)
        client.ask(add(a.Output(1)))
        bench.switch.tables.rules()[0].n_packets = 5
        client.ask(add(a.Output(2)))
        assert bench.switch.tables.rules()[0].n_packets == expected


@pytest.mark.parametrize(
    ("mod", "error"),
    [
        (add(a.Group(1)), "OFPBAC_BAD_OUT_GROUP"),
        (add(a.WriteActions((a.Group(1),))), "OFPBAC_BAD_OUT_GROUP"),
        (add(a.Meter(1)), "OFPMMFC_INVALID_METER"),
        (add(a.Output(1), buffer_id=5), "OFPBRC_BUFFER_UNKNOWN"),
        (add(a.Output(1), table_id=254), "OFPBRC_EPERM"),
        (add(a.Output(1), table_id=254, buffer_id=5), "OFPBRC_EPERM"),
        (add(a.GotoTable(0), table_id=3), "OFPBIC_BAD_TABLE_ID"),
        (add(a.DecTtl()), "OFPBAC_MATCH_INCONSISTENT"),
        (m.BarrierReply(), "OFPBRC_BAD_TYPE"),
        (m.PortMod(77, 1, 0, 0), "OFPPMFC_BAD_PORT"),
        (m.QueueStatsRequest(77), "OFPQOFC_BAD_PORT"),
        (m.QueueStatsRequest(1, 5), "OFPQOFC_BAD_QUEUE"),
        (m.TableFeaturesRequest(b"\0\x40\xff" + bytes(61)), "OFPTFFC_BAD_TABLE"),
        (m.PacketOut(b"", Match(KEY, KEY), (), 3), "OFPBRC_BUFFER_UNKNOWN"),
    ],
)
def test_what_cannot_be_done_is_answered_with_its_error(mod: m.Message, error: str) -> None:
    bench = Bench(settings("secure"))
    assert bench.join().error(mod) == error
    assert shown(bench) == []


def test_who_deletes_flows_need_not_say_that_there_is_no_packet() -> None:
    bench = Bench(settings("secure"))
    client = bench.join()
    client.ask(add(a.Output(1)))
    assert client.ask(m.FlowMod(m.OFPFC_DELETE, buffer_id=0)) == []
    assert shown(bench) == []


def test_a_role_is_answered_in_the_form_of_the_question() -> None:
    client = Bench(settings("secure")).join()
    assert client.ask(m.RoleRequest(2, nx=True)) == [m.RoleReply(2, nx=True)]


def test_openflow_10_lets_an_inconsistent_action_pass() -> None:
    bench = Bench(settings("secure"))
    assert bench.join(1).ask(add(a.DecTtl())) == []
    assert shown(bench) == [(10, (a.DecTtl(),))]


def test_emergency_flows_have_a_table_that_is_full() -> None:
    client = Bench().join(1)
    assert client.error(add(a.Output(1), flags=m.OFPFF_EMERG)) == "OFPFMFC_TABLE_FULL"


def test_an_unknown_message_is_refused_with_its_bytes() -> None:
    request = bytes((4, 99, 0, 80, 0, 0, 0, 9)) + bytes(range(72))
    (reply,) = Bench().join().ask(request)
    assert isinstance(reply, m.Error)
    assert (reply.name, reply.data) == ("OFPBRC_BAD_TYPE", request)


def test_a_packet_out_goes_to_the_switch() -> None:
    bench = Bench()
    out = m.PacketOut(FRAME, Match(KEY, FIELD["in_port_oxm"].mask), (a.Output(TABLE),))
    assert bench.join().ask(out) == []
    assert bench.switch.calls == [out]


# Statistics


def test_flow_stats_are_fresh_and_have_ages() -> None:
    bench = Bench(settings("secure"))
    client = bench.join(1)
    client.ask(add(a.Output(1), new_cookie=7, idle_timeout=60))
    bench.now_ms += 2_345
    (reply,) = client.ask(m.FlowStatsRequest(nx=True))
    assert isinstance(reply, m.FlowStatsReply)
    (flow,) = reply.flows
    assert (flow.duration_sec, flow.duration_nsec) == (2, 345_000_000)
    assert (flow.packet_count, flow.idle_age, flow.hard_age) == (3, 2, 2)
    assert (flow.cookie, flow.idle_timeout, reply.nx) == (7, 60, True)


def test_aggregate_stats_sum_up() -> None:
    client = Bench(settings("secure")).join()
    client.ask(add(a.Output(1)), add(a.Output(1), priority=9))
    assert client.ask(m.AggregateRequest()) == [m.AggregateReply(6, 0, 2)]


def test_there_are_254_tables() -> None:
    client = Bench().join(1)
    (reply,) = client.ask(m.TableStatsRequest())
    assert isinstance(reply, m.TableStatsReply)
    assert len(reply.tables) == 254
    assert reply.tables[0] == m.TableStats(0, 1, 0, 0, "", 0x3FFFFF, 1_000_000)


def test_tables_do_not_count_hidden_flows() -> None:
    bench = Bench()
    bench.switch.tables.add_hidden(0, Match(), 0x10001, (), 0)
    (reply,) = bench.join(1).ask(m.TableStatsRequest())
    assert isinstance(reply, m.TableStatsReply)
    assert reply.tables[0].active_count == 1


@pytest.mark.parametrize("version", [1, 4])
def test_requests_of_others_are_told_in_any_version(version: int) -> None:
    bench = Bench()
    hearer, speaker = bench.join(version), bench.join(version)
    # NXT_SET_ASYNC_CONFIG2 with all reasons of forwarded requests, for both roles.
    wanted = "04 0020 00000009 00002320 0000001b 000a 0008 00000003 000b 0008 00000003"
    assert hearer.ask(bytes([version]) + bytes.fromhex(wanted)) == []
    mod = GroupMod(OFPGC_ADD, 7)
    assert speaker.ask(mod) == []
    (told,) = hearer.received()
    assert isinstance(told, RequestForward)
    assert decode_message(told.data, INITIAL[version])[0] == mod


def test_table_features_lead_to_later_tables_only() -> None:
    replies = Bench().join().ask(m.TableFeaturesRequest())
    tables = [t for reply in replies if isinstance(reply, m.TableFeaturesReply)
              for t in reply.tables]  # fmt: skip
    assert [t.table_id for t in tables] == list(range(254))
    assert tables[252].nonmiss.next_tables == (253,)
    assert (tables[0].nonmiss.instructions, tables[253].nonmiss.instructions) == (0x7E, 0x7C)


def test_port_statistics_are_of_the_port_asked_for() -> None:
    client = Bench().join()
    (reply,) = client.ask(m.PortStatsRequest(1))
    assert isinstance(reply, m.PortStatsReply)
    assert [(p.port_no, p.rx_packets) for p in reply.ports] == [(1, 7)]
    assert client.ask(m.PortStatsRequest(77)) == [m.PortStatsReply()]


def test_port_descriptions_are_of_all_ports() -> None:
    (reply,) = Bench().join().ask(m.PortDescRequest())
    assert isinstance(reply, m.PortDescReply)
    assert [port.name for port in reply.ports] == ["p1", "br0"]


def test_every_port_has_one_queue() -> None:
    client = Bench().join()
    assert client.ask(m.QueueGetConfigRequest(1)) == [
        m.QueueGetConfigReply(1, (m.QueueConfig(1, 0),))
    ]
    assert client.ask(m.QueueStatsRequest(1)) == [m.QueueStatsReply((m.QueueStats(1, 0),))]


# Roles


def test_an_old_generation_is_stale() -> None:
    client = bench_with_controller().join(4, primary())
    assert client.ask(m.RoleRequest(3, 5)) == [m.RoleReply(3, 5)]
    assert client.error(m.RoleRequest(2, 4)) == "OFPRRFC_STALE"
    assert client.ask(m.RoleRequest(1, 4)) == [m.RoleReply(1, 5)]
    assert client.ask(m.RoleRequest(0)) == [m.RoleReply(1, 5)]


def test_a_new_primary_makes_the_old_one_secondary() -> None:
    bench = bench_with_controller()
    first, second = bench.join(5, primary()), bench.join(1, primary())
    first.ask(m.RoleRequest(2, 1))
    assert bench.manager.role_of(first.machine) == "master"
    assert second.ask(m.RoleRequest(2)) == [m.RoleReply(2)]
    assert first.received() == [m.RoleStatus(3, m.OFPCRR_PRIMARY_REQUEST, 1)]
    assert bench.manager.role_of(first.machine) == "slave"


def test_a_secondary_may_read_but_not_change() -> None:
    bench = bench_with_controller()
    client = bench.join(4, primary())
    client.ask(m.RoleRequest(3, 1))
    for request in (add(a.Output(1)), m.PacketOut(FRAME), m.PortMod(1, 1, 0, 0)):
        assert client.error(request) == "OFPBRC_IS_SECONDARY"
    assert client.ask(m.DescRequest())
    assert shown(bench) == []


# Settings of a session


def test_nxm_and_table_numbers_may_be_asked_for_in_openflow_10() -> None:
    bench = Bench(settings("secure"))
    client = bench.join(1)
    client.ask(m.SetFlowFormat(m.NXFF_NXM), m.FlowModTableId(True))
    client.side.protocol = client.machine.protocol
    match = Match().with_field(FIELD["reg0"], 5)
    client.ask(m.FlowMod(m.OFPFC_ADD, match, 10, 3, (a.Output(1),), new_cookie=0))
    (rule,) = bench.switch.tables.rules()
    assert (rule.table_id, rule.match) == (3, match)


def test_the_asynchronous_configuration_is_shown_in_the_reasons_of_the_version() -> None:
    client = bench_with_controller().join(4, primary())
    default = m.AsyncConfig((0x3, 0), (0x7, 0x7), (0xF, 0))
    assert client.ask(m.GetAsyncRequest()) == [m.GetAsyncReply(default)]
    wanted = m.AsyncConfig((1, 2), (3, 4), (5, 6))
    assert client.ask(m.SetAsync(wanted), m.GetAsyncRequest()) == [m.GetAsyncReply(wanted)]


def test_a_broken_peer_does_not_disturb_the_others() -> None:
    bench = Bench()
    broken, sound = bench.join(), bench.join()
    assert broken.ask(bytes((4, 20, 0, 3, 0, 0, 0, 1))) == []
    assert sound.ask(m.BarrierRequest()) == [m.BarrierReply()]
    bench.manager.forget(broken.machine, 0)
    assert [s.peer for s in bench.manager.sessions] == [sound.machine]


# Fail modes


def test_without_controllers_a_standalone_bridge_is_a_mac_learning_switch() -> None:
    bench = Bench(settings("standalone"))
    assert shown(bench) == [(0, (a.Output(NORMAL),))]


def test_a_secure_bridge_without_controllers_drops() -> None:
    assert shown(Bench(settings("secure"))) == []


def test_flows_go_when_the_first_controller_comes_and_when_the_last_goes() -> None:
    bench = Bench(settings("standalone"))
    bench.join().ask(add(a.Output(1)))
    bench.manager.configure(settings("standalone", primary()), 2_000)
    assert shown(bench) == []
    bench.join().ask(add(a.Output(1)))
    bench.manager.configure(settings("standalone"), 3_000)
    assert shown(bench) == [(0, (a.Output(NORMAL),))]


def test_a_service_controller_is_not_one_that_flows_wait_for() -> None:
    service = ControllerSettings(TARGET, type="service")
    assert shown(Bench(settings("standalone", service))) == [(0, (a.Output(NORMAL),))]


def test_other_settings_leave_flows_alone() -> None:
    bench = Bench(settings("standalone"))
    bench.join().ask(add(a.Output(1)))
    bench.manager.configure(BridgeSettings("br0", 1, mac_aging_time_s=20), 2_000)
    assert len(shown(bench)) == 2


def test_a_bridge_fails_open_after_three_probes_and_recovers() -> None:
    bench = Bench(settings("standalone", primary(inactivity_probe_ms=5_000)))
    bench.join().ask(add(a.Output(1)))
    bench.run(14_999)
    assert shown(bench) == [(10, (a.Output(1),))]
    assert bench.manager.deadline() == 16_000
    bench.run(1)
    assert shown(bench) == [(0xF0F0F0, (a.Output(NORMAL),))]
    client = bench.join(4, primary())
    client.ask(m.FeaturesRequest())
    assert bench.manager.fail_modes.is_open
    client.ask(add(a.Output(CONTROLLER), priority=0))
    assert shown(bench) == [(0, (a.Output(CONTROLLER),))]


def test_a_controller_that_stays_counts_as_at_work() -> None:
    bench = Bench(settings("standalone", primary(inactivity_probe_ms=5_000)))
    bench.run(15_000)
    bench.join(4, primary())
    assert bench.manager.deadline() == 46_000
    bench.run(29_999)
    assert bench.manager.fail_modes.is_open
    bench.run(1)
    assert shown(bench) == []


def test_a_secure_bridge_never_fails_open() -> None:
    bench = Bench(settings("secure", primary()))
    bench.run(1_000_000)
    assert (shown(bench), bench.manager.deadline()) == ([], None)
