"""`ofproto/detrace`: the rules and groups behind a flow of the data path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "trace"))
from small_switch import SmallSwitch

from netloom.base.errors import CommandError
from netloom.flow.key import make_key
from netloom.ofproto.translate import translate
from netloom.openflow import messages as m
from netloom.openflow.flow_text import parse_flow_mod


def switch() -> SmallSwitch:
    switch = SmallSwitch()
    switch.add_bridge("br0")
    for number in (1, 2):
        switch.add_port("br0", f"p{number}", number, {})
    for text in ("cookie=0x5,priority=7,ip,in_port=1 actions=resubmit(,2)", "table=2 actions=2"):
        mod, _ = parse_flow_mod(text, m.OFPFC_ADD)
        switch.backer.bridges["br0"].tables.apply(mod, 1_000_000)
    return switch


def test_rules_are_listed_in_the_order_of_the_walk() -> None:
    stand = switch()
    key = make_key(in_port=1, dl_type=0x0800)
    result = translate(stand.backer.bridges["br0"], key, 1_000_000)
    stand.backer.revalidator.install(key, result.mask, result, 1_000_000)
    (flow,) = stand.backer.dpif.flow_dump()
    assert stand.control("ofproto/detrace", f"ufid:{flow.ufid:032x}").splitlines() == [
        "br0",
        "  cookie=0x5, duration=0s, n_packets=0, n_bytes=0, n_offload_packets=0, "
        "n_offload_bytes=0, priority=7,ip,in_port=1,actions=resubmit(,2)",
        "  table_id=2, duration=0s, n_packets=0, n_bytes=0, n_offload_packets=0, "
        "n_offload_bytes=0, ,actions=output:2",
    ]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["x"], "failed to parse ufid"),
        ([f"ufid:{5:032x}", "pmd=x"], "Invalid pmd argument format"),
    ],
)
def test_what_is_no_flow_is_refused(words: list[str], complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        switch().control("ofproto/detrace", *words)


@pytest.mark.parametrize("words", [(), ("pmd=3",), ("pmd=2147483647",)])
def test_each_data_path_that_has_not_the_flow_says_so(words: tuple[str, ...]) -> None:
    said = switch().control("ofproto/detrace", f"ufid:{5:032x}", *words)
    assert said == "UFID was not found for dummy@ovs-dummy\n"


def test_a_table_that_had_no_rule_is_told() -> None:
    stand = switch()
    key = make_key(in_port=2, dl_type=0x0800)
    result = translate(stand.backer.bridges["br0"], key, 1_000_000)
    stand.backer.revalidator.install(key, result.mask, result, 1_000_000)
    (flow,) = stand.backer.dpif.flow_dump()
    told = stand.control("ofproto/detrace", f"ufid:{flow.ufid:032x}").splitlines()
    assert told[:2] == ["br0", "  table_id=0, no match"]
