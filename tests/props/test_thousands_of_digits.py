"""A number of thousands of digits is a mistake in a text like any other. (Python's `int` refuses to
read one with an error of its own, which nobody would take for the user's.)"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from tests.support.action_corpus import KEYWORDS, Maker
from tests.support.text_mutations import FILTERS, GROUPS, METERS, PACKET_OUTS

from netloom.base.errors import NetloomError
from netloom.openflow import messages as m
from netloom.openflow.flow_text import parse_flow_mod, parse_packet_out, parse_query
from netloom.openflow.group_text import parse_group_mod
from netloom.openflow.meter_text import parse_meter_mod

NUMBER = re.compile(r"(?<![\w.])\d+(?![\w.])")
MANY = "1" * 5_000
FLOWS = (
    "table=1,priority=5,cookie=7,in_port=3,dl_vlan=5,ip,nw_src=10.0.0.0/8,nw_tos=4,actions=1",
    "duration=5s,idle_age=3,hard_timeout=5,importance=3,tun_id=5/7,tcp,tp_src=80,actions=drop",
    *(f"actions={Maker(seed).make(word)}" for word in KEYWORDS for seed in range(8)),
)
READERS: tuple[tuple[Callable[[str], object], tuple[str, ...]], ...] = (
    (lambda text: parse_flow_mod(text, m.OFPFC_ADD), FLOWS),
    (parse_query, FILTERS),
    (lambda text: parse_group_mod(text, 0), GROUPS),
    (lambda text: parse_meter_mod(text, 0), METERS),
    (parse_packet_out, PACKET_OUTS),
)


@pytest.mark.parametrize(("read", "texts"), READERS)
def test_it_is_an_error_of_the_text(read: Callable[[str], object], texts: tuple[str, ...]) -> None:
    n_refused = 0
    for text in texts:
        for found in NUMBER.finditer(text):
            try:
                read(f"{text[: found.start()]}{MANY}{text[found.end() :]}")
            except NetloomError:
                n_refused += 1
    assert n_refused > 3
