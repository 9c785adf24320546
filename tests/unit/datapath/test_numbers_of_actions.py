"""Numbers by which records of the kernel programs name what Python knows."""

from __future__ import annotations

from typing import cast

import pytest

from netloom.datapath.actions import Output, Userspace
from netloom.datapath.ebpf.maps import SharedArray
from netloom.datapath.ebpf.registry import Registry
from netloom.datapath.ebpf.spec import MAX_TEMPLATES, TEMPLATE
from netloom.packet.tunnel import build_udp, build_vxlan


class Array:
    """A map's memory."""

    def __init__(self) -> None:
        self.stride = TEMPLATE.size
        self.view = memoryview(bytearray(self.stride * MAX_TEMPLATES))


@pytest.fixture
def array() -> SharedArray:
    return cast("SharedArray", Array())


def registry(array: SharedArray, earlier: tuple[int, ...] = ()) -> Registry:
    return Registry(array, lambda name: 0, earlier)


def header(number: int) -> bytes:
    ethernet = number.to_bytes(6, "big") + bytes(6) + b"\x08\0"
    network = bytes.fromhex("4500000000004000401100007f0000017f000002")
    return ethernet + network + build_udp(4789, False, build_vxlan(7))


def test_the_same_actions_have_one_number(array: SharedArray) -> None:
    first = registry(array)
    numbers = {first.add_list((Output(n % 10),)) for n in range(100)}
    assert len(numbers) == 10
    for number in numbers:
        (action,) = first.list(number) or ()
        assert first.add_list((action,)) == number


def test_numbers_of_flows_of_an_earlier_process_mean_nothing(array: SharedArray) -> None:
    numbers: tuple[int, ...] = ()
    for _ in range(20):
        now = registry(array, numbers)
        number = now.add_userspace(Userspace("a"))
        assert not any(now.userspace(earlier) for earlier in numbers)
        assert now.userspace(number) == Userspace("a")
        numbers += (number,)


def test_what_is_in_use_keeps_its_number_and_the_rest_is_forgotten(array: SharedArray) -> None:
    here = registry(array)
    kept = [here.add_list((Output(n),)) for n in range(10)]
    shown = here.add_userspace(Userspace("b"))
    n = 10
    while not here.is_crowded:
        here.add_list((Output(n),))
        n += 1
    here.tidy({*kept, shown}, set())
    assert not here.is_crowded
    assert [here.list(number) for number in kept] == [(Output(n),) for n in range(10)]
    assert here.userspace(shown) == Userspace("b")
    assert here.list(kept[-1] + 2) is None
    assert here.add_list((Output(3),)) == kept[3]


def test_a_number_that_is_in_use_is_given_to_nothing_else(
    array: SharedArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netloom.datapath.ebpf.registry._NUMBERS", 100)
    here = registry(array)
    kept = [here.add_list((Output(n),)) for n in range(50)]
    for n in range(50, 500, 25):
        numbers = {here.add_list((Output(n + m),)) for m in range(25)}
        assert len(numbers) == 25
        assert not numbers & set(kept)
        here.tidy(set(kept), set())


def test_headers_of_tunnels_that_are_gone_make_room(array: SharedArray) -> None:
    here = registry(array)
    here.source_ports = (1, 2)
    kept = here.add_header(header(0))
    assert kept == 0
    for n in range(1, MAX_TEMPLATES):
        assert here.add_header(header(n)) == n
    assert here.add_header(header(MAX_TEMPLATES)) is None
    assert here.is_crowded
    here.tidy(set(), {kept})
    assert not here.is_crowded
    assert here.add_header(header(0)) == kept
    places = {here.add_header(header(MAX_TEMPLATES + n)) for n in range(MAX_TEMPLATES - 1)}
    assert places == set(range(1, MAX_TEMPLATES))
    # Whoever comes next reads them from there.
    later = registry(array)
    later.source_ports = (1, 2)
    assert later.add_header(header(0)) == kept
    assert later.add_header(header(MAX_TEMPLATES + 5)) in places
