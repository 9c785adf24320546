"""OpenFlow messages made by chance: every class of the table of messages, with what a version and
a protocol can say."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.support.action_corpus import KEYWORDS
from tests.support.action_corpus import Maker as ActionMaker
from tests.support.field_corpus import LATE, field_matches

from netloom.base.errors import ConfigError
from netloom.flow.fields import FIELD, FIELDS
from netloom.flow.match import Match
from netloom.flow.text import parse_match
from netloom.openflow import messages as m
from netloom.openflow import messages_bundles as b
from netloom.openflow import messages_groups as g
from netloom.openflow import messages_meters as t
from netloom.openflow import messages_monitor as w
from netloom.openflow import messages_nx as n
from netloom.openflow import messages_tables as mt
from netloom.openflow import protocol as p
from netloom.openflow.action_encode import Unencodable
from netloom.openflow.action_parse import parse_actions
from netloom.openflow.actions import Action
from netloom.openflow.codec import decode_message, encode_message
from netloom.openflow.continuations import Continuation, encode_continuation
from netloom.openflow.error_table import ERRORS
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.field_set import rank

PROTOCOLS = {
    1: (p.P_OF10_TID, p.P_NXM_TID), 2: (p.P_OF11,), 3: (p.P_OF12,), 4: (p.P_OF13,),
    5: (p.P_OF14,), 6: (p.P_OF15,),
}  # fmt: skip
#: Of all messages, as messages in a bundle have the transaction of the bundle's.
XID = 9
FRAME = bytes.fromhex("ffffffffffff0000000000020800") + bytes(40)


def _good_matches() -> list[Match]:
    found = []
    for text in field_matches(7):
        try:
            found.append(parse_match(text))
        except ConfigError:
            continue
    return found


_MATCHES = _good_matches()


class Maker:
    """Makes messages for one version; equal seeds give equal messages."""

    def __init__(self, seed: int, version: int, protocol: int) -> None:
        self.chance = random.Random(seed)
        self.version = version
        self.protocol = protocol
        self._actions = ActionMaker(seed)

    def make(self, name: str) -> m.Message:
        """A message of the class `name`."""
        make: Callable[[], m.Message] = getattr(self, f"_{name}")
        return make()

    # Parts

    def bits(self, n: int) -> int:
        return self.chance.getrandbits(self.chance.randint(1, n))

    def some(self, make: Callable[[], object], most: int = 3) -> tuple:
        return tuple(make() for _ in range(self.chance.randint(0, most)))

    def port(self) -> int:
        return self.chance.choice([1, 7, 65279, 0xFFFFFFFE])

    def text(self, size: int) -> str:
        letters = "abcXYZ019 _-"
        return "".join(self.chance.choice(letters) for _ in range(self.chance.randint(0, size)))

    def match(self) -> Match:
        """A match that the protocol can say in a flow mod, and that survives it."""
        while True:
            match = self.chance.choice(_MATCHES)
            if self._survives(match):
                return match

    def _survives(self, match: Match) -> bool:
        try:
            data = encode_message(m.FlowMod(0, match), 0, self.protocol)
            decoded, _ = decode_message(data, self.protocol)
        except (OpenFlowError, Unencodable):
            return False
        return isinstance(decoded, m.FlowMod) and decoded.match == match

    def actions(self, keywords: tuple[str, ...] = ()) -> tuple[Action, ...]:
        while True:
            keyword = self.chance.choice(keywords or KEYWORDS)
            try:
                actions, _ = parse_actions(self._actions.make(keyword))
            except ConfigError:
                continue
            if self._can_do(actions):
                return actions

    def _can_do(self, actions: tuple[Action, ...]) -> bool:
        """Whether the protocol can say the actions, and reads them."""
        try:
            data = encode_message(m.FlowMod(0, actions=actions), 0, self.protocol)
            decode_message(data, self.protocol)
        except (OpenFlowError, Unencodable):
            return False
        return True

    def plain_actions(self) -> tuple[Action, ...]:
        """Actions that are no instructions."""
        return self.actions(("move", "load", "output", "push", "pop", "resubmit", "note"))

    def phy_port(self) -> m.PhyPort:
        known = 0x7F if self.version == 1 else 0xFFFF
        speeds = (0, 0) if self.version == 1 else (self.bits(32), self.bits(32))
        features = [self.bits(16) & known for _ in range(4)]
        return m.PhyPort(
            self.port(), self.bits(48), self.text(15), self.chance.choice([0, 1, 4, 0x20]),
            self.chance.choice([0, 1]), *features, *speeds,
        )  # fmt: skip

    def flow_ages(self) -> tuple[int, int]:
        if self.protocol & p.P_NXM_ANY:
            return self.bits(15), self.bits(15)
        return (self.bits(15), -1) if self.version == 6 else (-1, -1)

    # The connection and the switch

    def _Hello(self) -> m.Message:
        versions = {1, self.version, *(self.chance.sample(range(1, 7), 2))}
        top = max(versions)
        return m.Hello(tuple(sorted(versions | {top}))) if self.version == top else m.Hello(
            tuple(range(1, self.version + 1)))  # fmt: skip

    def _Error(self) -> m.Message:
        known = [name for name, row in ERRORS.items() if row[self.version - 1]]
        return m.Error(self.chance.choice(known), bytes((self.version, 0, 0, 8)) + bytes(4))

    def _EchoRequest(self) -> m.Message:
        return m.EchoRequest(self.chance.randbytes(self.chance.randint(0, 40)))

    def _EchoReply(self) -> m.Message:
        return m.EchoReply(self.chance.randbytes(self.chance.randint(0, 40)))

    def _FeaturesRequest(self) -> m.Message:
        return m.FeaturesRequest()

    def _FeaturesReply(self) -> m.Message:
        ports = self.some(self.phy_port) if self.version < 4 else ()
        aux = self.bits(8) if self.version > 3 else 0
        actions = self.bits(12) if self.version == 1 else 0
        return m.FeaturesReply(
            self.bits(64), self.bits(32), self.bits(8), aux, self.bits(7), actions, ports
        )

    def _GetConfigRequest(self) -> m.Message:
        return m.GetConfigRequest()

    def _GetConfigReply(self) -> m.Message:
        return m.GetConfigReply(self.bits(3), self.bits(16))

    def _SetConfig(self) -> m.Message:
        return m.SetConfig(self.bits(3 if self.version < 4 else 2), self.bits(16))

    def _BarrierRequest(self) -> m.Message:
        return m.BarrierRequest()

    def _BarrierReply(self) -> m.Message:
        return m.BarrierReply()

    def _RoleRequest(self) -> m.Message:
        return m.RoleRequest(*self._roles())

    def _RoleReply(self) -> m.Message:
        return m.RoleReply(*self._roles())

    def _roles(self) -> tuple[int, int | None, bool]:
        role = self.chance.randint(1, 3)
        nx = self.version > 2 and self.chance.random() < 0.5
        return role, None if nx or self.version < 3 else self.bits(63), nx

    def _RoleStatus(self) -> m.Message:
        return m.RoleStatus(self.chance.randint(0, 3), self.chance.randint(0, 2), self.bits(63))

    def async_config(self, asked_by_nicira: bool = False) -> m.AsyncConfig:
        known = [7, 7, 7]
        if self.version > 4:
            known = [0x3F, 7, 0x3F, 7, 0x18, 3]
        elif self.version == 4 and asked_by_nicira:
            known = [7, 7, 7, 7, 0x18, 3]
        return m.AsyncConfig(
            *[tuple(self.bits(6) & bits for _ in range(2)) for bits in known]  # type: ignore[arg-type]
        )

    def _GetAsyncRequest(self) -> m.Message:
        return m.GetAsyncRequest()

    def _GetAsyncReply(self) -> m.Message:
        return m.GetAsyncReply(self.async_config())

    def _SetAsync(self) -> m.Message:
        return m.SetAsync(self.async_config(self.chance.random() < 0.5))

    def _SetFlowFormat(self) -> m.Message:
        return m.SetFlowFormat(self.chance.choice([0, 2]))

    def _FlowModTableId(self) -> m.Message:
        return m.FlowModTableId(self.chance.random() < 0.5)

    def _SetPacketInFormat(self) -> m.Message:
        return m.SetPacketInFormat(self.chance.randint(0, 2))

    def _SetControllerId(self) -> m.Message:
        return m.SetControllerId(self.bits(16))

    def _FlowAge(self) -> m.Message:
        return m.FlowAge()

    # Flows and packets

    def _FlowMod(self) -> m.Message:
        command = self.chance.randint(0, 4)
        deletes = command >= m.OFPFC_DELETE
        later = self.version > 1
        cookie_mask = self.bits(64) if command and (later or self.protocol & p.P_NXM_ANY) else 0
        return m.FlowMod(
            command, self.match(), self.bits(16), self.bits(7), () if deletes else self.actions(),
            self.bits(64) & cookie_mask, cookie_mask, self.bits(63) if not command else None,
            self.bits(16), self.bits(16), self.bits(2), self.bits(32),
            self.port() if deletes or not later else m.OFPP_ANY,
            self.bits(32) if deletes and later else m.OFPG_ANY,
            self.bits(16) if self.version > 4 and not command else 0,
        )  # fmt: skip

    def _FlowRemoved(self) -> m.Message:
        return m.FlowRemoved(
            self.match(), self.bits(16), self.bits(64), self.chance.randint(0, 2),
            self.bits(7), self.bits(32), self.bits(29), self.bits(16),
            self.bits(16) if self.version > 2 else 0, self.bits(60), self.bits(60),
        )  # fmt: skip

    def _FlowStatsRequest(self) -> m.Message:
        return m.FlowStatsRequest(*self._query())

    def _AggregateRequest(self) -> m.Message:
        return m.AggregateRequest(*self._query())

    def _query(self) -> tuple:
        nx = bool(self.protocol & p.P_NXM_ANY)
        mask = self.bits(64) if nx or self.version > 1 else 0
        group = self.bits(32) if self.version > 1 else m.OFPG_ANY
        return self.match(), self.bits(8), self.port(), group, self.bits(64) & mask, mask, nx

    def _FlowStatsReply(self) -> m.Message:
        return m.FlowStatsReply(self.some(self._flow), bool(self.protocol & p.P_NXM_ANY))

    def _flow(self) -> m.FlowStats:
        return m.FlowStats(
            self.match(), self.bits(16), self.bits(7), self.actions(), self.bits(64),
            self.bits(32), self.bits(29), self.bits(16), self.bits(16), *self.flow_ages(),
            self.bits(3) if self.version > 3 else 0, self.bits(16) if self.version > 4 else 0,
            self.bits(60), self.bits(60),
        )  # fmt: skip

    def _AggregateReply(self) -> m.Message:
        nx = bool(self.protocol & p.P_NXM_ANY)
        return m.AggregateReply(self.bits(60), self.bits(60), self.bits(32), nx)

    def metadata(self) -> Match:
        match = Match().with_field(FIELD["in_port_oxm"], self.port())
        if self.version > 2 and self.chance.random() < 0.5:
            match = match.with_field(FIELD["metadata"], self.bits(64))
        return match

    def continuation(self) -> bytes:
        rest = Continuation(
            self.bits(128), ((self.bits(32), 32),), self.bits(8), True, self.plain_actions()
        )
        return encode_continuation(rest, self.version)

    def _PacketIn(self) -> m.Message:
        form = self.chance.choice((m.PACKET_IN_STANDARD, m.PACKET_IN_NXT, m.PACKET_IN_NXT2))
        cookie = self.bits(63) if form or self.version > 3 else None
        table = self.bits(7) if form or self.version > 1 else 0
        extra = form == m.PACKET_IN_NXT2
        reason = self.chance.randint(0, 1 if self.version < 5 else 5)
        return m.PacketIn(
            FRAME[: self.chance.randint(14, 54)], self.metadata(), reason,
            54 + self.bits(9), self.bits(31), table, cookie, form,
            self.chance.randbytes(self.chance.randint(0, 9)) if extra else b"",
            self.continuation() if extra and self.chance.random() < 0.3 else b"",
        )  # fmt: skip

    def _Resume(self) -> m.Message:
        return m.Resume(
            m.PacketIn(FRAME, self.metadata(), 1, 60, m.NO_BUFFER, 0, None, m.PACKET_IN_NXT2,
                       b"", self.continuation())
        )  # fmt: skip

    def _PacketOut(self) -> m.Message:
        match = Match().with_field(FIELD["in_port_oxm"], self.port())
        return m.PacketOut(FRAME, match, self.plain_actions())

    # Ports, queues, tables

    def _PortStatus(self) -> m.Message:
        return m.PortStatus(self.chance.randint(0, 2), self.phy_port())

    def _PortMod(self) -> m.Message:
        return m.PortMod(self.port(), self.bits(48), 1, 0x21, self.bits(7))

    def _PortDescRequest(self) -> m.Message:
        return m.PortDescRequest(self.port() if self.version > 5 else m.OFPP_ANY)

    def _PortDescReply(self) -> m.Message:
        return m.PortDescReply(self.some(self.phy_port))

    def _PortStatsRequest(self) -> m.Message:
        return m.PortStatsRequest(self.chance.choice([self.port(), m.OFPP_ANY]))

    def _PortStatsReply(self) -> m.Message:
        return m.PortStatsReply(self.some(self._port_stats))

    def _port_stats(self) -> m.PortStats:
        duration = (self.bits(32), self.bits(29)) if self.version > 3 else ()
        return m.PortStats(self.port(), *[self.bits(64) for _ in range(12)], *duration)

    def _QueueGetConfigRequest(self) -> m.Message:
        return m.QueueGetConfigRequest(7, self.bits(32) if self.version > 4 else m.OFPQ_ALL)

    def _QueueGetConfigReply(self) -> m.Message:
        port = m.OFPP_ANY if self.version > 4 else 7
        queues = self.some(lambda: m.QueueConfig(7, self.bits(32), self.bits(10), self.bits(10)))
        return m.QueueGetConfigReply(port, queues)

    def _QueueStatsRequest(self) -> m.Message:
        return m.QueueStatsRequest(self.port(), self.bits(32))

    def _QueueStatsReply(self) -> m.Message:
        return m.QueueStatsReply(self.some(self._queue_stats))

    def _queue_stats(self) -> m.QueueStats:
        duration = (self.bits(32), self.bits(29)) if self.version > 3 else ()
        counters = [self.bits(64) for _ in range(3)]
        return m.QueueStats(self.port(), self.bits(32), *counters, *duration)

    def _TableMod(self) -> m.Message:
        if self.version < 5:
            return m.TableMod(self.bits(8), self.bits(2))
        vacancy = self.chance.choice([None, (10, 90)])
        config = self.chance.choice([0, 4]) | (8 if vacancy else 0)
        return m.TableMod(self.bits(8), config, self.chance.choice([None, 1, 6]), vacancy)

    def _DescRequest(self) -> m.Message:
        return m.DescRequest()

    def _DescReply(self) -> m.Message:
        return m.DescReply(*[self.text(31) for _ in range(5)])

    def _TableStatsRequest(self) -> m.Message:
        return m.TableStatsRequest()

    def _TableStatsReply(self) -> m.Message:
        return m.TableStatsReply(self.some(self._table_stats))

    def _table_stats(self) -> m.TableStats:
        counts = (self.bits(8), self.bits(32), self.bits(64), self.bits(64))
        if self.version not in (2, 3):
            return m.TableStats(*counts)
        fields = ("metadata", "eth_src", "eth_dst", "eth_type", "ip_src")
        sets = fields if self.version == 3 else ()
        actions = self.bits(25) & (0x01FFE7FF if self.version == 2 else 0x03FF8001)
        able = m.InstructionFeatures((), 6, actions, actions, sets, sets)
        all_bits = self.bits(64) if self.version == 3 else 0
        can = m.TableFeatures(
            counts[0], "x", all_bits, all_bits, 5, self.chance.randint(0, 2), able, able, fields,
            (), fields[:2],
        )  # fmt: skip
        return m.TableStats(*counts, "x", 0, 5, can)

    def _TableFeaturesRequest(self) -> m.Message:
        if self.chance.random() < 0.5:
            return m.TableFeaturesRequest()
        reply = encode_message(m.TableFeaturesReply((self._table_features(),)), 0, self.protocol)
        return m.TableFeaturesRequest(reply[16:])

    def _TableFeaturesReply(self) -> m.Message:
        first = (self._table_features(),)
        return m.TableFeaturesReply(first + self.some(self._table_features, 2))

    def _table_features(self) -> m.TableFeatures:
        # In some only what Open vSwitch before 3.7 has, too.
        left_out = LATE if self.chance.random() < 0.8 else set()
        names = tuple(
            field.name
            for field in FIELDS
            if field.codes and not field.dynamic and field.name not in left_out
        )
        some = sorted(self.chance.sample(names, 12), key=rank)
        features = m.InstructionFeatures(
            tuple(range(self.bits(4), 20)), self.bits(6) << 1, self.bits(26), self.bits(26),
            tuple(some[:5]), tuple(some[3:]),
        )  # fmt: skip
        maskable = tuple(name for name in some if FIELD[name].maskable)
        return m.TableFeatures(
            self.bits(7), self.text(31), self.bits(64), self.bits(64), self.bits(32), self.bits(4),
            features, features, tuple(some), maskable, tuple(some),
        )  # fmt: skip

    def table_desc(self) -> mt.TableDesc:
        vacancy = self.chance.choice([None, (10, 90, 50)])
        return mt.TableDesc(
            self.bits(7), self.chance.choice([0, 4]) | (8 if vacancy else 0),
            self.chance.choice([None, 1, 6]), vacancy,
        )  # fmt: skip

    def _TableDescRequest(self) -> m.Message:
        return mt.TableDescRequest()

    def _TableDescReply(self) -> m.Message:
        first = (self.table_desc(),)
        return mt.TableDescReply(first + self.some(self.table_desc))

    def _TableStatus(self) -> m.Message:
        return mt.TableStatus(self.chance.choice([3, 4]), self.table_desc())

    def _RequestForward(self) -> m.Message:
        names = ["GroupMod", "MeterMod"] if self.version >= 4 else ["GroupMod"]
        name = self.chance.choice(names)
        return mt.RequestForward(encode_message(self.make(name), XID, self.protocol))

    # Bundles, groups, meters

    def _BundleControl(self) -> m.Message:
        return b.BundleControl(self.bits(32), self.chance.randint(0, 7), self.bits(2))

    def _BundleAdd(self) -> m.Message:
        name = self.chance.choice(["FlowMod", "GroupMod", "PortMod", "PacketOut"])
        return b.BundleAdd(
            self.bits(32), self.bits(2), encode_message(self.make(name), XID, self.protocol)
        )

    def bucket(self, kind: int, number: int) -> g.Bucket:
        weight = self.bits(16) if kind == g.OFPGT_SELECT else 0
        port = self.port() if kind == g.OFPGT_FF else m.OFPP_ANY
        return g.Bucket(self.plain_actions(), number, weight, port)

    def buckets(self, kind: int) -> tuple[g.Bucket, ...]:
        size = 1 if kind == g.OFPGT_INDIRECT else self.chance.randint(0, 3)
        return tuple(self.bucket(kind, number) for number in range(size))

    def properties(self, kind: int) -> g.GroupProperties:
        if kind != g.OFPGT_SELECT or self.version not in (1, 6):
            return g.NO_PROPERTIES
        fields = self.chance.sample(["ip_src", "ip_dst", "tcp_src", "eth_dst"], 2)
        order = [field.name for field in FIELDS]
        fields.sort(key=order.index)
        return g.GroupProperties(
            "hash", self.bits(64), tuple((name, FIELD[name].ones) for name in fields)
        )

    def _GroupMod(self) -> m.Message:
        kind = self.chance.randint(0, 3)
        flexible = self.version in (1, 6)
        command = self.chance.choice([0, 1, 3, 5] if flexible else [0, 1, 0x8000])
        where = g.OFPG_BUCKET_ALL
        if command in (3, 5):
            where = self.chance.choice([g.OFPG_BUCKET_FIRST, g.OFPG_BUCKET_LAST, 4])
        properties = self.properties(kind) if command < 2 else g.NO_PROPERTIES
        if command == g.OFPGC_REMOVE_BUCKET:
            return g.GroupMod(command, self.bits(31), g.OFPGT_ALL, (), where)
        return g.GroupMod(command, self.bits(31), kind, self.buckets(kind), where, properties)

    def _GroupStatsRequest(self) -> m.Message:
        return g.GroupStatsRequest(self.bits(32))

    def _GroupDescRequest(self) -> m.Message:
        return g.GroupDescRequest(self.bits(32) if self.version in (1, 6) else g.OFPG_ALL)

    def _GroupFeaturesRequest(self) -> m.Message:
        return g.GroupFeaturesRequest()

    def _GroupStatsReply(self) -> m.Message:
        return g.GroupStatsReply(self.some(self._group_stats))

    def _group_stats(self) -> g.GroupStats:
        counters = self.some(lambda: g.BucketCounter(self.bits(64), self.bits(64)))
        duration = (0xFFFFFFFF,) * 2 if self.version in (2, 3) else (self.bits(31), self.bits(29))
        return g.GroupStats(
            self.bits(32), self.bits(32), self.bits(64), self.bits(64), *duration, counters
        )

    def _GroupDescReply(self) -> m.Message:
        return g.GroupDescReply(self.some(self._group_desc))

    def _group_desc(self) -> g.GroupDesc:
        kind = self.chance.randint(0, 3)
        return g.GroupDesc(self.bits(31), kind, self.buckets(kind), self.properties(kind))

    def _GroupFeaturesReply(self) -> m.Message:
        most = tuple(self.bits(32) for _ in range(4))
        actions = tuple(self.bits(26) for _ in range(4))
        return g.GroupFeaturesReply(self.bits(4), self.bits(4), most, actions)

    def bands(self) -> tuple[t.MeterBand, ...]:
        return self.some(lambda: self.chance.choice([
            t.MeterBand(t.OFPMBT_DROP, self.bits(32), self.bits(32)),
            t.MeterBand(t.OFPMBT_DSCP_REMARK, self.bits(32), self.bits(32), self.bits(8)),
        ]))  # fmt: skip

    def _MeterMod(self) -> m.Message:
        if self.chance.random() < 0.2:
            return t.MeterMod(t.OFPMC_DELETE, self.bits(32))
        return t.MeterMod(
            self.chance.randint(0, 1), self.bits(32), self.chance.choice([1, 2, 5, 13]),
            self.bands(),
        )  # fmt: skip

    def _MeterStatsRequest(self) -> m.Message:
        return t.MeterStatsRequest(self.bits(32))

    def _MeterStatsReply(self) -> m.Message:
        return t.MeterStatsReply(self.some(lambda: t.MeterStats(
            self.bits(32), self.bits(32), self.bits(64), self.bits(64), self.bits(32),
            self.bits(29), self.some(lambda: t.BandStats(self.bits(64), self.bits(64))),
        )))  # fmt: skip

    def _MeterConfigRequest(self) -> m.Message:
        return t.MeterConfigRequest(self.bits(32))

    def _MeterConfigReply(self) -> m.Message:
        return t.MeterConfigReply(
            self.some(lambda: t.MeterConfig(self.bits(32), self.bits(4), self.bands()))
        )

    def _MeterFeaturesRequest(self) -> m.Message:
        return t.MeterFeaturesRequest()

    def _MeterFeaturesReply(self) -> m.Message:
        return t.MeterFeaturesReply(
            self.bits(32), self.bits(3), self.bits(4), self.bits(8), self.bits(8)
        )

    # Monitors

    def monitor(self) -> w.MonitorRequest:
        # Of the later flags, Nicira's encoding has one.
        flags = w.OFPFMF_ADD | self.bits(5)
        group = self.bits(32) if self.version > 4 else m.OFPG_ANY
        command = self.chance.randint(0, 2) if self.version > 4 else w.OFPFMC_ADD
        return w.MonitorRequest(
            self.bits(32), flags, self.nx_match(), self.port(), group, self.bits(8), command
        )

    def nx_match(self) -> Match:
        """A match in the encoding of monitors, which is NXM or OXM in all versions."""
        return self.match() if self.version != 2 else Match().with_field(FIELD["reg0"], 5)

    def _FlowMonitorRequest(self) -> m.Message:
        return w.FlowMonitorRequest(self.some(self.monitor))

    def _FlowMonitorReply(self) -> m.Message:
        return w.FlowMonitorReply(self.some(self._update))

    def _update(self) -> w.FlowUpdate:
        event = self.chance.choice([w.OFPFME_ADDED, w.OFPFME_REMOVED, w.OFPFME_MODIFIED,
                                    w.OFPFME_ABBREV])  # fmt: skip
        if event == w.OFPFME_ABBREV:
            return w.FlowUpdate(event, self.bits(32))
        actions = self.actions() if self.version > 3 else self.plain_actions()
        return w.FlowUpdate(
            event, 0, self.chance.randint(0, 2), self.bits(8), self.bits(16), self.bits(16),
            self.bits(16), self.bits(64), self.nx_match(), actions,
        )  # fmt: skip

    def _FlowMonitorCancel(self) -> m.Message:
        return w.FlowMonitorCancel(self.bits(32))

    def _FlowMonitorPaused(self) -> m.Message:
        return w.FlowMonitorPaused()

    def _FlowMonitorResumed(self) -> m.Message:
        return w.FlowMonitorResumed()

    # Nicira's

    def maps(self) -> tuple[n.TlvMap, ...]:
        return self.some(lambda: n.TlvMap(
            self.bits(16), self.bits(8), 4 * self.chance.randint(1, 31), self.chance.randint(0, 63)
        ))  # fmt: skip

    def _TlvTableMod(self) -> m.Message:
        return n.TlvTableMod(self.chance.randint(0, 2), self.maps())

    def _TlvTableRequest(self) -> m.Message:
        return n.TlvTableRequest()

    def _TlvTableReply(self) -> m.Message:
        return n.TlvTableReply(self.bits(32), 64, self.maps())

    def _CtFlushZone(self) -> m.Message:
        return n.CtFlushZone(self.bits(16))

    def ct_tuple(self, icmp: bool) -> n.CtTuple:
        address = 0xFFFF << 32 | self.bits(32)
        if icmp:
            return n.CtTuple(address, None, None, None, self.bits(16), self.bits(8), self.bits(8))
        return n.CtTuple(address, None, self.bits(16), self.bits(16))

    def _CtFlush(self) -> m.Message:
        proto = self.chance.choice([1, 6, 17])
        mark = self.chance.choice([(0, 0), (5, 0xFF), (7, 0xFFFFFFFF)])
        labels = self.chance.choice([(0, 0), (5 << 90, 7 << 90)])
        return n.CtFlush(
            proto, self.ct_tuple(proto == 1), self.ct_tuple(proto == 1),
            self.chance.choice([None, 0, 9]), mark, labels,
        )  # fmt: skip

    def _IpfixStatsRequest(self) -> m.Message:
        return n.IpfixStatsRequest(self.chance.random() < 0.5)

    def _IpfixStatsReply(self) -> m.Message:
        flow = self.chance.random() < 0.5
        counts = [self.bits(64) for _ in range(10)]
        if not flow:
            return n.IpfixStatsReply(False, (n.IpfixStats(*counts),))
        return n.IpfixStatsReply(
            True, self.some(lambda: n.IpfixStats(*counts, collector_set_id=self.bits(32)))
        )
