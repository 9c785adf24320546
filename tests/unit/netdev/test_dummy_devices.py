"""Dummy devices and the ovs-appctl commands for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from netloom.base.errors import CommandError, ConfigError
from netloom.base.log import CONSOLE, DBG, vlog
from netloom.netdev.device import UNKNOWN_COUNT, Packet
from netloom.netdev.dummy import DummyDevice, DummyFactory
from netloom.packet.build import ethernet, ipv4
from netloom.packet.marks import TX_SEGMENTS, TX_TCP
from netloom.vswitchd.status import state_columns

FRAME = bytes.fromhex("00000000000200000000000108004500")


def make(factory: DummyFactory, name: str = "p1", type_: str = "dummy") -> DummyDevice:
    factory.open(name, type_, {})
    return factory.devices[name]


def build(text: str, length: int) -> bytes:
    """Stands for the composer of packets."""
    if not text.startswith("in_port"):
        raise CommandError(f"syntax error at {text}")
    return FRAME.ljust(length, b"\0")


def test_what_is_injected_is_received_once_and_counted() -> None:
    device = make(DummyFactory(None))
    for _ in range(3):
        device.inject(FRAME)
    assert device.receive(2) == [Packet(FRAME)] * 2
    assert device.receive(2) == [Packet(FRAME)]
    assert device.receive(2) == []
    assert (device.stats().rx_packets, device.stats().rx_bytes) == (3, 48)


def test_counters_that_a_dummy_does_not_keep_are_unknown() -> None:
    stats = make(DummyFactory(None)).stats()
    assert (stats.rx_errors, stats.collisions, stats.tx_packets) == (
        UNKNOWN_COUNT,
        UNKNOWN_COUNT,
        0,
    )


def test_a_device_that_is_down_says_so_and_carries_packets() -> None:
    device = make(DummyFactory(None))
    device.set_admin_up(False)
    device.inject(FRAME)
    device.send([Packet(FRAME)])
    assert not device.state().link_up
    assert len(device.receive(10)) == len(device.sent) == 1


def test_a_packet_longer_than_the_mtu_is_not_sent() -> None:
    device = make(DummyFactory(None))
    device.set_mtu(100)
    tagged = FRAME[:12] + b"\x81\x00" + FRAME[12:]
    for length in (114, 115):
        device.send([Packet(FRAME.ljust(length, b"\0"))])
    for length in (118, 119):
        device.send([Packet(tagged.ljust(length, b"\0"))])
    assert [len(packet.data) for packet in device.sent] == [114, 118]
    assert device.tx_dropped == 2


def test_tcp_of_a_device_that_leaves_it_uncut_is_cut_unless_the_next_does_so_too() -> None:
    factory = DummyFactory(None)
    one, two = make(factory, "p1"), make(factory, "p2")
    one.set_options({"ol_tso_segsz": "100"})
    assert not one.options
    factory.leave_segments()
    one.set_options({"ol_tso_segsz": "100"})
    header = bytes(12) + b"\x50\x10" + bytes(6)
    frames = [
        ethernet(bytes(6), bytes(6), 0x0800, ipv4(b"\1\0\0\1", b"\1\0\0\2", 6, data))
        for data in (header + bytes(250), header + bytes(100))
    ]
    for uncut, lengths in (("0", [154, 154, 104, 154]), ("100", [304, 154])):
        two.set_options({"ol_tso_segsz": uncut})
        for frame in frames:
            one.inject(frame)
        two.send(one.receive(5))
        assert [len(packet.data) for packet in two.sent] == lengths
        two.sent.clear()


def test_what_a_dummy_does_to_checksums_is_shown_and_announced() -> None:
    factory = DummyFactory(None)
    device = make(factory)
    device.set_options({
        "ol_ip_rx_csum_set_bad": "true", "ol_l4_tx_csum": "true", "ol_tso_segsz": "100",
        "ol_ip_tx_csum_disabled": "true", "ol_out_udp_tx_csum_disabled": "true",
        "ol_out_ip_tx_csum": "TRUE", "ol_out_ip_tx_csum_disabled": "true",
    })  # fmt: skip
    assert device.options == {
        "ol_ip_rx_csum_set_bad": "true", "ol_l4_tx_csum": "true", "ol_out_ip_tx_csum": "true",
        "ol_out_ip_tx_csum_disabled": "true",
    }  # fmt: skip
    said = state_columns(1, device.state(), tells_offloads=True)["status"]
    assert isinstance(said, dict)
    assert len(said) == 10
    assert {name for name, value in said.items() if value == "true"} == {
        "tx_out_ip_csum_offload", "tx_tcp_csum_offload", "tx_udp_csum_offload",
    }  # fmt: skip
    assert state_columns(1, device.state())["status"] == {}
    factory.leave_segments()
    device.set_options({"ol_tso_segsz": "100"})
    assert device.options == {"ol_tso_segsz": "100"}
    assert device.state().tx_offloads == TX_SEGMENTS | TX_TCP


def test_the_log_tells_what_is_known_of_checksums(capsys: pytest.CaptureFixture[str]) -> None:
    device = make(DummyFactory(None))
    device.set_options({"ol_ip_rx_csum_set_good": "true", "ol_l4_rx_csum_set_partial": "true"})
    levels = vlog.levels()
    vlog.set_level(DBG, "netdev_dummy", CONSOLE)
    try:
        device.inject(FRAME)
        device.send(device.receive(1))
    finally:
        vlog.set_levels(levels)
    lines = [line.partition("|DBG|")[2] for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "Rx: packet with csum IP good, L4 partial, segsz 0",
        "Tx: packet with csum IP good, L4 partial, tunnel none, inner csum IP unknown, "
        "inner L4 unknown, segsz 0",
    ]


def test_addresses_count_up() -> None:
    factory = DummyFactory(None)
    assert [make(factory, f"p{n}").state().mac for n in range(2)] == [
        "aa:55:aa:55:00:00", "aa:55:aa:55:00:01",
    ]  # fmt: skip


def test_pcap_files_hold_what_was_received_and_sent(tmp_path: Path) -> None:
    factory = DummyFactory(None, wall_ms=lambda: 1_500)
    device = make(factory)
    both, sent = tmp_path / "both", tmp_path / "sent"
    device.set_options({"pcap": str(both), "tx_pcap": str(sent)})
    device.inject(FRAME)
    device.send([Packet(FRAME)])
    header = "d4c3b2a1020004000000000000000000ee05000001000000"
    record = "0100000020a107001000000010000000" + FRAME.hex()
    assert both.read_bytes().hex() == header + record
    assert sent.read_bytes().hex() == header + record


def test_a_pcap_file_is_continued_by_a_device_that_comes_back(tmp_path: Path) -> None:
    factory = DummyFactory(None, wall_ms=lambda: 1_500)
    sent = tmp_path / "sent"
    for n_bytes in (24 + 32, 24 + 64):
        device = make(factory)
        device.set_options({"tx_pcap": str(sent)})
        device.send([Packet(FRAME)])
        device.close()
        assert sent.stat().st_size == n_bytes


def test_a_pcap_file_that_cannot_be_made_is_an_error_of_the_row(tmp_path: Path) -> None:
    device = make(DummyFactory(None))
    with pytest.raises(ConfigError, match="No such file or directory"):
        device.set_options({"pcap": str(tmp_path / "none" / "file")})


class FakeWire:
    """A wire whose other end is the test."""

    def __init__(self) -> None:
        self.coming: list[bytes] = []
        self.sent: list[bytes] = []
        self.is_closed = False
        self.state = "connected"

    def send(self, frame: bytes) -> None:
        self.sent.append(frame)

    def receive(self) -> list[bytes]:
        coming, self.coming = self.coming, []
        return coming

    def close(self) -> None:
        self.is_closed = True


def test_a_wire_carries_packets_until_it_is_unplugged() -> None:
    wire, asked = FakeWire(), []

    def open_wire(option: str, target: str) -> FakeWire:
        asked.append((option, target))
        return wire

    factory = DummyFactory(None, "override", open_wire=open_wire)
    device = factory.open("p1", "dummy", {"stream": "unix:x"})
    device.set_options({"stream": "unix:x"})
    assert asked == [("stream", "unix:x")]
    assert factory.command_conn_state([]) == "p1: connected\n"
    wire.coming.append(FRAME)
    assert [packet.data for packet in device.receive(10)] == [FRAME]
    device.send([Packet(FRAME)])
    assert wire.sent == [FRAME]
    device.set_options({})
    assert wire.is_closed
    assert factory.command_conn_state(["p1"]) == "p1: unknown\n"


def test_without_sockets_there_is_nothing_to_plug_into() -> None:
    factory = DummyFactory(None, "override")
    with pytest.raises(ConfigError, match="nothing to plug option stream into"):
        factory.open("p1", "dummy", {"stream": "unix:x"})


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ConfigError):
        DummyFactory(None, "bogus")


def receive(factory: DummyFactory, *args: str) -> str:
    return factory.command_receive(list(args), build)


def test_receive_takes_hex_and_flows() -> None:
    factory = DummyFactory(None)
    device = make(factory)
    assert receive(factory, "p1", FRAME.hex(), "in_port(1)", "--len", "80", "in_port(1)") == ""
    assert receive(factory, "p1", "--qid", "0", FRAME.hex(" ")) == ""
    assert [len(packet.data) for packet in device.receive(9)] == [16, 80, 16, 16]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("nope", "ff"), "no such dummy netdev"),
        (("p1", "ff"), "syntax error at ff"),
        (("p1", "0" * 27), "syntax error at " + "0" * 27),
        (("p1", "--qid", "1", "ff"), "bad rx queue id."),
        (("p1", "--qid"), "bad rx queue id."),
        (("p1", "in_port(1)", "--len", "59"), "too small packet len"),
        (("p1", "in_port(1)", "--len", "x"), "too small packet len"),
        (("p1", "in_port(1)", "--len"), "too small packet len"),
    ],
)
def test_receive_refuses_with_the_peers_message(args: tuple[str, ...], message: str) -> None:
    factory = DummyFactory(None)
    device = make(factory)
    with pytest.raises(CommandError) as raised:
        receive(factory, *args)
    assert str(raised.value) == message
    assert device.receive(1) == []


def test_admin_state_is_set_for_one_or_all_and_noticed() -> None:
    factory = DummyFactory(None)
    one, two = make(factory, "p1"), make(factory, "p2")
    before = factory.changes()
    assert factory.command_set_admin_state(["p1", "down"]) == "OK"
    assert [device.state().admin_up for device in (one, two)] == [False, True]
    assert factory.command_set_admin_state(["DOWN"]) == "OK"
    assert not two.state().admin_up
    assert factory.changes() > before
    for args, message in ((["p1", "x"], "Invalid Admin State"), (["p9", "up"], "Unknown Dummy")):
        with pytest.raises(CommandError, match=message):
            factory.command_set_admin_state(args)


def test_connections_are_unknown() -> None:
    factory = DummyFactory(None)
    make(factory)
    assert factory.command_conn_state([]) == ""
    assert factory.command_conn_state(["p1"]) == "p1: unknown\n"
