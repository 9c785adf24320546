"""The connection tracker: scripted conversations and what it says of each packet.

The states were taken from Debian's switch given the same packets
(tests/interop/test_conntrack_peer.py plays random ones to both)."""

from __future__ import annotations

from netloom.base.counters import Counters
from netloom.datapath.action_parse import parse_actions
from netloom.datapath.actions import Ct
from netloom.datapath.userspace.conntrack.nat import translate_packet
from netloom.datapath.userspace.conntrack.text import format_connection
from netloom.datapath.userspace.conntrack.tracker import ConnTracker, Tracked
from netloom.flow.numbers import CT_STATE_NAMES
from netloom.packet.checksum import checksum, transport_checksum
from netloom.packet.parse import parse

A, B = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
FIN, SYN, RST, ACK = 1, 2, 4, 16


def ipv4(src: bytes, dst: bytes, proto: int, payload: bytes, flags: int = 0) -> bytes:
    header = bytearray(20)
    header[0] = 0x45
    header[2:4] = (20 + len(payload)).to_bytes(2, "big")
    header[6:8] = flags.to_bytes(2, "big")
    header[8:10] = bytes((64, proto))
    header[12:20] = src + dst
    header[10:12] = checksum(header).to_bytes(2, "big")
    return b"\x50\0\0\0\0\x02\x50\0\0\0\0\x01\x08\0" + bytes(header) + payload


def tcp(
    src: bytes, dst: bytes, sport: int, dport: int, flags: int, seq: int, ack: int = 0, n: int = 0
) -> bytes:
    segment = bytearray(20 + n)
    segment[0:4] = sport.to_bytes(2, "big") + dport.to_bytes(2, "big")
    segment[4:12] = seq.to_bytes(4, "big") + ack.to_bytes(4, "big")
    segment[12:16] = bytes((0x50, flags)) + (1000).to_bytes(2, "big")
    segment[16:18] = transport_checksum(src, dst, 6, segment).to_bytes(2, "big")
    return ipv4(src, dst, 6, bytes(segment))


def udp(src: bytes, dst: bytes, sport: int = 5, dport: int = 53, data: bytes = b"hi") -> bytes:
    segment = bytearray(8) + data
    segment[0:4] = sport.to_bytes(2, "big") + dport.to_bytes(2, "big")
    segment[4:6] = len(segment).to_bytes(2, "big")
    segment[6:8] = transport_checksum(src, dst, 17, segment).to_bytes(2, "big")
    return ipv4(src, dst, 17, bytes(segment))


def icmp(src: bytes, dst: bytes, kind: int, code: int = 0, rest: bytes = b"\0\x07\0\1") -> bytes:
    message = bytearray((kind, code, 0, 0)) + rest
    message[2:4] = checksum(message).to_bytes(2, "big")
    return ipv4(src, dst, 1, bytes(message))


def unreachable(src: bytes, dst: bytes, quoted: bytes) -> bytes:
    return icmp(src, dst, 3, 1, b"\0\0\0\0" + quoted[14:42])


class Conversation:
    def __init__(self) -> None:
        self.counters = Counters()
        self.tracker = ConnTracker(self.counters, lambda: 5)
        self.now_ms = 1_000
        self.last = Tracked()
        self.packet = b""

    def track(self, packet: bytes, ct: str = "ct(commit)", before: Tracked | None = None) -> str:
        (action,) = parse_actions(ct)
        assert isinstance(action, Ct)
        headers = parse(packet)
        verdict = self.tracker.track(packet, headers, before or Tracked(), action, self.now_ms)
        data = bytearray(packet)
        if (how := verdict.translation) is not None:
            translate_packet(data, headers, how.wanted, how.action, how.inner, None)
        self.last, self.packet = verdict.tracked, bytes(data)
        names = [n for bit, n in enumerate(CT_STATE_NAMES) if self.last.state >> bit & 1 and n]
        return "|".join(name for name in names if name != "trk")

    def ab(self, flags: int, seq: int, ack: int = 0, n: int = 0) -> str:
        return self.track(tcp(A, B, 1000, 80, flags, seq, ack, n))

    def ba(self, flags: int, seq: int, ack: int = 0, n: int = 0) -> str:
        return self.track(tcp(B, A, 80, 1000, flags, seq, ack, n), "ct")

    def open(self) -> None:
        self.ab(SYN, 100)
        self.ba(SYN | ACK, 500, 101)
        self.ab(ACK, 101, 501)

    def dump(self) -> list[str]:
        return [format_connection(c, self.now_ms) for c in self.tracker.connections(self.now_ms)]

    def state(self) -> str:
        return self.dump()[0].partition("state=")[2].rstrip(")")

    def count(self, name: str) -> int:
        return self.counters.counter(name).total


