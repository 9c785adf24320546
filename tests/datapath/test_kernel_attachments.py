"""The kernel data path where tcx is missing, and its ports as they come and go."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pyroute2 import IPRoute
from tests.support.kernel_backend import KernelBackend, private_namespace
from tests.support.kernel_programs import require_programs
from tests.support.packet_cases import CASES

from netloom.datapath.dpif import DpPortNo
from netloom.datapath.ebpf import clsact
from netloom.datapath.ebpf.loader import load
from netloom.datapath.ebpf.ports import detach_left
from netloom.datapath.ebpf.probes import features

pytestmark = pytest.mark.root


@pytest.fixture(params=[True, False], ids=["tcx", "clsact"])
def backend(request: pytest.FixtureRequest) -> Iterator[KernelBackend]:
    require_programs()
    title, has_tcx = features()[-1]
    if request.param and not has_tcx:
        pytest.skip(f"this kernel has no {title}")
    with private_namespace():
        made = KernelBackend((1, 2), use_tcx=request.param)
        yield made
        made.close()


def test_packets_are_forwarded_until_the_port_goes(backend: KernelBackend) -> None:
    (flow, actions), (port, packet) = CASES[0].flows[0], CASES[0].sent[0]
    backend.put(flow, actions)
    backend.inject(port, bytes(packet))
    backend.run()
    assert backend.sent(2) == [bytes(packet)]
    backend.dpif.port_del(DpPortNo(1))
    backend.inject(port, bytes(packet))
    backend.run()
    assert backend.sent(2) == [bytes(packet)]
    assert not backend.dpif.recv_upcalls(10)
    (dumped,) = backend.dpif.flow_dump()
    assert dumped.stats.packets == 1


def test_an_output_to_a_port_that_went_is_a_counted_drop(backend: KernelBackend) -> None:
    backend.put(*CASES[0].flows[0])
    backend.dpif.port_del(DpPortNo(2))
    backend.inject(1, bytes(CASES[0].sent[0][1]))
    backend.run()
    assert backend.drops() == {"datapath_drop_invalid_port": 1}


@pytest.fixture
def wire() -> Iterator[int]:
    """The index of a device in a namespace of its own."""
    require_programs()
    with private_namespace(), IPRoute() as ip:
        ip.link("add", ifname="a", kind="veth", peer="b")
        yield ip.link_lookup(ifname="a")[0]


@pytest.fixture
def program() -> Iterator[int]:
    loaded = load()
    yield loaded.programs["nl_ingress"]
    loaded.close()


def disciplines(ifindex: int) -> list[str]:
    with IPRoute() as ip:
        return [q.get_attr("TCA_KIND") for q in ip.get_qdiscs(ifindex)]


def test_the_discipline_that_was_made_goes_with_the_filter(wire: int, program: int) -> None:
    for times in (1, 2):
        for _ in range(times):
            clsact.attach(wire, program)
            assert "clsact" in disciplines(wire)
        clsact.detach(wire)
        assert "clsact" not in disciplines(wire)
    clsact.detach(wire)
    clsact.detach(99_999)


@pytest.mark.parametrize("is_first", [True, False])
def test_a_discipline_that_others_use_stays(wire: int, program: int, is_first: bool) -> None:
    with IPRoute() as ip:
        if is_first:
            ip.tc("add", "clsact", wire)
        clsact.attach(wire, program)
        if not is_first:
            ip.tc("add-filter", "bpf", wire, parent=0xFFFFFFF3, fd=program, name="other",
                  classid=1, direct_action=True)  # fmt: skip
        clsact.detach(wire)
        assert "clsact" in disciplines(wire)
        assert not ip.get_filters(index=wire, parent=0xFFFFFFF2)


def test_the_last_daemons_attachments_are_known_by_their_map() -> None:
    require_programs()
    with private_namespace():
        backend = KernelBackend((1, 2), use_tcx=False)
        indexes = [backend.devices[f"p{number}"].state().ifindex for number in (1, 2)]
        assert all("clsact" in disciplines(index) for index in indexes)
        detach_left(backend.dpif._loaded.maps["outputs"])
        assert not any("clsact" in disciplines(index) for index in indexes)
        backend.close()
