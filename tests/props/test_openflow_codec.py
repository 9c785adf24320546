"""OpenFlow messages survive the way to bytes and back; bad bytes are refused, not crashed on."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netloom.base.errors import ProtocolError
from netloom.base.record import replace
from netloom.flow.fields import FIELD, FIELDS, PREREQUISITES, SLOT
from netloom.flow.match import Match
from netloom.flow.prerequisites import prerequisites_met
from netloom.openflow import actions as a
from netloom.openflow import messages as m
from netloom.openflow import protocol as p
from netloom.openflow.codec import decode_message, encode_message
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_text import Style, format_message

PROTOCOLS = [p.P_OF10_TID, p.P_NXM_TID, p.P_OF11, p.P_OF12, p.P_OF13, p.P_OF14, p.P_OF15]
COMPLETE = [p.P_NXM_TID, p.P_OF13]
MATCHABLE = [
    field
    for field in FIELDS
    if field.codes and not field.dynamic and field.name != "in_port_oxm"
    and field.prerequisite != "ct" and field.name not in ("vlan_tci", "vlan_pcp", "packet_type")
]  # fmt: skip

ports = st.one_of(st.integers(0, 0xFEFF), st.sampled_from([0xFFFFFFFE, 0xFFFFFFFD]))
u8, u16 = st.integers(0, 0xFF), st.integers(0, 0xFFFF)
u32, u64 = st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFFFFFFFFFF)


@st.composite
def matches(draw) -> Match:
    """A match in which every field has its prerequisites and all its bits."""
    match = Match()
    for field in draw(st.lists(st.sampled_from(MATCHABLE), max_size=5, unique=True)):
        trial = match
        alternatives = PREREQUISITES[field.prerequisite]
        if alternatives:
            for name, value, mask in draw(st.sampled_from(alternatives)):
                slot = SLOT[name]
                if name != "packet_type" and not match.mask & slot.mask:
                    trial = Match(
                        trial.value | value << slot.shift, trial.mask | (mask << slot.shift)
                    )
        if not trial.mask & field.mask and prerequisites_met(field, trial):
            match = trial.with_field(field, draw(_value(field)))
    return match


def _value(field):
    if field.form in ("port", "port10"):
        return ports
    if field.name == "nw_tos":
        return st.integers(0, 63).map(lambda dscp: dscp << 2)
    if field.name == "vlan_vid":
        # With the bit that says that there is a tag.
        return st.integers(0, 4095).map(lambda vid: vid | 0x1000)
    if field.name == "ip_frag":
        # Later fragments have no transport header to match.
        return st.integers(0, 1)
    if field.name == "ct_state":
        return st.integers(0, 0xFF)
    if field.name == "nsh_mdtype":
        return st.integers(1, 2)
    return st.integers(0, 63 if field.name == "nsh_ttl" else field.limit)


@st.composite
def subfields(draw, *, writable: bool = False):
    names = ["reg0", "reg7", "metadata", "xxreg1", "tun_id", "eth_src", "eth_dst"]
    field = FIELD[draw(st.sampled_from(names))]
    offset = draw(st.integers(0, field.bits - 1))
    return a.Subfield(field, offset, draw(st.integers(1, min(64, field.bits - offset))))


@st.composite
def set_fields(draw):
    field = FIELD[draw(st.sampled_from(["reg0", "metadata", "pkt_mark", "ipv6_dst"]))]
    return a.SetField(field, draw(st.integers(0, field.ones)), field.ones)


@st.composite
def loads(draw):
    part = draw(subfields())
    value = draw(st.integers(0, (1 << part.n_bits) - 1))
    mask = ((1 << part.n_bits) - 1) << part.offset
    return a.SetField(part.field, value << part.offset, mask, as_load=True)


@st.composite
def moves(draw):
    source = draw(subfields())
    n_bits = min(source.n_bits, 32)
    destination = a.Subfield(FIELD["reg5"], draw(st.integers(0, 32 - n_bits)), n_bits)
    return a.Move(a.Subfield(source.field, source.offset, n_bits), destination)


def resubmits():
    return st.builds(a.Resubmit, ports, u8, st.booleans())


SIMPLE = st.one_of(
    st.builds(a.Output, st.integers(0, 0xFEFF)),
    st.builds(a.Output, st.just(0xFFFFFFFD), u16),
    st.builds(a.OutputReg, subfields(), u16),
    st.builds(a.OutputTrunc, st.integers(0, 0xFEFF), st.integers(14, 0xFFFFFFFF)),
    st.builds(a.Controller, u16, u16, st.integers(0, 5)),
    st.builds(a.Controller, u16, u16, st.integers(0, 5), st.binary(min_size=1, max_size=30),
              st.booleans(), u32),
    st.builds(a.Group, st.integers(0, 0xFFFFFF00)),
    st.builds(a.PushMpls, st.sampled_from([0x8847, 0x8848])),
    st.builds(a.PopMpls, u16),
    st.builds(a.DecTtl, st.lists(u16, max_size=4).map(tuple)),
    st.builds(a.SetMplsTtl, u8),
    st.builds(a.DecMplsTtl),
    st.builds(a.SetQueue, u32),
    st.builds(a.PopQueue),
    st.builds(a.Push, subfields()),
    st.builds(a.Pop, subfields()),
    resubmits(),
    st.builds(a.Note, st.integers(0, 4).flatmap(
        lambda n: st.binary(min_size=6 + 8 * n, max_size=6 + 8 * n))),
    st.builds(lambda i, n: a.Conjunction(i, 0, n), u32, st.integers(2, 64)),
    st.builds(a.Exit),
    loads(),
    moves(),
)  # fmt: skip
ONLY_OF13 = st.one_of(
    st.builds(a.PushVlan, st.sampled_from([0x8100, 0x88A8])),
    st.just(a.StripVlan(True)),
    set_fields(),
)
ONLY_NXM = st.one_of(
    st.builds(a.SetVlanVid, st.integers(0, 4095)),
    st.builds(a.SetVlanPcp, st.integers(0, 7)),
    st.just(a.StripVlan()),
    st.builds(a.SetMplsLabel, st.integers(0, 0xFFFFF)),
    st.builds(a.SetMplsTc, st.integers(0, 7)),
    st.builds(a.SetTunnelId, st.integers(0, 0xFFFFFFFF)),
    st.builds(a.SetTunnelId, u64, st.just(True)),
    st.builds(a.Enqueue, st.integers(0, 0xFEFF), u32),
    st.builds(lambda v: a.SetField(FIELD["eth_src"], v, FIELD["eth_src"].ones, legacy=True),
              st.integers(0, 0xFFFFFFFFFFFF)),
    st.builds(lambda v: a.SetField(FIELD["ip_dst"], v, FIELD["ip_dst"].ones, legacy=True), u32),
    st.builds(lambda v: a.SetField(FIELD["tcp_src"], v, FIELD["tcp_src"].ones, legacy=True), u16),
)  # fmt: skip


@st.composite
def action_lists(draw, protocol: int):
    one = st.one_of(SIMPLE, ONLY_OF13 if protocol == p.P_OF13 else ONLY_NXM)
    nested = st.one_of(one, st.builds(a.Clone, st.lists(one, max_size=3).map(tuple)))
    actions = tuple(draw(st.lists(nested, max_size=6)))
    if protocol != p.P_OF13:
        return actions
    extra = []
    if draw(st.booleans()):
        extra.append(a.ClearActions())
    if draw(st.booleans()):
        extra.append(a.WriteActions(tuple(draw(st.lists(
            st.builds(a.Output, st.integers(0, 0xFEFF)), min_size=1, max_size=3)))))  # fmt: skip
    if draw(st.booleans()):
        extra.append(a.WriteMetadata(draw(u64), draw(u64)))
    if draw(st.booleans()):
        extra.append(a.GotoTable(draw(u8)))
    return (*actions, *extra)


@st.composite
def flow_mods(draw, protocol: int) -> m.FlowMod:
    command = draw(st.integers(0, 4))
    add = command == m.OFPFC_ADD
    deletes = command >= m.OFPFC_DELETE
    later = protocol == p.P_OF13
    cookie_mask = 0 if add else draw(u64)
    new_cookie: int | None = draw(st.integers(0, 2**64 - 2))
    if later and not add:
        new_cookie = None
    return m.FlowMod(
        command, draw(matches()), draw(st.integers(0, 0xFFFE)),
        draw(st.integers(0, 254)), draw(action_lists(protocol)),
        draw(u64) & cookie_mask, cookie_mask, new_cookie, draw(u16), draw(u16),
        draw(st.integers(0, 31 if later else 3)), draw(u32),
        draw(ports) if deletes or not later else m.OFPP_ANY,
        draw(u32) if deletes and later else m.OFPG_ANY,
    )  # fmt: skip


@pytest.mark.parametrize("protocol", COMPLETE)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_flow_mod_survives(protocol, data):
    message = data.draw(flow_mods(protocol))
    encoded = encode_message(message, 7, protocol)
    assert decode_message(encoded, protocol) == (message, 7)


@pytest.mark.parametrize("protocol", COMPLETE)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_flow_statistics_survive(protocol, data):
    nx = protocol != p.P_OF13
    flow = st.builds(
        m.FlowStats, matches(), u16, st.integers(0, 254), action_lists(protocol), u64, u32, u32,
        u16, u16, st.integers(-1, 0xFFFE) if nx else st.just(-1),
        st.integers(-1, 0xFFFE) if nx else st.just(-1), st.just(0), st.just(0), u64, u64,
    )  # fmt: skip
    flows = tuple(data.draw(st.lists(flow, max_size=4)))
    message = m.FlowStatsReply(flows, nx)
    assert decode_message(encode_message(message, 1, protocol)) == (message, 1)


def _ports(features: int):
    mask = st.integers(0, 0xFFFF).map(lambda bits: bits & features)
    return st.builds(
        m.PhyPort, st.integers(0, 0xFEFF), st.integers(0, 2**48 - 1),
        st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=15),
        st.sampled_from([0, 1, 4, 0x20, 0x65]), st.sampled_from([0, 1]), mask, mask, mask, mask,
    )  # fmt: skip


def plain_messages(version: int):
    """Messages that every version has, with what all of them can say."""
    counters = [u64] * 12
    port = _ports(0x7F if version == 1 else 0xFFFF)
    metadata = st.builds(lambda n: Match().with_field(FIELD["in_port_oxm"], n), ports)
    return st.one_of(
        st.builds(m.EchoRequest, st.binary(max_size=40)),
        st.builds(m.EchoReply, st.binary(max_size=40)),
        st.just(m.FeaturesRequest()),
        st.builds(m.FeaturesReply, u64, u32, u8),
        st.builds(m.GetConfigReply, u16, u16),
        st.builds(m.SetConfig, st.integers(0, 7 if version < 4 else 3), u16),
        st.builds(m.PacketIn, st.binary(max_size=60), metadata, st.integers(0, 2), u16, u32),
        st.builds(m.PacketOut, st.binary(max_size=60), metadata),
        st.builds(m.PortStatus, st.integers(0, 2), port),
        st.builds(m.PortMod, st.integers(0, 0xFEFF), st.integers(0, 2**48 - 1),
                  st.just(1), st.just(0x21), st.integers(0, 0x7F)),
        st.just(m.BarrierRequest()),
        st.just(m.BarrierReply()),
        st.just(m.DescRequest()),
        st.builds(m.DescReply, *[st.text(st.characters(min_codepoint=32, max_codepoint=126),
                                         max_size=31)] * 5),
        st.just(m.TableStatsRequest()),
        # 1.1 and 1.2 add what a table can do: test_every_message.
        st.nothing() if version in (2, 3) else st.builds(m.TableStatsReply, st.lists(
            st.builds(m.TableStats, u8, u32, u64, u64), max_size=4).map(tuple)),
        st.builds(m.PortStatsRequest, ports),
        st.builds(m.PortStatsReply, st.lists(
            st.builds(m.PortStats, ports, *counters), max_size=3).map(tuple)),
        st.just(m.PortDescRequest()),
        st.builds(m.QueueStatsRequest, ports, u32),
        st.builds(m.QueueStatsReply, st.lists(
            st.builds(m.QueueStats, ports, u32, u64, u64, u64), max_size=3).map(tuple)),
        st.builds(m.AggregateReply, u64, u64, u32),
        st.builds(m.FlowStatsRequest, matches(), u8, ports),
        st.builds(m.SetFlowFormat, st.sampled_from([0, 2])) if version == 1 else st.nothing(),
        st.builds(m.FlowModTableId, st.booleans()),
        st.builds(m.SetPacketInFormat, st.integers(0, 2)),
        st.builds(m.SetControllerId, u16),
        st.builds(m.RoleRequest, st.integers(1, 3), st.just(None if version < 3 else 5)),
        st.builds(m.SetAsync, st.builds(m.AsyncConfig, *[st.tuples(st.integers(0, 7),
                                                                    st.integers(0, 7))] * 3)),
        st.builds(m.Hello, st.just(tuple(range(1, version + 1)))),
    )  # fmt: skip


def _normalized(message: m.Message, version: int) -> m.Message:
    """What of `message` its version can carry."""
    if isinstance(message, m.FlowStatsRequest) and version == 1:
        return replace(message, nx=True)
    if isinstance(message, m.PacketIn) and version >= 4:
        return message
    return message


@pytest.mark.parametrize("version", range(1, 7))
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_messages_of_every_version_survive(version, data):
    message = _normalized(data.draw(plain_messages(version)), version)
    if isinstance(message, (m.FlowStatsRequest,)) and version == 2:
        return
    encoded = encode_message(message, 3, p.INITIAL[version])
    decoded, xid = decode_message(encoded)
    assert xid == 3
    if isinstance(message, m.PortStatus) and version == 1:
        # Speeds follow from features there.
        port = replace(decoded.port, current_speed_kbps=0, max_speed_kbps=0)
        decoded = replace(decoded, port=port)
    if isinstance(message, m.SetAsync) and version >= 5:
        assert decoded.config == message.config
        return
    assert decoded == message


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_mutated_messages_decode_or_are_refused(protocol):
    """Any bytes give a message, OpenFlowError or ProtocolError, and can be printed."""
    chooser = random.Random(protocol)
    version = p.VERSION[protocol]
    samples = [
        encode_message(m.FlowMod(0, Match().with_field(FIELD["eth_type"], 0x800),
                                 actions=(a.Output(3), a.Resubmit(1, 4))), 1, protocol),
        encode_message(m.FlowStatsReply((m.FlowStats(Match(), 3),) * 3), 1, protocol),
        encode_message(m.PacketIn(b"x" * 60, Match().with_field(FIELD["in_port_oxm"], 1)), 1,
                       protocol),
        encode_message(m.PortDescReply((m.PhyPort(1, 2, "eth0"),) * 2), 1, protocol),
        encode_message(m.PortStatsReply((m.PortStats(1),)), 1, protocol),
        encode_message(m.QueueStatsReply((m.QueueStats(1, 2),)), 1, protocol),
        encode_message(m.QueueGetConfigReply(1, (m.QueueConfig(1, 2, 3, 4),)), 1, protocol),
        encode_message(m.Error("OFPBRC_BAD_LEN", b"abcdefgh"), 1, protocol),
        encode_message(m.SetAsync(m.AsyncConfig()), 1, protocol),
        encode_message(m.FlowRemoved(Match(), 3), 1, protocol),
    ]  # fmt: skip
    refused = 0
    for _ in range(3000):
        data = bytearray(chooser.choice(samples))
        for _ in range(chooser.randint(1, 6)):
            data[chooser.randrange(len(data))] = chooser.choice([0, 1, 4, 8, 255, 0x80, 16])
        if chooser.random() < 0.2:
            data = data[: chooser.randint(8, len(data))]
        data[0] = version
        data[2:4] = len(data).to_bytes(2, "big")
        try:
            decode_message(bytes(data), protocol)
        except (OpenFlowError, ProtocolError):
            refused += 1
        assert format_message(bytes(data), Style(2)).endswith("\n")
    assert refused > 100
