"""Transactions at all servers of a cluster are linearizable: every confirmed one counts once."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.props.test_raft import step
from tests.support.counter_world import CounterWorld, DatabaseMember


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1 << 32), founders=st.integers(1, 4))
def test_every_confirmed_increment_counts_once(seed: int, founders: int) -> None:
    world = CounterWorld(seed, founders)
    for _ in range(300):
        step(world, world.random.choice(KINDS))
    world.cut.clear()
    for sid in sorted(world.down):
        world.restart(sid)
    world.run_calmly(15_000)
    values = set()
    for member in world.members.values():
        assert isinstance(member, DatabaseMember)
        world.count(member)
        values.add(member.value())
    assert len(values) == 1
    (value,) = values
    assert world.confirmed <= value <= world.asked


#: As in `test_raft`, with more clients than mishaps.
KINDS = (
    *["deliver"] * 30,
    *["time"] * 6,
    *["propose"] * 6,
    *["lose", "repeat", "crash", "restart", "restart", "compact", "cut", "heal"],
)
