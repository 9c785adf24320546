"""Which bridges a data path may run by itself, and what it costs to find out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from netloom.ofproto.bridge import Ofproto
from netloom.ofproto.classifier import Classifier
from netloom.ofproto.switching import why_not

sys.path.insert(0, str(Path(__file__).parents[2] / "trace"))
from small_switch import SmallSwitch


class Site:
    """A bridge of two ports."""

    def __init__(self) -> None:
        self.switch = SmallSwitch()
        self.bridge: Ofproto = self.switch.add_bridge("br0")
        for number in (1, 2):
            self.switch.add_port("br0", f"p{number}", number, {})


@pytest.mark.parametrize(
    ("flows", "reason"),
    [
        (("actions=NORMAL",), ""),
        (("priority=7 actions=NORMAL",), ""),
        (("in_port=1 actions=NORMAL",), "rules other than NORMAL"),
        (("actions=NORMAL,1",), "rules other than NORMAL"),
        (("actions=NORMAL", "priority=2,ip actions=drop"), "rules other than NORMAL"),
        ((), "rules other than NORMAL"),
    ],
)
def test_only_one_rule_that_is_normal_may_be_left_to_the_data_path(
    flows: tuple[str, ...], reason: str
) -> None:
    site = Site()
    site.switch.replace_flows("br0", "\n".join(flows))
    assert why_not(site.bridge) == reason


def test_many_rules_are_not_gone_through_at_each_barrier(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site()
    site.switch.replace_flows("br0", "actions=NORMAL\npriority=2,ip actions=drop")

    def refuse(table: Classifier[Any]) -> list[Any]:
        raise AssertionError("all rules are listed")

    monkeypatch.setattr(Classifier, "rules", refuse)
    assert why_not(site.bridge)
