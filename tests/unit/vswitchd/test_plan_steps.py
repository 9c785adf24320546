"""The plan: properties over random configurations, and the cases that matter by hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netloom.base.record import replace
from netloom.ofproto.settings import BridgeSettings, BundleSettings
from netloom.vswitchd.plan import (
    AddInterface,
    ChangeInterface,
    CreateBridge,
    DelBundle,
    DelInterface,
    DestroyBridge,
    SetBundle,
    SettleBridge,
    plan,
)
from netloom.vswitchd.wish import BridgeWish, InterfaceWish, PortWish, Wish

NAMES = ("p1", "p2", "p3", "p4")


def port(name: str, tag: int = -1, **interface: object) -> PortWish:
    values: dict[str, object] = {"type": "system", **interface}
    return PortWish(
        name=name,
        interfaces=(InterfaceWish(name=name, **values),),  # type: ignore[arg-type]
        bundle=BundleSettings(
            name=name, members=(name,), tag=tag, vlan_mode="trunk" if tag < 0 else "access"
        ),
    )


def bridge(name: str, *ports: PortWish, type_: str = "system", **settings: object) -> BridgeWish:
    return BridgeWish(
        name=name,
        datapath_type=type_,
        settings=BridgeSettings(name=name, datapath_id=0, **settings),  # type: ignore[arg-type]
        ports=tuple(sorted(ports, key=lambda port: port.name)),
        default_mac="02:00:00:00:00:01",
    )


@st.composite
def wishes(draw: st.DrawFn) -> Wish:
    names = draw(st.lists(st.sampled_from(("br0", "br1", "br2")), unique=True))
    free = draw(st.permutations(NAMES))
    bridges = []
    for name in sorted(names):
        count = draw(st.integers(0, len(free)))
        mine, free = free[:count], free[count:]
        ports = [
            port(
                own,
                draw(st.sampled_from((-1, 5, 6))),
                type=draw(st.sampled_from(("system", "internal"))),
                ofport=(number := draw(st.sampled_from((0, 1, 2)))),
                ofport_requested=bool(number) and draw(st.booleans()),
                mtu=draw(st.sampled_from((0, 1400))),
                error=draw(st.sampled_from(("", "", "no"))),
            )
            for own in mine
        ]
        bridges.append(
            bridge(
                name,
                *ports,
                type_=draw(st.sampled_from(("system", "netdev"))),
                fail_mode=draw(st.sampled_from(("standalone", "secure"))),
            )
        )
    return Wish(bridges=tuple(bridges))


def granted(wish: Wish) -> Wish:
    """What is when all steps of a wish succeeded: everything but the refused interfaces."""
    return Wish(
        bridges=tuple(
            replace(
                bridge,
                ports=tuple(port for port in bridge.ports if port.interfaces[0].error is None),
            )
            for bridge in wish.bridges
        )
    )


@given(wishes())
def test_what_is_already_needs_no_step(wish: Wish) -> None:
    assert plan(granted(wish), wish) == []


@given(wishes(), wishes())
def test_deletes_come_before_adds(old: Wish, new: Wish) -> None:
    steps = plan(granted(old), new)
    deletes = [isinstance(step, DestroyBridge | DelBundle | DelInterface) for step in steps]
    assert deletes == sorted(deletes, reverse=True)


@given(wishes(), wishes())
def test_the_steps_lead_to_the_wish(old: Wish, new: Wish) -> None:
    """A model of bridges obeys the steps; each must be possible, and the end must be the wish."""
    have = {b.name: {p.name: p.interfaces[0] for p in b.ports} for b in granted(old).bridges}
    types = {b.name: b.datapath_type for b in old.bridges}
    bundles = {b.name: {p.name: p.bundle for p in b.ports} for b in granted(old).bridges}
    settled = {b.name: b.settings for b in old.bridges}
    for step in plan(granted(old), new):
        match step:
            case DestroyBridge(bridge=name):
                del have[name], types[name], bundles[name], settled[name]
            case DelBundle(bridge=name):
                del bundles[name][step.name]
            case DelInterface(bridge=name):
                del have[name][step.name]
                bundles[name].pop(step.name, None)
            case CreateBridge(bridge=name):
                assert name not in have
                have[name], bundles[name], types[name] = {}, {}, step.datapath_type
            case AddInterface(bridge=name):
                assert step.wish.name not in have[name]
                have[name][step.wish.name] = step.wish
            case ChangeInterface(bridge=name):
                assert have[name][step.wish.name].type == step.wish.type
                have[name][step.wish.name] = step.wish
            case SetBundle(bridge=name):
                assert set(step.settings.members) <= set(have[name])
                bundles[name][step.settings.name] = step.settings
            case SettleBridge(bridge=name):
                settled[name] = step.wish.settings
    wished = granted(new)
    assert set(have) == {b.name for b in wished.bridges}
    for b in wished.bridges:
        assert types[b.name] == b.datapath_type
        assert settled[b.name] == b.settings
        assert bundles[b.name] == {p.name: p.bundle for p in b.ports}
        assert {n: (w.type, w.mtu) for n, w in have[b.name].items()} == {
            p.name: (p.interfaces[0].type, p.interfaces[0].mtu) for p in b.ports
        }


def names(steps: list[object]) -> list[str]:
    return [type(step).__name__ for step in steps]


def test_a_new_bridge_is_made_filled_and_settled() -> None:
    steps = plan(Wish(), Wish((bridge("br0", port("br0"), port("a")),)))
    assert [type(step) for step in steps] == [
        CreateBridge,
        AddInterface,
        AddInterface,
        SetBundle,
        SetBundle,
        SettleBridge,
    ]
    added = [step.wish.name for step in steps if isinstance(step, AddInterface)]
    assert added == ["br0", "a"], "the local port comes first"


def test_a_changed_tag_touches_nothing_but_the_bundle() -> None:
    old = Wish((bridge("br0", port("a"), port("b")),))
    new = Wish((bridge("br0", port("a", 5), port("b")),))
    assert [type(step) for step in plan(old, new)] == [SetBundle, SettleBridge]


def test_another_data_path_type_means_a_new_bridge() -> None:
    old, new = (Wish((bridge("br0", port("a"), type_=type_),)) for type_ in ("system", "netdev"))
    assert [type(step) for step in plan(old, new)] == [
        DestroyBridge,
        CreateBridge,
        AddInterface,
        SetBundle,
        SettleBridge,
    ]


def test_a_port_moves_to_another_bridge_in_one_plan() -> None:
    old = Wish((bridge("br0", port("a")), bridge("br1")))
    new = Wish((bridge("br0"), bridge("br1", port("a"))))
    kinds = [type(step) for step in plan(old, new)]
    assert kinds.index(DelInterface) < kinds.index(AddInterface)


def test_a_requested_number_evicts_the_port_that_sits_on_it() -> None:
    old = Wish((bridge("br0", port("a"), port("b")),))
    new = Wish((bridge("br0", port("a"), port("b", ofport=1, ofport_requested=True)),))
    steps = plan(old, new, {("br0", "a"): 1, ("br0", "b"): 2})
    removed = [step.name for step in steps if isinstance(step, DelInterface)]
    added = [step.wish.name for step in steps if isinstance(step, AddInterface)]
    assert (removed, added) == (["a", "b"], ["b", "a"])


def test_a_new_port_takes_no_number_from_another() -> None:
    old = Wish((bridge("br0", port("a")),))
    new = Wish((bridge("br0", port("a"), port("b", ofport=1, ofport_requested=True)),))
    steps = plan(old, new, {("br0", "a"): 1})
    assert not any(isinstance(step, DelInterface) for step in steps)
    # It asks again whenever something is configured.
    steps = plan(new, new, {("br0", "a"): 1, ("br0", "b"): 2})
    assert [step.name for step in steps if isinstance(step, DelInterface)] == ["a", "b"]


def test_a_port_gets_the_number_that_it_asked_for_in_vain_once_that_is_free() -> None:
    asks = port("b", ofport=1, ofport_requested=True)
    old = Wish((bridge("br0", port("a", ofport=1, ofport_requested=True), asks),))
    new = Wish((bridge("br0", port("a", ofport=7, ofport_requested=True), asks),))
    numbers = {("br0", "a"): 1, ("br0", "b"): 2}
    assert plan(old, old, numbers) == []
    steps = plan(old, new, numbers)
    assert [step.name for step in steps if isinstance(step, DelInterface)] == ["a", "b"]


def test_a_requested_number_that_the_port_has_is_no_change_of_ports() -> None:
    old = Wish((bridge("br0", port("a")),))
    new = Wish((bridge("br0", port("a", ofport=4, ofport_requested=True)),))
    assert not any(
        isinstance(step, DelInterface | AddInterface) for step in plan(old, new, {("br0", "a"): 4})
    )


def test_the_number_that_a_port_happens_to_have_is_no_difference() -> None:
    old = Wish((bridge("br0", port("a")),))
    new = Wish((bridge("br0", port("a", ofport=4)),))
    assert plan(old, new) == []
