"""Flows on tunnel options that are mapped to no field, and packet-ins with options that are. Errors
as Debian's ovs-vswitchd answers them."""

from __future__ import annotations

import pytest
from tests.support.openflow_bench import FRAME, KEY, Bench, Client, add, settings

from netloom.flow.fields import FIELD, TUN_PRESENT_SHIFT
from netloom.flow.match import Match
from netloom.ofproto.tlv_table import with_options_present
from netloom.openflow import action_learn
from netloom.openflow import actions as a
from netloom.openflow import messages as m
from netloom.openflow import messages_bundles as b
from netloom.openflow import messages_nx as nx
from netloom.openflow.codec import encode_message
from netloom.openflow.protocol import P_OF13

OPTION = FIELD["tun_metadata3"]
PART = a.Subfield(OPTION, 0, 16)
REG = a.Subfield(FIELD["reg0"], 0, 16)
ON_OPTION = Match(5 << OPTION.shift, OPTION.mask)
MAPS = nx.TlvTableMod(nx.NXTTMC_ADD, (nx.TlvMap(0xFFFF, 1, 4, 3),))
REFUSED = [
    add(a.Output(1), match=ON_OPTION),  # type: ignore[arg-type]
    m.FlowMod(m.OFPFC_DELETE, ON_OPTION),
    add(a.SetField(OPTION, 9, OPTION.ones)),
    add(a.Move(PART, REG)),
    add(a.Move(REG, PART)),
    add(a.Push(PART)),
    add(a.DeleteField(OPTION)),
    add(a.Clone((a.SetField(OPTION, 9, OPTION.ones),))),
    add(a.Learn(specs=(a.LearnSpec(action_learn.LOAD, 16, PART, REG),))),
    m.FlowStatsRequest(ON_OPTION),
    m.AggregateRequest(ON_OPTION),
]


def joined() -> Client:
    return Bench(settings("secure")).join(4)


@pytest.mark.parametrize("request_", REFUSED)
def test_an_option_that_is_not_mapped_is_refused(request_: m.Message) -> None:
    client = joined()
    assert client.error(request_) == "NXFMFC_INVALID_TLV_FIELD"
    if isinstance(request_, m.FlowMod) and request_.command == m.OFPFC_ADD:
        client.ask(MAPS)
        assert client.ask(request_) == []


@pytest.mark.parametrize("mod", [each for each in REFUSED if isinstance(each, m.FlowMod)])
def test_it_is_refused_in_a_bundle_when_it_is_added(mod: m.FlowMod) -> None:
    client = joined()
    client.ask(b.BundleControl(1, b.OFPBCT_OPEN_REQUEST))
    outer = encode_message(b.BundleAdd(1, 0, encode_message(mod, 7, P_OF13)), 7, P_OF13)
    assert client.error(outer) == "NXFMFC_INVALID_TLV_FIELD"


def test_a_flow_of_a_bundle_matches_as_much_as_the_option_is_long() -> None:
    bench = Bench(settings("secure"))
    client = bench.join(4)
    client.ask(MAPS, b.BundleControl(1, b.OFPBCT_OPEN_REQUEST))
    mod = encode_message(add(match=ON_OPTION), 7, P_OF13)  # type: ignore[arg-type]
    client.ask(encode_message(b.BundleAdd(1, 0, mod), 7, P_OF13))
    client.ask(b.BundleControl(1, b.OFPBCT_COMMIT_REQUEST))
    (rule,) = bench.switch.tables.rules()
    present = 1 << TUN_PRESENT_SHIFT + 3
    assert rule.match == Match(5 << OPTION.shift | present, 0xFFFFFFFF << OPTION.shift | present)


@pytest.mark.parametrize("form", [m.PACKET_IN_STANDARD, m.PACKET_IN_NXT2])
def test_a_packet_in_tells_the_options_that_the_packet_has(form: int) -> None:
    bench = Bench(settings("secure"))
    client = bench.join(4)
    client.ask(MAPS, m.SetConfig(0, 100), m.SetPacketInFormat(form))
    present = 1 << TUN_PRESENT_SHIFT + 3
    for key in (KEY | present, KEY | present | 0xAB << OPTION.shift, KEY):
        bench.manager.send_packet_in(
            FRAME, key, reason=m.OFPR_ACTION, table_id=0, cookie=1, max_len=99, controller_id=0,
            now_ms=bench.now_ms,
        )  # fmt: skip
        (told,) = client.received()
        assert isinstance(told, m.PacketIn)
        assert told.match.mask & OPTION.mask == (OPTION.mask if key & present else 0)
        assert OPTION.get(told.match.value) == OPTION.get(key)


def test_a_packet_that_goes_on_has_the_options_that_its_packet_in_named() -> None:
    assert with_options_present(ON_OPTION) == ON_OPTION.value | 1 << TUN_PRESENT_SHIFT + 3
    assert with_options_present(Match(KEY, KEY)) == KEY