def test_handshake_is_new_until_it_is_answered() -> None:
    talk = Conversation()
    assert talk.ab(SYN, 100) == "new"
    assert talk.ab(SYN, 100) == "new"
    assert talk.ba(SYN | ACK, 500, 101) == "est|rpl"
    assert talk.ab(ACK, 101, 501) == "est"
    assert talk.state() == "ESTABLISHED"


def test_lost_and_reordered_segments_stay_in_the_connection() -> None:
    talk = Conversation()
    talk.open()
    assert talk.ab(ACK, 151, 501, 50) == "est"
    assert talk.ab(ACK, 101, 501, 50) == "est"
    assert talk.ba(ACK, 501, 101) == "est|rpl"


def test_segment_beyond_the_window_is_invalid() -> None:
    talk = Conversation()
    talk.open()
    assert talk.ab(ACK, 5_000, 501, 10) == "inv"
    assert talk.count("conntrack_invalid_state") == 1
    assert talk.ab(ACK, 101, 501, 10) == "est"


def test_segment_beyond_the_window_passes_without_sequence_check() -> None:
    talk = Conversation()
    talk.tracker.checks_tcp_sequence = False
    talk.open()
    assert talk.ab(ACK, 5_000, 501, 10) == "est"


def test_reset_must_have_the_expected_number() -> None:
    talk = Conversation()
    talk.open()
    assert talk.ba(RST, 700) == "inv"
    assert talk.state() == "ESTABLISHED"
    assert talk.ba(RST, 501) == "est|rpl"
    assert talk.state() == "TIME_WAIT"


def test_half_closed_connection_still_carries_the_other_direction() -> None:
    talk = Conversation()
    talk.open()
    talk.ab(FIN | ACK, 101, 501)
    assert talk.ba(ACK, 501, 102) == "est|rpl"
    assert talk.state() == "TIME_WAIT"
    assert talk.ba(ACK, 501, 102, 100) == "est|rpl"
    talk.ba(FIN | ACK, 601, 102)
    assert talk.ab(ACK, 102, 602) == "est"
    assert talk.ab(SYN, 9_000) == "new"
    assert talk.state() == "SYN_SENT"


def test_simultaneous_open_is_new_for_both_and_not_followed_further() -> None:
    # As in Open vSwitch: the second SYN does not set the numbers of its side.
    talk = Conversation()
    talk.ab(SYN, 100)
    assert talk.ba(SYN, 500) == "new"
    assert talk.ba(SYN | ACK, 500, 101) == "inv"


def test_impossible_flags_and_bare_syn_ack_open_nothing() -> None:
    talk = Conversation()
    for flags in (SYN | FIN, SYN | RST, 0, FIN, SYN | ACK):
        assert talk.ab(flags, 100) == "inv"
    assert not len(talk.tracker)


def test_established_connection_lives_a_day_and_a_half_open_one_30_seconds() -> None:
    talk = Conversation()
    talk.ab(SYN, 100)
    talk.now_ms += 30_000
    assert talk.ba(SYN | ACK, 500, 101) == "inv"
    talk.open()
    talk.now_ms += 86_399_000
    assert talk.ab(ACK, 101, 501) == "est"


def test_udp_is_established_by_an_answer() -> None:
    talk = Conversation()
    assert talk.track(udp(A, B)) == "new"
    assert talk.track(udp(A, B)) == "new"
    assert talk.track(udp(B, A, 53, 5)) == "est|rpl"
    assert talk.track(udp(A, B)) == "est"
    talk.now_ms += 30_000
    assert talk.track(udp(A, B), "ct") == "new"
    assert talk.dump() == []


