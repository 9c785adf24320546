"""The kernel data path where tcx is missing, and its ports as they come and go."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.kernel_backend import KernelBackend, private_namespace
from tests.support.kernel_programs import require_programs
from tests.support.packet_cases import CASES

from netloom.datapath.dpif import DpPortNo

pytestmark = pytest.mark.root


@pytest.fixture(params=[True, False], ids=["tcx", "clsact"])
def backend(request: pytest.FixtureRequest) -> Iterator[KernelBackend]:
    require_programs()
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
