"""Queueing disciplines: options of the QoS and Queue tables -> what the kernel is to be told. Pure.

One class per family. `root` and `queue` read options, apply the rules of ovs-vswitchd.conf.db(5)
and return `Parameters`: numbers by name, rates in bytes a second. From these follow what tc(8)
would send (`root_request`, `queue_request`: the contents of TCA_OPTIONS, as pyroute2 has it) and
what `ovs-appctl qos/show` prints (`shown`). Units are converted here and nowhere else: people write
bits, the kernel wants bytes, and times in its own ticks (`Link.ticks_per_s`).

A value that is no number counts as not given, as in Open vSwitch.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Final

from netloom.base.record import Record
from netloom.netdev.qos import MAX_QUEUES, Pairs

#: Bits a second of a link that does not say how fast it is.
USUAL_SPEED_BPS: Final = 10_000_000_000
#: The class that packets get which name none: queue 0.
DEFAULT_CLASS: Final = 1
#: A class of HTB sends this share of its rate at once, unless that is less than a packet.
_RATE_TO_QUANTUM: Final = 10
#: What is added to the MTU for headers that the MTU does not count.
_HEADER_ROOM: Final = 64
_HTB_VERSION: Final = 3
_U32: Final = 0xFFFFFFFF
#: Bytes that the shortest frame counts as.
_LEAST_FRAME: Final = 60
#: What is below IP (linux/pkt_sched.h); without it the kernel would ask for a table of times.
_LINKLAYER_ETHERNET: Final = 1

Options = Mapping[str, str]
Parameters = dict[str, int]


class Link(Record):
    """What rules need to know of the device and the kernel; `speed_bps` 0: unknown."""

    mtu: int = 1500
    speed_bps: int = 0
    ticks_per_s: int = 15_625_000


def number(options: Options, key: str, default: int = 0) -> int:
    """An unsigned decimal number; `default` if it is missing or none."""
    text = options.get(key, "").strip()
    return int(text) & (1 << 64) - 1 if text.isascii() and text.isdigit() else default


def time_to_ticks(microseconds: int, link: Link) -> int:
    """In the units of tc's times."""
    return min(microseconds * link.ticks_per_s // 1_000_000, _U32)


def bytes_to_ticks(rate: int, n_bytes: int, link: Link) -> int:
    """How long so many bytes take at a rate of bytes a second."""
    return min(link.ticks_per_s * n_bytes // rate, _U32) if rate else 0


class Discipline:
    """A discipline without queues; `kind` is the kernel's name of it. `options` are (option,
    default) in the order in which they are shown."""

    n_queues: int = 0

    def __init__(self, type_: str, options: tuple[tuple[str, int], ...] = ()) -> None:
        self.type = type_
        self.kind = type_.removeprefix("linux-")
        self._options = options

    def root(self, options: Options, link: Link) -> Parameters:
        """What the QoS row says; a 0 is as good as nothing."""
        return {key: number(options, key) or default for key, default in self._options}

    def root_request(self, root: Parameters, link: Link) -> Any:
        """TCA_OPTIONS of the discipline."""
        prefix = f"TCA_{self.kind.upper()}_"
        return {"attrs": [(prefix + key.upper(), min(value, _U32)) for key, value in root.items()]}

    def shown(self, root: Parameters) -> Pairs:
        """What people are shown of it."""
        return tuple((key, str(value)) for key, value in root.items())


class StochasticFairness(Discipline):
    """linux-sfq."""

    def __init__(self) -> None:
        super().__init__("linux-sfq", (("perturb", 10), ("quantum", 0)))

    def root(self, options: Options, link: Link) -> Parameters:
        root = super().root(options, link)
        return {**root, "quantum": root["quantum"] or link.mtu}

    def root_request(self, root: Parameters, link: Link) -> Any:
        return {"quantum": min(root["quantum"], _U32), "perturb_period": root["perturb"],
                "limit": 0, "divisor": 0, "flows": 0}  # fmt: skip


class NetworkEmulator(Discipline):
    """linux-netem."""

    def __init__(self) -> None:
        super().__init__("linux-netem", (("latency", 0), ("limit", 1_000), ("loss", 0)))

    def root_request(self, root: Parameters, link: Link) -> Any:
        return {
            "delay": time_to_ticks(root["latency"], link),
            "limit": min(root["limit"], _U32),
            "loss": _U32 * min(root["loss"], 100) // 100,
            "gap": 0,
            "duplicate": 0,
            "jitter": 0,
            "attrs": [],
        }


class Classful(Discipline):
    """A discipline with queues, under a class that all of them share."""

    n_queues = MAX_QUEUES

    def root(self, options: Options, link: Link) -> Parameters:
        rate = number(options, "max-rate") // 8 or (link.speed_bps or USUAL_SPEED_BPS) // 8
        return {"max-rate": rate}

    def shown(self, root: Parameters) -> Pairs:
        return (("max-rate", str(8 * root["max-rate"])),)

    @abstractmethod
    def root_class(self, root: Parameters) -> Parameters:
        """The class above the queues."""

    def queue(self, options: Options, root: Parameters, link: Link) -> Parameters:
        """What a Queue row says, within what the QoS row allows."""
        ceiling = root["max-rate"]
        least = min(max(number(options, "min-rate") // 8, self._least(link)), ceiling)
        most = number(options, "max-rate")
        return {"min-rate": least, "max-rate": min(max(most // 8 if most else ceiling, least),
                                                   ceiling)}  # fmt: skip

    @abstractmethod
    def queue_request(self, queue: Parameters, link: Link) -> Any:
        """TCA_OPTIONS of a class."""

    def shown_queue(self, queue: Parameters) -> Pairs:
        """What people are shown of a queue: a rate twice, if both are one, only once."""
        rates = [("min-rate", str(8 * queue["min-rate"]))]
        if queue["max-rate"] != queue["min-rate"]:
            rates.append(("max-rate", str(8 * queue["max-rate"])))
        return tuple(rates)

    def _least(self, link: Link) -> int:
        """The lowest rate that a class can have."""
        return 1


class TokenBuckets(Classful):
    """linux-htb."""

    def __init__(self) -> None:
        super().__init__("linux-htb")

    def root_request(self, root: Parameters, link: Link) -> Any:
        return {"attrs": [("TCA_HTB_INIT", {
            "version": _HTB_VERSION, "rate2quantum": _RATE_TO_QUANTUM, "defcls": DEFAULT_CLASS,
            "debug": 0, "direct_pkts": 0,
        })]}  # fmt: skip

    def root_class(self, root: Parameters) -> Parameters:
        rate = root["max-rate"]
        return {"min-rate": rate, "max-rate": rate, "burst": 0, "priority": 0}

    def queue(self, options: Options, root: Parameters, link: Link) -> Parameters:
        # A bucket that holds less than a packet lets nothing through.
        burst = max(number(options, "burst") // 8, link.mtu + _HEADER_ROOM)
        rates = super().queue(options, root, link)
        return {**rates, "burst": burst, "priority": number(options, "priority")}

    def queue_request(self, queue: Parameters, link: Link) -> Any:
        rate, ceil = queue["min-rate"], queue["max-rate"]
        mtu, burst = link.mtu, queue["burst"]
        parameters = {
            **_rate_fields("rate", rate, mtu),
            **_rate_fields("ceil", ceil, mtu),
            "buffer": bytes_to_ticks(rate, max(burst, mtu), link),
            "cbuffer": bytes_to_ticks(ceil, max(burst, mtu), link),
            # The kernel would derive one from the rate that is too small for a packet.
            "quantum": mtu if rate // _RATE_TO_QUANTUM < mtu else 0,
            "level": 0,
            "prio": min(queue["priority"], _U32),
        }
        attributes: list[tuple[str, Any]] = [("TCA_HTB_PARMS", parameters)]
        for name, value in (("TCA_HTB_RATE64", rate), ("TCA_HTB_CEIL64", ceil)):
            if value > _U32:
                attributes.append((name, value))
        return {"attrs": attributes}

    def shown_queue(self, queue: Parameters) -> Pairs:
        shown = [("burst", str(8 * queue["burst"]))]
        if queue["priority"]:
            shown.append(("priority", str(queue["priority"])))
        return (*shown, *super().shown_queue(queue))

    def _least(self, link: Link) -> int:
        # HTB sends nothing through a class whose rate is below a packet a second.
        return link.mtu


class ServiceCurves(Classful):
    """linux-hfsc."""

    def __init__(self) -> None:
        super().__init__("linux-hfsc")

    def root_request(self, root: Parameters, link: Link) -> Any:
        return {"defcls": DEFAULT_CLASS}

    def root_class(self, root: Parameters) -> Parameters:
        return {"min-rate": root["max-rate"], "max-rate": root["max-rate"]}

    def queue_request(self, queue: Parameters, link: Link) -> Any:
        least, most = (
            {"m1": min(queue[key], _U32), "d": 0, "m2": min(queue[key], _U32)}
            for key in ("min-rate", "max-rate")
        )
        return {"attrs": [("TCA_HFSC_RSC", least), ("TCA_HFSC_FSC", least),
                          ("TCA_HFSC_USC", most)]}  # fmt: skip


#: Leaves a device as somebody else has set it.
NOOP: Final = Discipline("linux-noop")

#: In the order in which people are told of them.
DISCIPLINES: Final = {
    discipline.type: discipline
    for discipline in (
        NetworkEmulator(),
        # Open vSwitch's interval of this one is ten times the kernel's.
        Discipline("linux-fq_codel", (("target", 5_000), ("limit", 10_240), ("interval", 1_000_000),
                                      ("flows", 1_024), ("quantum", 1_514))),
        Discipline("linux-codel", (("target", 5_000), ("limit", 10_240), ("interval", 100_000))),
        ServiceCurves(),
        NOOP,
        StochasticFairness(),
        TokenBuckets(),
    )
}  # fmt: skip
#: Types of devices that DPDK drives.
DPDK_TYPES: Final = frozenset({"egress-policer", "trtcm-policer"})


def _rate_fields(name: str, rate: int, mtu: int) -> dict[str, int]:
    """The fields of a `struct tc_ratespec`; a rate beyond it stands in an attribute of its own."""
    # The unit of tables of rates, which the kernel itself no longer uses but shows.
    cell_log = 0
    while mtu >> cell_log > 255:
        cell_log += 1
    return {
        f"{name}_cell_log": cell_log, f"{name}___reserved": _LINKLAYER_ETHERNET,
        f"{name}_overhead": 0, f"{name}_cell_align": 0, f"{name}_mpu": _LEAST_FRAME,
        name: min(rate, _U32),
    }  # fmt: skip