def test_zones_know_nothing_of_each_other() -> None:
    talk = Conversation()
    talk.track(udp(A, B), "ct(commit,zone=1)")
    assert talk.track(udp(B, A, 53, 5), "ct(zone=2)") == "new"
    assert talk.track(udp(B, A, 53, 5), "ct(zone=1)") == "est|rpl"


def test_ping_is_told_by_its_identifier() -> None:
    talk = Conversation()
    assert talk.track(icmp(A, B, 8)) == "new"
    assert talk.track(icmp(B, A, 0, 0, b"\0\x08\0\1"), "ct") == "inv"
    assert talk.track(icmp(B, A, 0), "ct") == "est|rpl"


def test_icmp_error_is_related_to_what_it_quotes() -> None:
    talk = Conversation()
    talk.track(udp(A, B))
    assert talk.track(unreachable(bytes((9, 9, 9, 9)), A, udp(A, B)), "ct") == "rel|rpl"
    assert talk.track(unreachable(B, A, udp(A, B, 6)), "ct") == "inv"
    assert talk.track(unreachable(B, bytes((10, 0, 0, 7)), udp(A, B)), "ct") == "inv"


def test_wrong_checksum_and_fragments_are_invalid_with_a_reason() -> None:
    talk = Conversation()
    broken = bytearray(udp(A, B))
    broken[-1] ^= 1
    assert talk.track(bytes(broken)) == "inv"
    assert talk.count("conntrack_l4csum_err") == 1
    assert talk.track(ipv4(A, B, 17, b"\0" * 8, flags=0x2000)) == "inv"
    assert talk.count("conntrack_invalid_fragment") == 1


def test_any_cut_packet_is_judged_without_an_exception() -> None:
    talk = Conversation()
    for packet in (tcp(A, B, 1, 2, SYN, 5), unreachable(B, A, udp(A, B)), icmp(A, B, 8)):
        for size in range(len(packet)):
            assert talk.track(packet[:size]) == "inv"


def assert_checksums(packet: bytes) -> None:
    headers = parse(packet)
    assert checksum(packet[14:34]) == 0
    if headers.proto == 1:
        assert checksum(packet[headers.l4 : headers.end]) == 0
        return
    at = headers.l4 + (16 if headers.proto == 6 else 6)
    segment = bytearray(packet[headers.l4 : headers.end])
    segment[at - headers.l4 : at - headers.l4 + 2] = b"\0\0"
    expected = transport_checksum(packet[26:30], packet[30:34], headers.proto, segment)
    assert int.from_bytes(packet[at : at + 2], "big") == expected


def test_source_translation_is_undone_in_answers_and_errors() -> None:
    talk = Conversation()
    nat = "ct(commit,zone=4,nat(src=10.0.0.77:5000))"
    outside = bytes((10, 0, 0, 77))
    assert talk.track(udp(A, B), nat) == "new|snat"
    assert talk.packet == udp(outside, B, 5000, 53)
    assert talk.track(udp(B, outside, 53, 5000), "ct(zone=4,nat)") == "est|rpl|dnat"
    assert talk.packet == udp(B, A, 53, 5)
    assert talk.track(udp(A, B), "ct(zone=4,nat)") == "est|snat"
    error = unreachable(B, outside, udp(outside, B, 5000, 53))
    assert talk.track(error, "ct(zone=4,nat)") == "rel|rpl|dnat"
    assert_checksums(talk.packet)
    assert talk.packet[42:] == udp(A, B)[14:42]
    assert talk.dump() == [
        "udp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=5,dport=53),"
        "reply=(src=10.0.0.2,dst=10.0.0.77,sport=53,dport=5000),zone=4"
    ]


def test_destination_translation_is_undone_in_answers() -> None:
    talk = Conversation()
    inside = bytes((10, 0, 0, 88))
    assert talk.track(tcp(A, B, 1000, 80, SYN, 1), "ct(commit,nat(dst=10.0.0.88:8080))")
    assert talk.packet == tcp(A, inside, 1000, 8080, SYN, 1)
    assert talk.track(tcp(inside, A, 8080, 1000, SYN | ACK, 5, 2), "ct(nat)") == "est|rpl|snat"
    assert talk.packet == tcp(B, A, 80, 1000, SYN | ACK, 5, 2)


