"""What a device's shaper asks of the kernel: what is there is changed, what is not wanted goes."""

from __future__ import annotations

import errno
from typing import Any, cast

from netloom.base.record import replace
from netloom.netdev.device import DeviceState, DeviceStats
from netloom.netdev.linux.rtnl import Link, Rtnl
from netloom.netdev.linux.shaper import LinuxShaper
from netloom.netdev.linux.tc import ClassCounts, read_ticks
from netloom.netdev.qos import Qos, QosFacts, QueueSettings

TOP = 0xFFFE


class FakeTc:
    """A device's disciplines in memory; `calls` are those that changed something."""

    ticks_per_s = 15_625_000

    def __init__(self) -> None:
        self.present = ""
        self.known: dict[int, ClassCounts] = {}
        self.calls: list[str] = []
        self.missing: set[str] = set()

    def kind(self, ifindex: int) -> str:
        return self.present

    def add(self, ifindex: int, kind: str, options: Any) -> None:
        if kind in self.missing:
            raise OSError(errno.ENOENT, "No such file or directory")
        self.calls.append(f"add {kind}")
        self.present = kind

    def delete(self, ifindex: int) -> None:
        self.calls.append(f"delete {self.present}")
        self.present = ""
        self.known.clear()

    def set_class(self, ifindex: int, number: int, kind: str, options: Any) -> None:
        self.calls.append(f"class {number:x}")
        self.known.setdefault(number, ClassCounts(0, 0, 0))

    def delete_class(self, ifindex: int, number: int) -> None:
        self.calls.append(f"no class {number:x}")
        del self.known[number]

    def classes(self, ifindex: int) -> dict[int, ClassCounts]:
        return dict(self.known)


class FakeRtnl:
    """The one link there is."""

    def __init__(self) -> None:
        self.fake = FakeTc()
        self.state = DeviceState(True, True, True, 1500, "", ifindex=3)
        self.qdisc = "mq"
        self.shaped = None

    def tc(self) -> FakeTc:
        return self.fake

    def link(self, name: str) -> Link:
        return Link(3, name, self.state, DeviceStats(), self.qdisc)


def make() -> tuple[LinuxShaper, FakeRtnl]:
    rtnl = FakeRtnl()
    return LinuxShaper("p1", lambda: rtnl.state, cast(Rtnl, rtnl)), rtnl


def htb(*queues: int) -> Qos:
    return Qos("linux-htb", (("max-rate", "8000000"),), tuple(map(QueueSettings, queues)))


def test_a_new_discipline_has_a_class_above_all_and_one_for_packets_of_no_queue() -> None:
    shaper, rtnl = make()
    assert shaper.set(htb(5)) == []
    assert rtnl.fake.calls == ["add htb", "class fffe", "class 1", "class 6"]
    assert shaper.facts() == QosFacts("linux-htb", (("max-rate", "8000000"),), (0, 5))
    assert [queue.number for queue in shaper.queues()] == [0, 5]


def test_what_an_earlier_daemon_left_is_changed_in_place() -> None:
    shaper, rtnl = make()
    rtnl.fake.present = "htb"
    rtnl.fake.known = dict.fromkeys((TOP, 1, 2, 9), ClassCounts(7, 700, 1))
    assert shaper.set(htb(1)) == []
    assert rtnl.fake.calls == ["class fffe", "no class 9", "class 1", "class 2"]
    facts = next(queue for queue in shaper.queues() if queue.number == 1)
    assert (facts.tx_packets, facts.tx_bytes, facts.tx_errors) == (7, 700, 1)


def test_a_discipline_of_another_kind_goes_first() -> None:
    shaper, rtnl = make()
    rtnl.fake.present = "tbf"
    shaper.set(htb())
    assert rtnl.fake.calls[:2] == ["delete tbf", "add htb"]


def test_no_qos_removes_what_is_there_and_asks_no_more_than_it_must() -> None:
    shaper, rtnl = make()
    rtnl.fake.present = "htb"
    assert shaper.set(None) == []
    assert rtnl.fake.calls == ["delete htb"]
    rtnl.fake.present, rtnl.qdisc = "htb", "noqueue"
    # A device that was just opened.
    assert shaper.set(None) == []
    assert rtnl.fake.calls == ["delete htb"]


def test_noop_keeps_hands_off() -> None:
    shaper, rtnl = make()
    rtnl.fake.present = "tbf"
    assert shaper.set(Qos("linux-noop")) == []
    shaper.clear()
    assert shaper.set(Qos("linux-noop")) == []
    assert shaper.facts() == QosFacts()
    assert shaper.set(None) == []
    assert rtnl.fake.calls == []
    assert shaper.set(None) == []
    assert rtnl.fake.calls == ["delete tbf"]


def test_a_type_that_the_kernel_lacks_is_named_and_leaves_no_queues() -> None:
    shaper, rtnl = make()
    rtnl.fake.missing = {"hfsc"}
    assert shaper.set(Qos("linux-hfsc")) == [
        "p1: Failed to install new qdisc: No such file or directory",
        "p1: QoS type linux-hfsc needs a kernel with sch_hfsc",
    ]
    assert shaper.facts() == QosFacts()
    assert shaper.queues() == []


def test_types_of_dpdk_and_unknown_ones_are_refused() -> None:
    shaper, rtnl = make()
    (problem,) = shaper.set(Qos("egress-policer"))
    assert problem == "p1: QoS type egress-policer is only for devices that DPDK drives"
    (problem,) = shaper.set(Qos("fast"))
    assert problem == "p1: unknown QoS type fast"
    assert rtnl.fake.calls == []


def test_a_queue_beyond_the_last_is_left_out() -> None:
    shaper, _ = make()
    (problem,) = shaper.set(htb(1, 61_440))
    assert "no queue 61440" in problem
    assert sorted(queue.number for queue in shaper.queues()) == [0, 1]


def test_queues_that_stay_keep_their_age() -> None:
    shaper, _ = make()
    shaper.set(htb(1))
    first = shaper.queues()[1].created_ms
    shaper.set(htb(1, 2))
    assert shaper.queues()[1].created_ms == first


def test_a_port_that_goes_takes_its_discipline_with_it() -> None:
    shaper, rtnl = make()
    shaper.set(htb())
    shaper.clear()
    assert rtnl.fake.calls[-1] == "delete htb"
    assert shaper.facts() == QosFacts()


def test_a_device_elsewhere_is_left_alone() -> None:
    shaper, rtnl = make()
    rtnl.state = replace(rtnl.state, ifindex=0)
    assert shaper.set(None) == []
    assert shaper.set(htb()) == ["p1: QoS cannot be set on a device elsewhere"]
    shaper.clear()
    assert rtnl.fake.calls == []


def test_ticks_are_read_from_the_kernels_numbers() -> None:
    assert read_ticks("000003e8 00000040 000f4240 3b9aca00\n") == 15_625_000
    assert read_ticks("") == 15_625_000
