"""CFM: two maintenance points, joined by a wire that can be cut."""

from netloom.protocols.cfm import Cfm, CfmSettings

Ends = tuple[Cfm, Cfm]


def pair(one: CfmSettings | None = None, other: CfmSettings | None = None) -> Ends:
    return (
        Cfm("one", one or CfmSettings(1), lambda: 0, 0),
        Cfm("other", other or CfmSettings(2), lambda: 0, 0),
    )


def carry(ends: Ends, start_ms: int, end_ms: int, *, cut: bool = False) -> None:
    for now_ms in range(start_ms, end_ms, 100):
        for end, peer in (ends, ends[::-1]):
            end.run(now_ms)
            data = end.packet(now_ms)
            if data is not None and not cut:
                assert len(data) == 75
                peer.receive(data, now_ms)


def test_points_that_hear_each_other_have_no_fault_and_full_health() -> None:
    ends = pair()
    carry(ends, 0, 40_000)
    for end in ends:
        assert end.is_up and end.health >= 95
    assert ends[0].remote_mpids == (2,)


def test_silence_is_a_fault_that_goes_when_it_ends() -> None:
    ends = pair()
    carry(ends, 0, 8_000)
    carry(ends, 8_000, 17_000, cut=True)
    assert ends[0].fault_words() == ("recv",) and ends[0].n_flaps == 1
    carry(ends, 17_000, 30_000)
    assert ends[0].is_up and ends[0].n_flaps == 2


def test_who_is_not_heard_is_told_so() -> None:
    ends = pair()
    for now_ms in range(0, 20_000, 100):
        for end in ends:
            end.run(now_ms)
        data = ends[1].packet(now_ms)
        ends[0].packet(now_ms)
        if data is not None:
            ends[0].receive(data, now_ms)
    assert ends[0].fault_words() == ("rdi",) and ends[1].fault_words() == ("recv",)


def test_ones_own_number_is_a_fault_and_another_interval_is_none() -> None:
    ends = pair(CfmSettings(1), CfmSettings(1, interval_ms=100))
    carry(ends, 0, 8_000)
    assert ends[0].fault_words() == ("rdi", "loopback")


def test_any_packets_will_do_in_demand_mode_until_no_check_has_come_for_long() -> None:
    settings = CfmSettings(1, interval_ms=300, extended=True, demand=True)
    received = iter(range(1, 1_000))
    end = Cfm("one", settings, lambda: next(received), 0)
    other = Cfm("other", CfmSettings(2, interval_ms=300, extended=True), lambda: 0, 0)
    assert end.interval_ms == 300 and end.next_check_ms == 500 * 7 // 2
    data = other.packet(0)
    assert data is not None
    end.receive(data, 0)
    for now_ms in range(0, 29_900, 100):
        end.run(now_ms)
    assert end.is_up and end.remote_mpids == ()
    for now_ms in range(30_000, 40_000, 100):
        end.run(now_ms)
    assert end.fault_words() == ("recv",)


def test_extended_points_have_wide_numbers_and_tell_that_they_are_down() -> None:
    settings = CfmSettings(1 << 40, interval_ms=700, extended=True)
    ends = pair(settings, CfmSettings(5, interval_ms=700, extended=True, opup=False))
    carry(ends, 0, 8_000)
    assert not ends[0].fault and not ends[0].remote_opup and not ends[0].is_up
    assert ends[1].remote_mpids == (1 << 40,) and ends[1].is_up


def test_somebodys_order_counts_more_than_what_is_found() -> None:
    ends = pair()
    ends[0].order(True)
    assert ends[0].fault_words() == ("override",)
    ends[0].order(None)
    assert ends[0].is_up