def test_translated_ports_never_collide_and_run_out() -> None:
    talk = Conversation()
    nat = "ct(commit,nat(src=10.0.0.77-10.0.0.78:5000-5004))"
    seen = set()
    for sport in range(1, 11):
        assert talk.track(udp(A, B, sport), nat) == "new|snat"
        seen.add(talk.packet[26:36])
    assert len(seen) == 10
    assert talk.track(udp(A, B, 11), nat) == "new"
    assert talk.count("conntrack_nat_exhausted") == 1
    assert len(talk.tracker) == 10


def test_translation_to_no_address_moves_only_ports_that_are_taken() -> None:
    talk = Conversation()
    assert talk.track(udp(A, B, 2_000), "ct(commit,nat(src=0.0.0.0))") == "new|snat"
    assert talk.packet[26:36] == A + B + (2_000).to_bytes(2, "big")
    # Somebody else has the address and port already, by translation.
    talk.track(udp(bytes((10, 0, 0, 9)), B, 7), "ct(commit,nat(src=10.0.0.1:3000))")
    assert talk.track(udp(A, B, 3_000), "ct(commit,nat(src=0.0.0.0))") == "new|snat"
    assert talk.packet[26:34] == A + B
    assert talk.packet[34:36] == (3_001).to_bytes(2, "big")


def test_persistent_translation_keeps_a_client_on_one_address() -> None:
    talk = Conversation()
    nat = "ct(commit,nat(src=10.0.0.70-10.0.0.79,persistent))"
    seen = set()
    for host in range(2, 9):
        talk.track(udp(A, bytes((10, 0, 1, host))), nat)
        seen.add(talk.packet[26:30])
    assert len(seen) == 1


def test_second_pass_through_the_same_zone_changes_marks_only() -> None:
    talk = Conversation()
    talk.track(udp(A, B), "ct(commit,nat(src=10.0.0.77:5000))")
    first, packet = talk.last, talk.packet
    assert talk.track(packet, "ct(commit,mark=0x5/0xf,label=0x9)", first) == "new|snat"
    assert (talk.last.mark, talk.last.label) == (5, 9)
    assert len(talk.tracker) == 1


def test_mark_changes_under_its_mask() -> None:
    talk = Conversation()
    talk.track(udp(A, B), "ct(commit,mark=0x5/0xf)")
    talk.track(udp(B, A, 53, 5), "ct(commit,mark=0x60/0xf0)")
    assert talk.last.mark == 0x65


def test_force_from_the_answering_side_begins_anew() -> None:
    talk = Conversation()
    talk.track(udp(A, B))
    assert talk.track(udp(B, A, 53, 5), "ct(force_commit)") == "new"
    assert talk.track(udp(A, B), "ct") == "est|rpl"


def test_full_table_keeps_a_packet_new_and_counts_it() -> None:
    talk = Conversation()
    talk.tracker.max_connections = 1
    talk.track(udp(A, B))
    assert talk.track(udp(A, B, 6)) == "new"
    assert talk.track(udp(B, A, 53, 6), "ct") == "new"
    assert talk.count("conntrack_full") == 1
    talk.now_ms += 60_000
    talk.tracker.expire(talk.now_ms)
    assert talk.track(udp(A, B, 6)) == "new"
    assert talk.track(udp(B, A, 53, 6), "ct") == "est|rpl"


def test_zone_limit_falls_back_to_the_default_one() -> None:
    talk = Conversation()
    talk.tracker.limits.default = 1
    talk.tracker.limits.set(5, 2)
    talk.tracker.limits.set(6, 0)
    for zone, kept in ((0, 1), (5, 2), (6, 0)):
        for sport in (1, 2, 3):
            talk.track(udp(A, B, sport), f"ct(commit,zone={zone})")
        assert talk.tracker.limits.count(zone) == kept
    assert talk.count("conntrack_zone_full") == 6
    assert talk.tracker.flush() == 3
    assert talk.tracker.limits.count(5) == 0


def test_packet_without_any_payload_is_a_connection_of_its_protocol() -> None:
    packet = ipv4(A, B, 99, b"")
    (action,) = parse_actions("ct(commit)")
    assert isinstance(action, Ct)
    verdict = ConnTracker(Counters(), lambda: 0).track(packet, parse(packet), Tracked(), action, 0)
    assert verdict.tracked.original is not None
    assert verdict.tracked.original.proto == 99
