"""What packets do that come while the daemon changes the kernel's tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from tests.support.kernel_backend import KernelBackend, kernel_backend

from netloom.datapath.action_parse import parse_actions
from netloom.datapath.ebpf.maps import SharedArray
from netloom.flow.odp_parse import parse_odp_flow

pytestmark = pytest.mark.root
#: A match on one bit, which is zero in even ports.
EVEN = "recirc_id(0),in_port(1),eth(),eth_type(0x0800),ipv4(proto=17,frag=no),udp(dst=0/0x1)"
HTTP = "recirc_id(0),in_port(1),eth(),eth_type(0x0800),ipv4(proto=6,frag=no)"


@pytest.fixture(scope="module")
def backend() -> Iterator[KernelBackend]:
    with kernel_backend((1, 2)) as made:
        yield made


def to_port(number: int) -> bytes:
    ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    return bytes(ether / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=5, dport=number) / b"data")


class Watched(SharedArray):
    """An array of which somebody is told whenever it is about to be read or written."""

    def __init__(self, array: SharedArray, tell: Callable[[], None]) -> None:
        self._array = array
        self._tell = tell

    @property
    def view(self) -> memoryview:  # type: ignore[override]
        self._tell()
        return self._array.view


@pytest.mark.parametrize("is_added", [False, True])
def test_no_packet_takes_the_flow_of_another_while_masks_change(
    backend: KernelBackend, monkeypatch: pytest.MonkeyPatch, is_added: bool
) -> None:
    """The caches compare what any mask wants; a packet that comes when that has just changed, and
    the caches are not yet told, must not be found in them. Nor at any moment before or after."""
    backend.start()
    backend.put(HTTP, "2")
    backend.put(EVEN, "2")
    backend.inject(1, to_port(80))
    backend.run()
    assert len(backend.sent(2)) == 1
    table = backend.dpif._table
    n_times = 0

    def one_more() -> None:
        nonlocal n_times
        n_times += 1
        backend.inject(1, to_port(79 + 2 * n_times))

    with monkeypatch.context() as patched:
        patched.setattr(table, "_config", Watched(table._config, one_more))
        if is_added:
            backend.put(EVEN.replace("0/0x1", "0/0x3"), "2")
        else:
            backend.dpif.flow_del(*parse_odp_flow(EVEN))
    assert n_times > 3
    backend.run()
    assert len(backend.sent(2)) == 1
    assert [upcall.kind for upcall in backend.dpif.recv_upcalls(1_000)] == ["miss"] * n_times


def test_a_flow_that_changes_serves_every_packet(backend: KernelBackend) -> None:
    backend.start()
    backend.put(EVEN, "2")
    for number in range(200):
        backend.inject(1, to_port(80))
        key, mask = parse_odp_flow(EVEN)
        backend.dpif.flow_put(
            key, mask, parse_actions(("2", "push_vlan(vid=7,pcp=0),2")[number & 1])
        )
        backend.inject(1, to_port(82))
    backend.run()
    assert len(backend.sent(2)) == 400
    assert not backend.dpif.recv_upcalls(10)
