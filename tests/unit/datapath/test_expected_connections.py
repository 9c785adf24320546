"""FTP and TFTP through the connection tracker: what they announce is related to them, and their
addresses are translated. Without translation, Debian's switch says and sends the same."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from netloom.base.counters import Counters
from netloom.datapath.action_parse import parse_actions
from netloom.datapath.actions import Ct
from netloom.datapath.userspace.conntrack.expected import Announced, adjust_packet, read_ftp
from netloom.datapath.userspace.conntrack.nat import translate_packet
from netloom.datapath.userspace.conntrack.tracker import ConnTracker, Tracked
from netloom.flow.numbers import CT_STATE_NAMES
from netloom.packet.parse import parse

CLIENT, SERVER, OUTSIDE = "10.0.0.1", "10.0.0.2", "10.0.0.200"
PORT = b"PORT 10,0,0,1,20,10\r\n"


class Firewall:
    """Commits what is new, with or without source translation."""

    def __init__(self, nat: str = "", helper: str = "ftp") -> None:
        self.tracker = ConnTracker(Counters(), lambda: 0)
        self._first = self._ct(f"ct({nat and 'nat'})")
        self._commit = self._ct(f"ct(commit,helper={helper}{nat and ',nat(src=' + nat + ')'})")
        self._related = self._ct(f"ct(commit{nat and ',nat'})")

    @staticmethod
    def _ct(text: str) -> Ct:
        (action,) = parse_actions(text.replace("()", ""))
        assert isinstance(action, Ct)
        return action

    def send(self, packet: Packet) -> tuple[str, Packet]:
        """The state of a packet and what it is when it leaves."""
        data = bytearray(bytes(Ether() / packet))
        tracked = self._track(data, Tracked(), self._first)
        if "new" in names(tracked):
            action = self._related if "rel" in names(tracked) else self._commit
            self._track(data, tracked, action)
        return names(tracked), Ether(bytes(data))

    def _track(self, data: bytearray, before: Tracked, action: Ct) -> Tracked:
        headers = parse(data)
        verdict = self.tracker.track(bytes(data), headers, before, action, 1_000)
        if (how := verdict.translation) is not None:
            translate_packet(data, headers, how.wanted, how.action, how.inner, None)
        if verdict.adjustment is not None:
            adjust_packet(data, headers, verdict.adjustment)
        return verdict.tracked


def names(tracked: Tracked) -> str:
    found = [name for bit, name in enumerate(CT_STATE_NAMES) if tracked.state >> bit & 1]
    return "+".join(name for name in found if name not in ("trk", "snat", "dnat"))


def segment(
    src: str, dst: str, ports: tuple[int, int], flags: str, seq: int, ack: int, data: bytes = b""
) -> Packet:
    network = IPv6 if ":" in src else IP
    tcp = TCP(sport=ports[0], dport=ports[1], flags=flags, seq=seq, ack=ack, window=5_000)
    return network(src=src, dst=dst) / tcp / Raw(data)


def open_control(firewall: Firewall, client: str = CLIENT, server: str = SERVER,
                 seen_as: str = CLIENT) -> None:  # fmt: skip
    firewall.send(segment(client, server, (3000, 21), "S", 100, 0))
    firewall.send(segment(server, seen_as, (21, 3000), "SA", 500, 101))
    firewall.send(segment(client, server, (3000, 21), "A", 101, 501))


def is_whole(frame: Packet) -> bool:
    """Whether lengths and checksums of a frame are right."""
    again = frame.copy()
    ip = again.payload
    for layer in (ip, ip.payload):
        for field in ("len", "plen", "chksum"):
            if field in layer.fields:
                del layer.fields[field]
    return bytes(again) == bytes(frame)


def test_active_data_connection_is_related() -> None:
    firewall = Firewall()
    open_control(firewall)
    assert firewall.send(segment(CLIENT, SERVER, (3000, 21), "PA", 101, 501, PORT))[0] == "est"
    opening = segment(SERVER, CLIENT, (20, 5130), "S", 900, 0)
    assert firewall.send(opening)[0] == "new+rel"
    assert firewall.send(segment(CLIENT, SERVER, (5130, 20), "SA", 7, 901))[0] == "est+rel+rpl"
    assert len(firewall.tracker) == 2


def test_other_hosts_and_ports_are_not_expected() -> None:
    firewall = Firewall()
    open_control(firewall)
    firewall.send(segment(CLIENT, SERVER, (3000, 21), "PA", 101, 501, PORT))
    assert firewall.send(segment("10.0.0.9", CLIENT, (20, 5130), "S", 9, 0))[0] == "new"
    assert firewall.send(segment(SERVER, CLIENT, (20, 5131), "S", 9, 0))[0] == "new"


def test_passive_data_connection_is_related() -> None:
    firewall = Firewall()
    open_control(firewall)
    reply = b"227 Entering Passive Mode (10,0,0,2,30,10).\r\n"
    assert firewall.send(segment(SERVER, CLIENT, (21, 3000), "PA", 501, 101, reply))[0] == "est+rpl"
    assert firewall.send(segment(CLIENT, SERVER, (4000, 7690), "S", 1, 0))[0] == "new+rel"


def test_mark_and_label_are_inherited() -> None:
    firewall = Firewall()
    open_control(firewall)
    (control,) = firewall.tracker.connections(1_000)
    control.mark, control.label = 5, 9
    firewall.send(segment(CLIENT, SERVER, (3000, 21), "PA", 101, 501, PORT))
    firewall.send(segment(SERVER, CLIENT, (20, 5130), "S", 900, 0))
    _, data = firewall.tracker.connections(1_000)
    assert (data.mark, data.label, data.parent) == (5, 9, control.key)


def test_what_is_expected_is_shown() -> None:
    firewall = Firewall()
    open_control(firewall)
    (control,) = firewall.tracker.connections(1_000)
    control.mark, control.label = 5, 9
    firewall.send(segment(CLIENT, SERVER, (3000, 21), "PA", 101, 501, PORT))
    zone = control.key.zone
    assert firewall.tracker.dump_expected(zone + 1) == []
    assert firewall.tracker.dump_expected(zone) == [
        f"tcp,orig=(src={SERVER},dst={CLIENT},sport=0,dport=5130)"
        f"{f',zone={zone}' if zone else ''},mark=5,labels=0x9,"
        f"parent=(src={CLIENT},dst={SERVER},sport=3000,dport=21)"
    ]


def test_address_in_the_text_is_translated_and_numbers_follow() -> None:
    firewall = Firewall(nat=OUTSIDE)
    open_control(firewall, seen_as=OUTSIDE)
    _, sent = firewall.send(segment(CLIENT, SERVER, (3000, 21), "PA", 101, 501, PORT))
    assert bytes(sent[TCP].payload) == b"PORT 10,0,0,200,20,10\r\n"
    assert (sent[IP].src, sent[TCP].seq) == (OUTSIDE, 101)
    assert is_whole(sent)
    grown = len(PORT) + 2
    state, answer = firewall.send(
        segment(SERVER, OUTSIDE, (21, 3000), "PA", 501, 101 + grown, b"200 ok\r\n")
    )
    assert (state, answer[TCP].ack) == ("est+rpl", 101 + len(PORT))
    assert is_whole(answer)
    _, later = firewall.send(
        segment(CLIENT, SERVER, (3000, 21), "PA", 101 + len(PORT), 509, b"LIST\r\n")
    )
    assert later[TCP].seq == 101 + grown


def test_expected_connection_is_translated_as_its_parent() -> None:
    firewall = Firewall(nat=OUTSIDE)
    open_control(firewall, seen_as=OUTSIDE)
    firewall.send(segment(CLIENT, SERVER, (3000, 21), "PA", 101, 501, PORT))
    state, opening = firewall.send(segment(SERVER, OUTSIDE, (20, 5130), "S", 900, 0))
    assert state == "new+rel"
    assert (opening[IP].dst, is_whole(opening)) == (CLIENT, True)
    state, answer = firewall.send(segment(CLIENT, SERVER, (5130, 20), "SA", 7, 901))
    assert state == "est+rel+rpl"
    assert (answer[IP].src, is_whole(answer)) == (OUTSIDE, True)


@pytest.mark.parametrize("text", [b"PORT 10,0,0,7,20,10\r\n", b"PORT 10,0,0\r\n"])
def test_foreign_or_malformed_address_is_invalid(text: bytes) -> None:
    firewall = Firewall()
    open_control(firewall)
    state, _ = firewall.send(segment(CLIENT, SERVER, (3000, 21), "PA", 101, 501, text))
    assert "inv" in state
    assert firewall.send(segment(SERVER, CLIENT, (20, 5130), "S", 900, 0))[0] == "new"


def test_extended_commands_work_over_ipv6() -> None:
    firewall = Firewall()
    client, server = "2001:db8::1", "2001:db8::2"
    open_control(firewall, client, server, client)
    text = b"EPRT |2|2001:db8::1|5130|\r\n"
    firewall.send(segment(client, server, (3000, 21), "PA", 101, 501, text))
    assert firewall.send(segment(server, client, (20, 5130), "S", 9, 0))[0] == "new+rel"
    text = b"229 Entering Extended Passive Mode (|||7690|)\r\n"
    firewall.send(segment(server, client, (21, 3000), "PA", 501, 101 + 27, text))
    assert firewall.send(segment(client, server, (4000, 7690), "S", 9, 0))[0] == "new+rel"


def test_answer_of_tftp_comes_from_any_port() -> None:
    firewall = Firewall(helper="tftp")
    firewall.send(IP(src=CLIENT, dst=SERVER) / UDP(sport=2222, dport=69) / Raw(b"\0\1f\0octet\0"))
    data = IP(src=SERVER, dst=CLIENT) / UDP(sport=40_000, dport=2222) / Raw(b"\0\3\0\1data")
    assert firewall.send(data)[0] == "new+rel"


def test_nothing_is_expected_once_the_parent_is_gone() -> None:
    firewall = Firewall()
    open_control(firewall)
    firewall.send(segment(CLIENT, SERVER, (3000, 21), "PA", 101, 501, PORT))
    firewall.tracker.flush()
    assert firewall.send(segment(SERVER, CLIENT, (20, 5130), "S", 900, 0))[0] == "new"


@pytest.mark.parametrize(
    ("text", "is_ipv6", "is_reply", "port"),
    [
        (b"port 1,2,3,4,0,21\r\n", False, False, 21),
        (b"227 =1,2,3,4,1,0", False, True, 256),
        (b"EPRT |2|::1|65535|", True, False, 65_535),
        (b"229 ok (|||1|)", True, True, 1),
        (b"EPRT |1|1.2.3.4|77|", False, False, 77),
        (b"229 ok (|||78|)", False, True, 78),
    ],
)
def test_announcements_are_read(text: bytes, is_ipv6: bool, is_reply: bool, port: int) -> None:
    found = read_ftp(text, is_ipv6, is_reply)
    assert isinstance(found, Announced)
    assert found.port == port


@pytest.mark.parametrize(
    ("text", "is_ipv6"),
    [(b"PORT 1,2,3,4,0,0", False), (b"PORT 1,2,3,256,1,1", False), (b"EPRT |2|x|1|", True),
     (b"EPRT |2|:::|5|", True), (b"EPRT |2|::1|65536|", True), (b"PORT", False),
     (b"EPRT |2|::1|5|", False), (b"EPRT |1|1.2.3.4|5|", True), (b"EPRT |1|1.2.3.400|5|", False)],
)  # fmt: skip
def test_bad_announcements_are_errors(text: bytes, is_ipv6: bool) -> None:
    assert isinstance(read_ftp(text, is_ipv6, False), ValueError)


def test_other_messages_announce_nothing() -> None:
    assert read_ftp(b"USER me\r\n", False, False) is None
    assert read_ftp(PORT, False, True) is None
