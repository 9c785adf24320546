"""QoS and Queue rows, and policing of Interface rows -> wish; and what becomes of it."""

from __future__ import annotations

from tests.support.fake_switch import FakeReplica

from netloom.netdev.device import Device
from netloom.netdev.dummy import DummyDevice
from netloom.netdev.qos import (
    FREE,
    Policing,
    Qos,
    QosFacts,
    QueueFacts,
    QueueSettings,
    Shaper,
)
from netloom.vswitchd.desired import read_wish
from netloom.vswitchd.plan import ChangeInterface, plan
from netloom.vswitchd.quality import (
    clear_queues,
    dscp_marks,
    format_qos,
    format_types,
    set_queues,
)
from netloom.vswitchd.wish import InterfaceWish


class FakeShaper:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.wishes: list[Qos | None] = []
        self.cleared = 0

    def types(self) -> tuple[str, ...]:
        return ("linux-htb", "linux-noop")

    def set(self, qos: Qos | None) -> list[str]:
        self.wishes.append(qos)
        return []

    def clear(self) -> None:
        self.cleared += 1

    def facts(self) -> QosFacts:
        last = self.wishes[-1] if self.wishes else None
        return QosFacts() if last is None else QosFacts(last.type, (("max-rate", "8000"),), (0, 5))

    def queues(self) -> list[QueueFacts]:
        return [
            QueueFacts(0, (("min-rate", "12000"),), 3, 300, 1),
            QueueFacts(5, (("min-rate", "8"), ("max-rate", "16"))),
        ]


class ShapedDummy(DummyDevice):
    """A dummy that has queues."""

    def __init__(self) -> None:
        super().__init__("p1", "system", 1, lambda: 0)
        self.fake = FakeShaper()

    @property
    def shaper(self) -> Shaper:
        return self.fake


def interface_of(replica: FakeReplica) -> InterfaceWish:
    (bridge,) = read_wish(replica).bridges
    found = bridge.interface("p1")
    assert found is not None
    return found


def test_qos_of_a_port_is_that_of_its_interfaces() -> None:
    replica = FakeReplica()
    queue = replica.add("Queue", other_config={"min-rate": "7"}, dscp=(10,))
    plain = replica.add("Queue", other_config={})
    qos = replica.add(
        "QoS", type="linux-htb", other_config={"max-rate": "9"},
        queues={5: queue.uuid, 0: plain.uuid},
    )  # fmt: skip
    replica.add_bridge("br0", replica.add_port("p1", qos=(qos.uuid,)))
    wish = interface_of(replica)
    assert wish.qos == Qos(
        "linux-htb",
        (("max-rate", "9"),),
        (QueueSettings(0), QueueSettings(5, (("min-rate", "7"),), 10)),
    )
    assert dscp_marks(wish.qos) == ((5, 10),)


def test_no_qos_and_one_without_a_type_are_the_same() -> None:
    replica = FakeReplica()
    qos = replica.add("QoS", type="", other_config={}, queues={})
    replica.add_bridge("br0", replica.add_port("p1", qos=(qos.uuid,)))
    assert interface_of(replica).qos is None


def test_a_burst_without_its_rate_says_nothing() -> None:
    replica = FakeReplica()
    policing = {"ingress_policing_burst": 5, "ingress_policing_kpkts_rate": 3}
    replica.add_bridge("br0", replica.add_port("p1", policing))
    assert interface_of(replica).policing == Policing(kpps=3)
    assert Policing() == FREE


def test_a_changed_queue_changes_the_interface_only() -> None:
    def wished(rate: str) -> FakeReplica:
        replica = FakeReplica()
        queue = replica.add("Queue", other_config={"min-rate": rate})
        qos = replica.add("QoS", type="linux-htb", other_config={}, queues={1: queue.uuid})
        replica.add_bridge("br0", replica.add_port("p1", qos=(qos.uuid,)))
        return replica

    steps = plan(read_wish(wished("1")), read_wish(wished("2")))
    changed = [step for step in steps if isinstance(step, ChangeInterface)]
    assert [step.wish.name for step in changed] == ["p1"]


def test_devices_with_queues_are_told_and_dummies_are_not() -> None:
    shaped = ShapedDummy()
    wish = InterfaceWish("p1", "system", qos=Qos("linux-htb"))
    set_queues(wish, shaped)
    set_queues(wish, DummyDevice("p2", "dummy", 2, lambda: 0))
    assert shaped.fake.wishes == [Qos("linux-htb")]
    clear_queues(shaped)
    assert shaped.fake.cleared == 1


def test_qos_is_shown_as_open_vswitch_shows_it() -> None:
    shaped = ShapedDummy()
    assert format_qos("p1", shaped) == ""
    set_queues(InterfaceWish("p1", "system", qos=Qos("linux-htb")), shaped)
    assert format_qos("p1", shaped) == (
        "QoS: p1 linux-htb\nmax-rate: 8000\n"
        "\nDefault:\n  min-rate: 12000\n  tx_packets: 3\n  tx_bytes: 300\n  tx_errors: 1\n"
        "\nQueue 5:\n  min-rate: 8\n  max-rate: 16\n"
    )
    assert format_types("p1", shaped) == "QoS type: linux-htb\nQoS type: linux-noop\n"


def test_devices_without_queues_say_so() -> None:
    dummy: Device = DummyDevice("p2", "dummy", 2, lambda: 0)
    assert format_types("p2", dummy) == "No QoS types supported for interface: p2\n"
    assert format_types("patch0", None) == "No QoS types supported for interface: patch0\n"
    assert format_qos("p2", dummy) == ""
