"""Raft keeps its promises whatever the network, the disks and the power do."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.raft_world import Member, World, address_of, joiner, server_id

#: What may happen at one step, and how often.
STEPS = (
    *["deliver"] * 30,
    *["time"] * 6,
    *["propose"] * 5,
    *["lose", "repeat", "shuffle", "crash", "restart", "restart", "compact", "cut", "heal"],
)


def step(world: World, kind: str) -> None:
    chance = world.random
    members = list(world.members.values())
    match kind:
        case "deliver" | "lose" | "repeat" if world.in_flight:
            # Mostly in order, as connections do; sometimes not.
            n = len(world.in_flight)
            place = 0 if chance.random() < 0.7 else chance.randrange(n)
            if kind == "lose":
                world.lose(place)
            else:
                world.deliver(place, keep=kind == "repeat")
        case "shuffle":
            chance.shuffle(world.in_flight)
        case "time":
            world.pass_time(chance.choice((10, 100, 400, 1500)))
        case "propose" if members:
            world.propose(chance.choice(members))
        case "crash" if len(members) > 1:
            world.crash(chance.choice(sorted(world.members)))
        case "restart" if world.down:
            world.restart(chance.choice(sorted(world.down)))
        case "compact" if members:
            world.compact(chance.choice(members))
        case "cut" if len(members) > 1:
            one, two = chance.sample(sorted(world.members), 2)
            world.cut.add(frozenset((one, two)))
        case "heal":
            world.cut.clear()


def live(world: World, steps: int) -> None:
    world.dying_early = 0.02
    for _ in range(steps):
        step(world, world.random.choice(STEPS))
        world.check_logs()


def recover(world: World) -> None:
    """Let everybody come back, and agree."""
    world.dying_early = 0.0
    world.cut.clear()
    for sid in sorted(world.down):
        world.restart(sid)
    world.run_calmly(12_000)
    leader = world.leader
    assert leader is not None, "no leader after a calm time"
    eid = world.propose(leader)
    world.run_calmly(2000)
    assert eid in world.succeeded
    world.check_logs()
    world.check_agreement()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    founders=st.integers(1, 5),
    old=st.one_of(st.just(frozenset[int]()), st.frozensets(st.integers(1, 5))),
)
def test_promises_hold_through_every_mishap(seed: int, founders: int, old: frozenset[int]) -> None:
    world = World(seed, founders, old)
    live(world, 300)
    recover(world)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_servers_come_and_go_through_mishaps(seed: int) -> None:
    world = World(seed, 1)
    for number in (2, 3, 4):
        world.start(number, joiner(number, [address_of(1)]))
        live(world, 60)
    recover(world)
    assert {m.raft.membership.is_joining for m in world.members.values()} == {False}
    assert all(len(m.raft.servers) == 4 for m in world.members.values())
    leaver = world.members[world.random.choice(sorted(world.members))]
    leaver.raft.membership.leave(world.now_ms)
    leaver.run()
    live(world, 40)
    world.dying_early = 0.0
    world.cut.clear()
    for sid in sorted(world.down):
        world.restart(sid)
    world.run_calmly(15_000)
    gone = world.members[leaver.raft.id]
    if not gone.raft.has_left:
        # It was killed before anybody heard of its wish.
        gone.raft.membership.leave(world.now_ms)
        gone.run()
        world.run_calmly(15_000)
    assert gone.raft.has_left
    del world.members[gone.raft.id]
    assert all(len(m.raft.servers) == 3 for m in world.members.values())
    recover(world)


def lead(world: World) -> Member:
    world.run_calmly(4000)
    leader = world.leader
    assert leader is not None
    return leader


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1 << 32), is_cut_wholly=st.booleans())
def test_a_server_that_comes_back_deposes_nobody(seed: int, is_cut_wholly: bool) -> None:
    world = World(seed, 3)
    leader = lead(world)
    term = leader.raft.state.term
    away = next(sid for sid in world.members if sid != leader.raft.id)
    others = [sid for sid in world.members if sid != away] if is_cut_wholly else [leader.raft.id]
    world.cut |= {frozenset((away, sid)) for sid in others}
    missed = world.propose(leader)
    world.run_calmly(20_000)
    assert world.members[away].raft.role == "candidate"
    world.cut.clear()
    world.run_calmly(5000)
    assert leader.raft.is_leader
    assert {member.raft.state.term for member in world.members.values()} == {term}
    assert missed in world.members[away].contents


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_server_with_the_longest_log_is_elected_by_an_old_one(seed: int) -> None:
    world = World(seed, 3, frozenset((2, 3)))
    new, one, two = (world.members[server_id(number)] for number in (1, 2, 3))
    leader = lead(world)
    # What only the new server and one more have must not be lost with that one.
    dying, behind = (one, two) if leader is not two else (two, one)
    world.cut |= {frozenset((behind.raft.id, m.raft.id)) for m in (new, dying)}
    lead(world)
    eid = world.propose(dying if dying.raft.is_leader else new)
    world.run_calmly(1000)
    assert eid in world.succeeded
    world.crash(dying.raft.id)
    world.cut.clear()
    world.run_calmly(30_000)
    assert world.leader is not None
    assert eid in behind.contents


def test_full_disk_is_an_error_and_loses_nothing() -> None:
    world = World(1, 3)
    world.run_calmly(4000)
    leader = world.leader
    assert leader is not None
    good = world.propose(leader)
    world.run_calmly(500)
    leader.disk.room = 0
    bad = world.propose(leader)
    assert leader.results[bad] == "I/O error"
    leader.disk.room = None
    world.run_calmly(3000)
    after = world.propose(leader)
    world.run_calmly(1000)
    assert {good, after} <= world.succeeded
    assert bad not in world.succeeded
    world.check_agreement()
    assert bad not in leader.contents


def test_a_disk_that_cannot_be_synchronized_silences_its_server() -> None:
    world = World(2, 3)
    world.run_calmly(4000)
    leader = world.leader
    assert leader is not None
    leader.disk.sync_fails = True
    lost = world.propose(leader)
    assert leader.raft.is_broken
    # Its entry was on its way; nobody hears of it what became of that.
    assert {rpc.kind for _, rpc in world.in_flight} == {"append_request"}
    del world.members[leader.raft.id]
    world.down[leader.raft.id] = leader.disk
    world.run_calmly(6000)
    heir = world.leader
    assert heir is not None
    assert heir.raft.id != leader.raft.id
    assert lost not in world.succeeded
    assert server_id(1) in heir.raft.servers
