"""Options of QoS and Queue rows -> what the kernel is told, and what people are shown."""

from __future__ import annotations

from typing import Any

import pytest

from netloom.netdev.disciplines import (
    DISCIPLINES,
    NOOP,
    Classful,
    Link,
    bytes_to_ticks,
    number,
    time_to_ticks,
)

LINK = Link(mtu=1500, speed_bps=1_000_000_000, ticks_per_s=15_625_000)


def classful(type_: str) -> Classful:
    found = DISCIPLINES[type_]
    assert isinstance(found, Classful)
    return found


def htb(queue: dict[str, str], **root: str) -> tuple[dict[str, int], tuple[tuple[str, str], ...]]:
    """The parameters of a queue, and what is shown of it."""
    rules = classful("linux-htb")
    top = rules.root({key.replace("_", "-"): value for key, value in root.items()}, LINK)
    parameters = rules.queue(queue, top, LINK)
    return parameters, rules.shown_queue(parameters)


def attributes(request: Any) -> dict[str, Any]:
    return dict(request["attrs"])


def test_all_types_of_linux_are_there() -> None:
    assert set(DISCIPLINES) == {
        "linux-htb", "linux-hfsc", "linux-sfq", "linux-codel", "linux-fq_codel", "linux-netem",
        "linux-noop",
    }  # fmt: skip
    assert DISCIPLINES["linux-noop"] is NOOP
    assert DISCIPLINES["linux-fq_codel"].kind == "fq_codel"


@pytest.mark.parametrize(("text", "found"), [("7", 7), (" 7", 7), ("x", 9), ("", 9), ("7k", 9)])
def test_what_is_no_number_counts_as_not_given(text: str, found: int) -> None:
    assert number({"burst": text}, "burst", 9) == found


def test_a_root_without_a_rate_has_that_of_the_link() -> None:
    rules = classful("linux-htb")
    assert rules.root({}, LINK) == {"max-rate": 125_000_000}
    assert rules.root({}, Link()) == {"max-rate": 1_250_000_000}
    assert rules.shown(rules.root({"max-rate": "1000001"}, LINK)) == (("max-rate", "1000000"),)


def test_a_queue_without_options_has_the_whole_rate_and_a_packets_worth_at_least() -> None:
    parameters, shown = htb({}, max_rate="8000000")
    assert parameters == {"min-rate": 1500, "max-rate": 1_000_000, "burst": 1564, "priority": 0}
    assert shown == (("burst", "12512"), ("min-rate", "12000"), ("max-rate", "8000000"))


def test_rates_of_a_queue_stay_within_those_of_the_port() -> None:
    parameters, _ = htb({"min-rate": "99000000", "max-rate": "1"}, max_rate="8000000")
    assert parameters["min-rate"] == parameters["max-rate"] == 1_000_000
    parameters, _ = htb({"min-rate": "4000000", "max-rate": "1000000"}, max_rate="8000000")
    assert parameters["min-rate"] == parameters["max-rate"] == 500_000


def test_equal_rates_are_shown_once_and_a_priority_if_there_is_one() -> None:
    _, shown = htb({"min-rate": "8000000", "priority": "3", "burst": "80000"}, max_rate="8000000")
    assert shown == (("burst", "80000"), ("priority", "3"), ("min-rate", "8000000"))


def test_htb_is_told_bytes_and_ticks() -> None:
    rules = classful("linux-htb")
    parameters, _ = htb({"min-rate": "800000", "max-rate": "8000000"}, max_rate="80000000")
    told = attributes(rules.queue_request(parameters, LINK))["TCA_HTB_PARMS"]
    assert (told["rate"], told["ceil"], told["prio"]) == (100_000, 1_000_000, 0)
    assert told["buffer"] == 15_625_000 * 1564 // 100_000
    assert told["cbuffer"] == 15_625_000 * 1564 // 1_000_000
    assert told["quantum"] == 0
    assert (told["rate_mpu"], told["rate_cell_log"]) == (60, 3)
    slow, _ = htb({"min-rate": "100000", "max-rate": "100000"}, max_rate="80000000")
    assert attributes(rules.queue_request(slow, LINK))["TCA_HTB_PARMS"]["quantum"] == 1500


def test_rates_beyond_32_bits_stand_in_attributes_of_their_own() -> None:
    rules = classful("linux-htb")
    root = rules.root({"max-rate": "80000000000"}, LINK)
    told = attributes(rules.queue_request(rules.root_class(root), LINK))
    assert told["TCA_HTB_PARMS"]["rate"] == 0xFFFFFFFF
    assert told["TCA_HTB_RATE64"] == told["TCA_HTB_CEIL64"] == 10_000_000_000


def test_hfsc_has_curves_of_one_slope() -> None:
    rules = classful("linux-hfsc")
    root = rules.root({"max-rate": "8000000"}, LINK)
    assert rules.root_request(root, LINK) == {"defcls": 1}
    queue = rules.queue({}, root, LINK)
    assert queue == {"min-rate": 1, "max-rate": 1_000_000}
    told = attributes(rules.queue_request(queue, LINK))
    assert told["TCA_HFSC_RSC"] == told["TCA_HFSC_FSC"] == {"m1": 1, "d": 0, "m2": 1}
    assert told["TCA_HFSC_USC"] == {"m1": 1_000_000, "d": 0, "m2": 1_000_000}


def test_sfq_takes_turns_of_a_packet() -> None:
    rules = DISCIPLINES["linux-sfq"]
    root = rules.root({}, LINK)
    assert rules.shown(root) == (("perturb", "10"), ("quantum", "1500"))
    assert rules.root_request(rules.root({"quantum": "9000"}, LINK), LINK)["quantum"] == 9000


def test_codel_and_its_fair_form_have_their_usual_numbers() -> None:
    plain, fair = DISCIPLINES["linux-codel"], DISCIPLINES["linux-fq_codel"]
    told = attributes(plain.root_request(plain.root({"target": "7000"}, LINK), LINK))
    assert told["TCA_CODEL_TARGET"] == 7000
    assert told["TCA_CODEL_INTERVAL"] == 100_000
    told = attributes(fair.root_request(fair.root({"flows": "0"}, LINK), LINK))
    assert told["TCA_FQ_CODEL_FLOWS"] == 1024


def test_netem_is_told_ticks_and_a_part_of_all_numbers() -> None:
    rules = DISCIPLINES["linux-netem"]
    told = rules.root_request(rules.root({"latency": "1000", "loss": "50"}, LINK), LINK)
    assert told["delay"] == 15_625
    assert told["loss"] == 0xFFFFFFFF // 2
    assert told["limit"] == 1000


def test_times_never_overflow() -> None:
    assert time_to_ticks(10**12, LINK) == 0xFFFFFFFF
    assert bytes_to_ticks(0, 1500, LINK) == 0
    assert bytes_to_ticks(1, 10**9, LINK) == 0xFFFFFFFF
