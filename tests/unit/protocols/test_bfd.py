"""BFD: two sessions, joined by a wire that can be cut."""

import itertools
from collections.abc import Callable

from netloom.protocols.bfd import DOWN, UP, Bfd, BfdSettings

Ends = tuple[Bfd, Bfd]


def pair() -> Ends:
    return session("one", 11), session("other", 22)


def session(name: str, number: int, *, count: Callable[[], int] = lambda: 0) -> Bfd:
    return Bfd(name, number, BfdSettings(), count)


def carry(ends: Ends, start_ms: int, end_ms: int, *, cut: bool = False) -> None:
    for now_ms in range(start_ms, end_ms, 50):
        for end, other in (ends, ends[::-1]):
            end.run(now_ms)
            data = end.packet(now_ms)
            if data is not None and not cut:
                other.receive(data, 255, now_ms)
            end.is_forwarding(now_ms)


def test_sessions_come_up_by_three_packets() -> None:
    ends = pair()
    carry(ends, 0, 3_000)
    assert [end.state for end in ends] == [UP, UP]
    assert ends[0].status(3_000)["flap_count"] == "1"


def test_a_session_that_hears_little_else_decays_until_it_hears_more() -> None:
    received = itertools.count()
    idle = session("one", 11)
    busy = session("one", 11, count=lambda: 100 * next(received))
    for end in (idle, busy):
        end.configure(BfdSettings(min_rx_ms=300, decay_min_rx_ms=3_000), 0)
        carry((end, session("other", 22)), 0, 9_000)
    assert (idle.min_rx_ms, busy.min_rx_ms) == (3_000, 300)


def test_any_packets_will_do_for_a_hundred_intervals_after_the_last_control_packet() -> None:
    received = itertools.count(1)
    end = session("one", 11, count=lambda: next(received))
    end.configure(BfdSettings(min_rx_ms=100, forwarding_if_rx=True), 0)
    for now_ms in range(0, 2_000, 100):
        end.run(now_ms)
        assert not end.is_forwarding(now_ms)
    carry((end, session("other", 22)), 2_000, 5_000)
    heard_ms = 5_000
    for now_ms in range(heard_ms, heard_ms + 9_900, 100):
        end.run(now_ms)
        assert end.is_forwarding(now_ms)
    assert end.state == DOWN
    end.run(heard_ms + 10_000)
    assert not end.is_forwarding(heard_ms + 10_000)


def test_silence_for_three_intervals_is_the_end() -> None:
    ends = pair()
    carry(ends, 0, 3_000)
    carry(ends, 3_000, 5_500, cut=True)
    assert ends[0].state == UP
    carry(ends, 5_500, 7_000, cut=True)
    assert ends[0].state == DOWN and ends[0].diagnostic == 1
    carry(ends, 7_000, 12_000)
    assert ends[0].is_forwarding(12_000) and ends[0].n_flaps == 3


def test_packets_from_more_than_a_hop_away_or_for_others_are_not_heard() -> None:
    ends = pair()
    data = ends[0].packet(0)
    assert data is not None
    ends[1].receive(data, 254, 0)
    assert ends[1].state == DOWN
    ends[1].receive(data[:8] + (99).to_bytes(4, "big") + data[12:], 255, 0)
    ends[1].receive(data[:-1], 255, 0)
    ends[1].receive(data[:2] + b"\0" + data[3:], 255, 0)
    ends[1].receive(data[:8] + data[8:12] + data[12:], 255, 0)
    assert ends[1].remote_discriminator == 11


def test_an_interval_grows_only_when_the_other_end_has_agreed() -> None:
    ends = pair()
    carry(ends, 0, 3_000)
    ends[0].configure(BfdSettings(min_tx_ms=700), 3_000)
    assert ends[0].min_tx_ms == 100
    carry(ends, 3_000, 5_000)
    assert ends[0].min_tx_ms == 700


def test_a_path_that_is_down_further_on_is_told() -> None:
    ends = pair()
    carry(ends, 0, 3_000)
    ends[0].configure(BfdSettings(cpath_down=True), 3_000)
    carry(ends, 3_000, 5_000)
    assert ends[0].is_forwarding(5_000) and not ends[1].is_forwarding(5_000)
    ends[1].order(True)
    assert ends[1].is_forwarding(5_000)
