"""Flows that an earlier daemon left in the kernel: asked for, replaced, removed, in which order."""

from __future__ import annotations

from netloom.datapath.ebpf.orphans import IN_PORT, ON_THEIR_WAY_MS, ORPHAN_MS, RECIRC_ID, SWITCHED
from netloom.datapath.ebpf.orphans import Orphans as _Orphans
from netloom.flow.fields import SLOT

Name = tuple[int, int]
MASK = SWITCHED | SLOT["dl_dst"].mask


def flow(port: int, recirc_id: int = 0, mask: int = MASK, mac: int = 0) -> Name:
    return port << IN_PORT.shift | recirc_id << RECIRC_ID.shift | mac << SLOT["dl_dst"].shift, mask


class Table:
    """Flows of the kernel, by name."""

    def __init__(self, *names: Name) -> None:
        self.flows = set(names)

    def names(self) -> set[Name]:
        return set(self.flows)

    def delete(self, key: int, mask: int, now_ms: int) -> None:
        self.flows.discard((key & mask, mask))


class Orphans(_Orphans):
    def __init__(self, table: Table) -> None:
        super().__init__(table)  # type: ignore[arg-type]


def test_flows_of_ports_that_are_there_are_asked_for_once() -> None:
    orphans = Orphans(Table(flow(1), flow(2)))
    orphans.begin(0)
    (upcall,) = orphans.ask({1}, 0, 64)
    assert (upcall.kind, IN_PORT.get(upcall.key)) == ("adopt", 1)
    assert orphans.ask({1}, 0, 64) == []
    assert len(orphans.ask({1, 2}, 0, 64)) == 1


def test_no_more_is_asked_for_than_there_is_room() -> None:
    orphans = Orphans(Table(*(flow(1, mac=mac) for mac in range(5))))
    orphans.begin(0)
    assert len(orphans.ask({1}, 0, 3)) == 3
    assert len(orphans.ask({1}, 0, 3)) == 2


def test_what_nobody_wants_goes_and_what_somebody_put_again_stays() -> None:
    table = Table(flow(1), flow(2))
    orphans = Orphans(table)
    orphans.begin(0)
    orphans.ask({1, 2}, 0, 64)
    orphans.drop(lambda key, mask: IN_PORT.get(key) == 1, 0)
    assert table.flows == {flow(1)}


def test_flows_of_packets_that_come_back_stay_until_all_others_are_replaced() -> None:
    back = flow(1, recirc_id=7)
    table = Table(flow(1), flow(2), back)
    orphans = Orphans(table)
    assert orphans.recirc_ids == {7}
    orphans.begin(0)
    assert len(orphans.ask({1}, 0, 64)) == 1, "its number means nothing to this process"
    orphans.drop(lambda key, mask: True, 0)
    orphans.drop(lambda key, mask: True, ON_THEIR_WAY_MS)
    assert back in table.flows, "the flow of port 2 may still send packets to it"
    orphans.ask({1, 2}, 600, 64)
    orphans.drop(lambda key, mask: True, 600)
    orphans.drop(lambda key, mask: True, 600 + ON_THEIR_WAY_MS - 1)
    assert back in table.flows
    orphans.drop(lambda key, mask: True, 600 + ON_THEIR_WAY_MS)
    assert table.flows == {flow(1), flow(2)}


def test_flows_of_ports_that_never_come_go_after_a_while() -> None:
    table = Table(flow(3), flow(3, recirc_id=7))
    orphans = Orphans(table)
    orphans.begin(1_000)
    orphans.ask(set(), 1_000 + ORPHAN_MS - 1, 64)
    orphans.drop(lambda key, mask: False, 1_000 + ORPHAN_MS - 1)
    assert len(table.flows) == 2
    for later in (ORPHAN_MS, ORPHAN_MS + ON_THEIR_WAY_MS):
        orphans.ask(set(), 1_000 + later, 64)
        orphans.drop(lambda key, mask: False, 1_000 + later)
    assert not table.flows


def test_flows_of_switched_bridges_are_not_asked_for_while_they_may_come_again() -> None:
    switched = flow(1, mask=SWITCHED)
    table = Table(switched, flow(2, recirc_id=7))
    orphans = Orphans(table)
    orphans.begin(0)
    assert orphans.ask({1}, 0, 64) == []
    orphans.drop(lambda key, mask: False, 0)
    orphans.drop(lambda key, mask: False, ON_THEIR_WAY_MS)
    assert table.flows == {switched}, "it does not send packets back"
    assert orphans.ask({1}, ORPHAN_MS + ON_THEIR_WAY_MS, 64) == []
    assert not table.flows, "nobody knows what packets it was for"


def test_time_does_not_count_before_this_process_answers() -> None:
    orphans = Orphans(Table(flow(3)))
    assert not orphans.has_given_up(10 * ORPHAN_MS)
    orphans.begin(10 * ORPHAN_MS)
    assert not orphans.has_given_up(11 * ORPHAN_MS - 1)
    assert orphans.has_given_up(11 * ORPHAN_MS)


def test_with_all_ports_there_is_nothing_to_wait_for() -> None:
    table = Table(flow(3), flow(1), flow(1, recirc_id=7))
    orphans = Orphans(table)
    orphans.complete()
    assert not orphans.has_given_up(10), "it does not answer yet"
    orphans.begin(20)
    assert orphans.has_given_up(20)
    assert orphans.ask({1}, 20, 0) == []
    orphans.drop(lambda key, mask: True, 20)
    orphans.drop(lambda key, mask: True, 20 + 2 * ON_THEIR_WAY_MS)
    assert flow(1, recirc_id=7) in table.flows, "packets still come back by what was not asked"
    assert len(orphans.ask({1}, 600, 64)) == 1
    assert flow(3) not in table.flows
    for now_ms in (700, 700 + ON_THEIR_WAY_MS):
        orphans.drop(lambda key, mask: True, now_ms)
    assert table.flows == {flow(1)}


def test_a_flow_that_was_put_or_flushed_is_no_orphan_any_more() -> None:
    orphans = Orphans(Table(flow(1), flow(2), flow(1, recirc_id=7)))
    orphans.begin(0)
    orphans.discard(flow(1))
    assert [IN_PORT.get(upcall.key) for upcall in orphans.ask({1, 2}, 0, 64)] == [2]
    orphans.clear()
    assert orphans.ask({1, 2}, 0, 64) == []
