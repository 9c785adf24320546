"""The data path in Python over dummy devices, for tests that run on every data path."""

from __future__ import annotations

from netloom.base.clock import ManualClock
from netloom.base.counters import Counters
from netloom.datapath.action_parse import parse_actions
from netloom.datapath.userspace.conntrack.fragments import NO_MAX_FRAME, NO_MIN_SIZES
from netloom.datapath.userspace.dpif import UserspaceDpif
from netloom.flow.odp_parse import parse_odp_flow
from netloom.netdev.dummy import DummyFactory

#: What is counted besides: what came in and went out, and details of what else is counted.
NO_DROPS = (
    "netdev_", "dpif_", "miniflow_", "ipf_", "native_tnl_", "dp_packet_",
    "conntrack_l3csum_checked", "conntrack_l4csum_checked",
)  # fmt: skip


class UserspaceBackend:
    """The data path in Python, over dummy devices p1, p2 ..."""

    def __init__(self, numbers: tuple[int, ...]) -> None:
        self.counters = Counters()
        self.clock = ManualClock(1_000)
        factory = DummyFactory(None)
        self.dpif = UserspaceDpif("dummy", "ovs-dummy", self.clock, self.counters)
        # As the data path in the kernel has it, with which this one is compared.
        assert self.dpif.conntrack is not None
        self.dpif.conntrack.fragments.min_sizes = dict(NO_MIN_SIZES)
        self.dpif.conntrack.fragments.max_frame = NO_MAX_FRAME
        self.dpif.conntrack.fragments.takes_empty = False
        for number in numbers:
            factory.open(f"p{number}", "dummy", {})
            assert self.dpif.port_add(factory.devices[f"p{number}"]).number == number
        self.devices = factory.devices

    def put(self, flow: str, actions: str) -> None:
        self.dpif.flow_put(*parse_odp_flow(flow), parse_actions(actions))

    def inject(self, port: int, packet: bytes) -> None:
        self.devices[f"p{port}"].inject(packet)

    def run(self) -> None:
        while self.dpif.run(self.clock.now_ms()):
            pass

    def sent(self, port: int) -> list[bytes]:
        return [packet.data for packet in self.devices[f"p{port}"].sent]

    def drops(self) -> dict[str, int]:
        counters = self.counters.all()
        return {c.name: c.total for c in counters if c.total and not c.name.startswith(NO_DROPS)}
