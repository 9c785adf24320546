"""Routes, neighbours and listening ports under the tunnels."""

from __future__ import annotations

from netloom.flow.key import make_key
from netloom.flow.mapped import parse_mapped, parse_mapped_prefix
from netloom.ofproto.underlay import Underlay
from netloom.ofproto.underlay.listeners import Listeners
from netloom.ofproto.underlay.neighbours import Neighbours
from netloom.ofproto.underlay.routes import Route


def _ip(text: str) -> int:
    address = parse_mapped(text)
    assert address is not None
    return address


def _prefix(text: str) -> tuple[int, int]:
    prefix = parse_mapped_prefix(text)
    assert prefix is not None
    return prefix


def _underlay() -> Underlay:
    underlay = Underlay()
    underlay.give("br0", *_prefix("10.0.0.1/24"))
    underlay.give("br1", *_prefix("10.1.0.1/16"))
    return underlay


def test_the_longest_prefix_wins() -> None:
    routes = _underlay().routes
    assert routes.add(*_prefix("10.0.0.128/25"), "br1", _ip("10.1.0.9"), 0)
    near, far = routes.lookup(_ip("10.0.0.5")), routes.lookup(_ip("10.0.0.200"))
    assert near is not None and near.device == "br0"
    assert far is not None and (far.device, far.gateway) == ("br1", _ip("10.1.0.9"))
    assert routes.lookup(_ip("11.0.0.1")) is None


def test_a_route_needs_an_address_to_send_from() -> None:
    routes = _underlay().routes
    assert not routes.add(*_prefix("9.0.0.0/8"), "br0", 0, 0)
    assert not routes.add(*_prefix("9.0.0.0/8"), "br7", _ip("10.0.0.2"), 0)
    assert not routes.add(*_prefix("9.0.0.0/8"), "br0", 0, 0, _ip("10.0.0.7"))
    assert routes.add(*_prefix("9.0.0.0/8"), "br0", _ip("10.0.0.2"), 0)


def test_marks_have_routes_of_their_own() -> None:
    routes = _underlay().routes
    assert routes.add(*_prefix("9.0.0.0/8"), "br0", _ip("10.0.0.2"), 7)
    assert routes.lookup(_ip("9.0.0.1")) is None
    assert routes.lookup(_ip("9.0.0.1"), 7) is not None
    assert not routes.remove(*_prefix("9.0.0.0/8"), 0)
    assert routes.remove(*_prefix("9.0.0.0/8"), 7)


def test_a_source_must_be_the_hosts_own() -> None:
    underlay = _underlay()
    assert underlay.routes.lookup(_ip("10.0.0.9"), 0, _ip("10.0.0.1")) is not None
    assert underlay.routes.lookup(_ip("10.0.0.9"), 0, _ip("77.0.0.1")) is None


def test_the_hosts_routes_take_the_address_of_their_device() -> None:
    underlay = Underlay()
    here = (_ip("192.0.2.7"), _prefix("192.0.2.0/24")[1])
    default = Route(*_prefix("0.0.0.0/0"), "eth0", _ip("192.0.2.1"))
    lost = Route(*_prefix("198.51.100.0/24"), "eth1")
    underlay.set_host({"eth0": (here,)}, (default, lost))
    assert [route.describe() for route in underlay.routes] == [
        "Cached: 0.0.0.0/0 dev eth0 GW 192.0.2.1 SRC 192.0.2.7"
    ]


def test_neighbours_age_unless_they_are_used() -> None:
    neighbours = Neighbours()
    neighbours.set("br0", _ip("10.0.0.2"), 0x22, 0)
    neighbours.set("br0", _ip("10.0.0.3"), 0x33, 0)
    generation = neighbours.generation
    neighbours.touch("br0", _ip("10.0.0.2"), 500_000)
    neighbours.run(900_000)
    assert neighbours.lookup("br0", _ip("10.0.0.2")) == 0x22
    assert neighbours.lookup("br0", _ip("10.0.0.3")) is None
    assert neighbours.lookup("br1", _ip("10.0.0.2")) is None
    assert neighbours.generation > generation


def test_the_same_news_of_a_neighbour_changes_nothing() -> None:
    neighbours = Neighbours()
    neighbours.set("br0", 1, 2, 0)
    generation = neighbours.generation
    neighbours.set("br0", 1, 2, 5)
    assert neighbours.generation == generation


def test_packets_for_a_tunnel_are_told_by_address_and_port() -> None:
    listeners = Listeners()
    listeners.set_addresses([(0x020000000001, _ip("10.0.0.1"))])
    listeners.add(4789, "vxlan_sys_4789", 17, 4789)
    listeners.add(4789, "vxlan_sys_4789", 17, 4789)
    listeners.add(3, "gre_sys", 47, 0)
    key = make_key(dl_dst=0x020000000001, dl_type=0x800, nw_dst=0x0A000001, nw_proto=17)
    vxlan = key | make_key(tp_dst=4789)
    assert listeners.lookup(vxlan, 0)[0] == 4789
    assert listeners.lookup(key | make_key(tp_dst=4790), 0)[0] is None
    gre = make_key(dl_dst=0x020000000001, dl_type=0x800, nw_dst=0x0A000001, nw_proto=47)
    assert listeners.lookup(gre, 0)[0] == 3
    listeners.remove(4789, 17)
    assert listeners.lookup(vxlan, 0)[0] == 4789
    listeners.remove(4789, 17)
    assert listeners.lookup(vxlan, 0)[0] is None
    assert listeners.show() == "Listening ports:\ngre_sys (3) ref_cnt=1\n"


def test_new_addresses_of_a_device_are_listened_at() -> None:
    underlay = _underlay()
    generation = underlay.generation
    underlay.run(0)
    assert underlay.generation == generation, "there is no such device"
