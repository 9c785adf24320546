"""What a bridge tells controllers without being asked. The bytes were compared with those of
Debian's ovs-vswitchd."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.openflow_bench import make_meters

from netloom.flow.fields import FIELD, SLOT
from netloom.flow.match import Match
from netloom.ofproto.connmgr import ConnectionManager
from netloom.ofproto.groups import Groups
from netloom.ofproto.packet_in import PacketInQueue, Unread, metadata_match
from netloom.ofproto.rules import Rule
from netloom.ofproto.settings import BridgeSettings, ControllerSettings
from netloom.ofproto.tables import Change, Tables
from netloom.ofproto.tlv_table import TlvTable
from netloom.openflow import messages as m
from netloom.openflow.codec import encode_message
from netloom.openflow.connection import Connection
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.messages_nx import CtFlush
from netloom.openflow.protocol import INITIAL

FRAME = bytes(range(60))
PORT = m.PhyPort(1, 0xAA55AA55000F, "p1")
KEY = FIELD["in_port_oxm"].put(0, 1)


class QuietSwitch:
    """A bridge that has nothing to do but tables."""

    name = "br0"
    datapath_id = 1

    def __init__(self) -> None:
        self.tables = Tables()
        self.groups = Groups()
        self.tlv_table = TlvTable()
        self.meters = make_meters()
        self.uncredited: list[Rule] = []

    def local_mac(self) -> int | None:
        return 0xFAEE858A1749

    def next_hop_mac(self, address: int) -> int | None:
        return None

    def phy_ports(self) -> list[m.PhyPort]:
        return []

    def port_stats(self) -> list[m.PortStats]:
        return []

    def port_mod(self, mod: m.PortMod) -> None:
        self.manager.port_status(m.OFPPR_MODIFY, PORT)

    def packet_out(self, message: m.PacketOut, now_ms: int) -> None:
        """Nothing to send it to."""

    def prepare_packet_out(self, message: m.PacketOut, now_ms: int) -> Callable[[], None]:
        return lambda: self.packet_out(message, now_ms)

    def resume(self, packet_in: m.PacketIn, now_ms: int) -> None:
        raise OpenFlowError("NXR_STALE")

    def flush_connections(self, request: CtFlush) -> None:
        """No connections."""

    def refresh_statistics(self) -> None:
        for rule in self.uncredited:
            rule.credit(1, 60, 0)
        self.uncredited.clear()

    def settle(self, now_ms: int) -> None:
        """Nothing to wait for."""

    manager: ConnectionManager


class Peer:
    """A controller (or somebody on the management socket) as the bridge sees it."""

    def __init__(
        self, manager: ConnectionManager, version: int, controller: ControllerSettings | None
    ) -> None:
        self.manager = manager
        self.version = version
        self.machine = Connection("unix", (version,))
        manager.accept(self.machine, controller, 0)
        self.machine.receive_data(bytes((version, 0, 0, 8, 0, 0, 0, 1)))
        self.say()

    def say(self, *messages: m.Message) -> bytes:
        for message in messages:
            self.machine.receive_data(encode_message(message, 9, INITIAL[self.version]))
        self.manager.run(0)
        return self.machine.data_to_send()

    def told(self) -> bytes:
        return self.machine.data_to_send()


def controller(**rest: int) -> ControllerSettings:
    return ControllerSettings("tcp:127.0.0.1:6653", **rest)  # type: ignore[arg-type]


def make(switch: QuietSwitch | None = None) -> ConnectionManager:
    switch = switch or QuietSwitch()
    switch.manager = ConnectionManager(switch)
    switch.manager.configure(BridgeSettings("br0", 1, fail_mode="secure"), 0)
    return switch.manager


def send(manager: ConnectionManager, reason: int = m.OFPR_ACTION, **rest: int) -> None:
    facts = {"table_id": 0, "cookie": 0x4D, "max_len": 14, "controller_id": 0, "now_ms": 0} | rest
    manager.send_packet_in(FRAME, KEY, reason=reason, **facts)


# Packet-ins


def test_a_packet_in_of_openflow_10_has_the_whole_packet_and_no_transaction() -> None:
    manager = make()
    peer = Peer(manager, 1, controller())
    send(manager)
    expected = "010a004e00000000ffffffff003c00010100"
    assert peer.told().hex() == expected + FRAME.hex()


def test_a_packet_in_of_openflow_13_has_cookie_and_match() -> None:
    manager = make()
    peer = Peer(manager, 4, controller())
    send(manager)
    expected = "040a006600000000ffffffff003c0100000000000000004d0001000c80000004000000010000000000"
    assert peer.told().hex() == expected + "00" + FRAME.hex()


def test_the_management_socket_gets_packet_ins_once_it_asks() -> None:
    manager = make()
    peer = Peer(manager, 1, None)
    send(manager)
    assert peer.told() == b""
    peer.say(m.SetConfig(0, 65535))
    send(manager)
    assert peer.told()[1] == 10


def test_a_packet_in_goes_to_the_controller_that_the_action_names() -> None:
    manager = make()
    plain, named = Peer(manager, 4, controller()), Peer(manager, 4, controller())
    named.say(m.SetControllerId(5))
    send(manager, controller_id=5)
    assert (plain.told(), named.told()[1]) == (b"", 10)


def test_a_secondary_gets_none_and_one_without_asynchronous_messages_neither() -> None:
    manager = make()
    secondary = Peer(manager, 4, controller())
    secondary.say(m.RoleRequest(m.OFPCR_ROLE_SECONDARY, 1))
    silent = Peer(manager, 4, controller(enable_async_messages=False))
    send(manager)
    assert (secondary.told(), silent.told()) == (b"", b"")


def test_misses_without_a_rule_are_for_controllers_before_openflow_13() -> None:
    manager = make()
    new = Peer(manager, 4, controller())
    assert not manager.wants_packet_in_on_miss()
    old = Peer(manager, 1, controller())
    assert manager.wants_packet_in_on_miss()
    send(manager, m.OFPR_IMPLICIT_MISS, cookie=m.UNKNOWN)
    assert (new.told(), old.told()[16]) == (b"", m.OFPR_NO_MATCH)


def test_the_miss_of_a_rule_is_an_action_to_those_who_know_no_such_rules() -> None:
    manager = make()
    old, new = Peer(manager, 3, controller()), Peer(manager, 4, controller())
    send(manager, m.OFPR_EXPLICIT_MISS)
    assert (old.told()[14], new.told()[14]) == (m.OFPR_ACTION, m.OFPR_NO_MATCH)


def test_expired_ttls_are_sent_on_request() -> None:
    manager = make()
    peer = Peer(manager, 1, controller())
    send(manager, m.OFPR_INVALID_TTL)
    assert peer.told() == b""
    peer.say(m.SetConfig(m.OFPC_INVALID_TTL_TO_CONTROLLER, 128))
    send(manager, m.OFPR_INVALID_TTL)
    assert peer.told()[16] == m.OFPR_INVALID_TTL
    reply = peer.say(m.GetConfigRequest())
    assert reply[8:10] == b"\0\x04"


def test_the_asynchronous_configuration_chooses_reasons() -> None:
    manager = make()
    peer = Peer(manager, 4, controller())
    peer.say(m.SetAsync(m.AsyncConfig((1 << m.OFPR_NO_MATCH, 0))))
    send(manager)
    assert peer.told() == b""
    send(manager, m.OFPR_EXPLICIT_MISS)
    assert peer.told()[14] == m.OFPR_NO_MATCH


def test_nicira_formats_carry_user_data() -> None:
    manager = make()
    peer = Peer(manager, 1, controller())
    peer.say(m.SetPacketInFormat(m.PACKET_IN_NXT2))
    manager.send_packet_in(
        FRAME,
        KEY,
        reason=1,
        table_id=3,
        cookie=5,
        max_len=0,
        controller_id=0,
        now_ms=0,
        userdata=b"hello",
    )
    told = peer.told()
    assert told[8:16].hex() == "000023200000001e"
    assert b"hello" in told


def test_the_metadata_of_a_packet_in_is_what_is_not_zero() -> None:
    key = FIELD["reg3"].put(KEY, 9) | FIELD["eth_type"].put(0, 0x800)
    expected = Match().with_field(FIELD["in_port_oxm"], 1).with_field(FIELD["reg3"], 9)
    assert metadata_match(key) == expected


def test_of_a_tunnels_flags_controllers_are_told_the_public_ones() -> None:
    flags = SLOT["tun_flags"]
    assert metadata_match(flags.put(KEY, 0xC)) == metadata_match(KEY)
    assert metadata_match(flags.put(KEY, 0xD)).mask == metadata_match(KEY).mask | 1 << flags.shift


# Rate limits


def packet_in(number: int) -> m.PacketIn:
    return m.PacketIn(number.to_bytes(2))


def test_nothing_waits_without_a_limit() -> None:
    queue = PacketInQueue(0, 0, 0)
    assert all(queue.push(1, packet_in(n), 0) for n in range(1_000))
    assert queue.deadline() is None


def test_a_burst_goes_at_once_and_the_rest_at_the_rate() -> None:
    queue = PacketInQueue(100, 2, 0)
    assert [queue.push(1, packet_in(n), 0) for n in range(4)] == [True, True, False, False]
    assert queue.pop_due(9) == []
    assert queue.deadline() == 10
    assert queue.pop_due(10) == [packet_in(2)]
    assert queue.pop_due(1_000) == [packet_in(3)]
    assert queue.deadline() is None


def test_ports_take_turns_and_the_noisiest_loses() -> None:
    queue = PacketInQueue(1_000, 4, 0)
    for n in range(4):
        queue.push(1, packet_in(n), 0)
    for n in (10, 11, 12):
        assert not queue.push(1, packet_in(n), 0)
    queue.push(2, packet_in(20), 0)
    queue.push(2, packet_in(21), 0)
    assert queue.n_dropped == 1
    assert queue.pop_due(4) == [packet_in(n) for n in (11, 20, 12, 21)]


def test_a_session_sends_what_waited_when_it_is_run() -> None:
    manager = make()
    peer = Peer(manager, 1, controller(rate_limit_pps=100, burst_limit_packets=1))
    send(manager)
    send(manager)
    assert len(peer.told()) == 78
    assert manager.deadline() == 10
    manager.run(10)
    assert len(peer.told()) == 78


# Rules that are gone, ports


def add(manager: ConnectionManager, flags: int = m.OFPFF_SEND_FLOW_REM) -> Rule:
    mod = m.FlowMod(m.OFPFC_ADD, Match(), 5, 0, new_cookie=0x4D, flags=flags, idle_timeout=3)
    return manager.switch.tables.apply(mod, 1_000)[0].rule


def test_a_removed_flow_is_told_with_its_age_and_its_last_packets() -> None:
    switch = QuietSwitch()
    manager = make(switch)
    peer = Peer(manager, 4, controller())
    rule = add(manager)
    switch.uncredited.append(rule)
    manager.flows_changed([manager.switch.tables.remove(rule, m.OFPRR_IDLE_TIMEOUT)], 1_451)
    head = "040b003800000000000000000000004d00050000000000001ae1b6c000030000"
    assert peer.told().hex() == head + "0000000000000001000000000000003c0001000400000000"


def test_only_flows_that_asked_for_it_are_told() -> None:
    manager = make()
    peer = Peer(manager, 4, controller())
    rule = add(manager, flags=0)
    manager.flows_changed([Change("removed", rule, m.OFPRR_DELETE)], 2_000)
    rule = add(manager)
    told_of_none = [Change(kind, rule) for kind in ("added", "replaced", "modified")]
    manager.flows_changed(told_of_none, 2_000)
    assert peer.told() == b""


def test_secondaries_are_told_of_ports() -> None:
    manager = make()
    peer = Peer(manager, 4, controller())
    peer.say(m.RoleRequest(m.OFPCR_ROLE_SECONDARY, 1))
    manager.port_status(m.OFPPR_ADD, PORT)
    told = peer.told()
    assert (told[1], told[8]) == (12, m.OFPPR_ADD)


def test_who_changes_a_port_is_told_so_since_openflow_15_only() -> None:
    manager = make()
    changer, other, modern = (Peer(manager, version, controller()) for version in (4, 4, 6))
    assert changer.say(m.PortMod(1, PORT.hw_addr, 0, 0)) == b""
    assert other.told()[1] == 12
    modern.told()
    assert modern.say(m.PortMod(1, PORT.hw_addr, 0, 0))[1] == 12


def test_counts_of_a_limit_are_those_of_the_manual_and_end_with_it() -> None:
    queue = PacketInQueue(100, 1, 0)
    for n in range(4):
        queue.push(1, packet_in(n), 0)
    assert queue.counts("miss") == (
        ("packet-in-miss-backlog", "1"),
        ("packet-in-miss-bypassed", "1"),
        ("packet-in-miss-dropped", "2"),
        ("packet-in-miss-queued", "3"),
    )
    queue.set_limits(0, 0)
    assert queue.counts("miss") == ()
    queue.set_limits(100, 1)
    assert queue.counts("miss")[1:3] == (
        ("packet-in-miss-bypassed", "0"),
        ("packet-in-miss-dropped", "0"),
    )


def test_peer_that_reads_gets_any_number_of_packet_ins() -> None:
    unread = Unread()
    assert all(unread.admit(100, 0, 2) for _ in range(1_000))


def test_peer_that_does_not_read_has_so_many_waiting_and_more_when_it_read_some() -> None:
    unread = Unread()
    n_waiting = 1_000
    for _ in range(2):
        assert unread.admit(100, n_waiting, 2)
        n_waiting += 132
    assert not unread.admit(100, n_waiting, 2)
    assert unread.admit(100, 150, 2)
    assert not unread.admit(100, 282, 2)
