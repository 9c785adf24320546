"""LACP: two aggregators, joined by a wire of lists."""

from netloom.protocols.lacp import Lacp, LacpSettings, MemberSettings

Ends = tuple[Lacp, Lacp]


def pair(*, fast: bool = True, passive: bool = False, fallback: bool = False) -> Ends:
    one = Lacp("one", LacpSettings(fast=fast, system_id=1, fallback_ab=fallback))
    other = Lacp("other", LacpSettings(active=not passive, fast=fast, system_id=2))
    for end in (one, other):
        end.configure(end.settings, {"a": MemberSettings(1), "b": MemberSettings(2)}, 0)
        for name in ("a", "b"):
            end.set_carrier(name, True, 0)
    return one, other


def carry(ends: Ends, start_ms: int, end_ms: int, cut: str = "") -> None:
    for now_ms in range(start_ms, end_ms, 100):
        for end, other in (ends, ends[::-1]):
            end.run(now_ms)
            packets, end.packets = end.packets, []
            for name, payload in packets:
                if name != cut:
                    other.receive(name, payload, now_ms)


def test_ends_that_hear_each_other_use_all_links() -> None:
    ends = pair()
    carry(ends, 0, 1_000)
    for end in ends:
        assert end.negotiated and all(end.may_enable(name) for name in ("a", "b"))


def test_a_link_that_falls_silent_expires_and_then_has_no_partner() -> None:
    ends = pair()
    carry(ends, 0, 1_000)
    carry(ends, 1_000, 4_500, cut="a")
    assert ends[0].members["a"].status == "expired" and not ends[0].may_enable("a")
    carry(ends, 4_500, 8_000, cut="a")
    assert ends[0].members["a"].status == "defaulted" and not ends[0].is_current("a")
    assert ends[0].may_enable("b")


def test_a_passive_end_says_nothing_until_it_hears_something() -> None:
    ends = pair(passive=True)
    ends[1].run(0)
    assert not ends[1].packets
    carry(ends, 0, 1_000)
    assert ends[1].may_enable("a")


def test_links_to_two_systems_are_not_used_together() -> None:
    one, other = pair()
    third = Lacp("third", LacpSettings(fast=True, system_id=3))
    third.configure(third.settings, {"b": MemberSettings(1)}, 0)
    third.set_carrier("b", True, 0)
    for now_ms in range(0, 2_000, 100):
        for end in (one, other, third):
            end.run(now_ms)
        for name, payload in one.packets:
            (other if name == "a" else third).receive(name, payload, now_ms)
        one.packets = []
        for end, link in ((other, "a"), (third, "b")):
            for name, payload in end.packets:
                if name == link:
                    one.receive(name, payload, now_ms)
            end.packets = []
    assert [one.members[name].attached for name in ("a", "b")] == [True, False]


def test_without_a_partner_fallback_lets_links_be_used() -> None:
    one, _ = pair(fallback=True)
    one.run(0)
    one.run(3_000)
    assert not one.negotiated and one.may_enable("a")


def test_garbage_is_counted_and_a_marker_answered() -> None:
    one, _ = pair()
    one.receive("a", b"\x01\x01\x07", 0)
    one.receive("a", b"\x02\x01\x01\x10" + bytes(106), 0)
    assert one.members["a"].n_bad == 1 and one.members["a"].n_markers == 1
    assert one.packets == [("a", b"\x02\x01\x02\x10" + bytes(106))]
