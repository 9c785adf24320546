"""Routing tables and the rules that choose among them (`ovs/route/*`)."""

from __future__ import annotations

import pytest

from netloom.base.clock import ManualClock
from netloom.base.errors import CommandError
from netloom.flow.mapped import parse_mapped
from netloom.ofproto.underlay import Underlay
from netloom.ofproto.underlay.commands import UnderlayCommands
from netloom.ofproto.underlay.rules import TABLE_LOCAL, TABLE_MAIN, Rule


class Desk:
    """The commands over an underlay with two devices, each with a network of its own."""

    def __init__(self) -> None:
        self.underlay = Underlay()
        self.underlay.give("br0", *_prefix("10.0.0.1", 24))
        self.underlay.give("br1", *_prefix("10.1.0.1", 24))
        commands = UnderlayCommands(self.underlay, ManualClock(), lambda low, high: None)
        self._commands = {name: run for name, _, _, _, run in commands.commands()}

    def say(self, words: str) -> str:
        name, *args = words.split()
        return self._commands[f"ovs/route/{name}"](args)

    def device(self, address: str, source: str = "") -> str | None:
        whence = f" src={source}" if source else ""
        try:
            return self.say(f"lookup {address}{whence}").split()[-1]
        except CommandError as error:
            assert str(error) == "Not found"
            return None


def _prefix(text: str, length: int) -> tuple[int, int]:
    address = parse_mapped(text)
    assert address is not None
    return address, length + 96


def test_a_route_of_another_table_is_not_used_without_a_rule() -> None:
    desk = Desk()
    assert desk.say("add 9.0.0.0/8 br0 10.0.0.2 table=10") == "OK"
    assert desk.device("9.1.1.1") is None
    assert desk.say("rule/add from=all table=10") == "OK"
    assert desk.device("9.1.1.1") == "br0"
    assert desk.say("rule/del from=all table=10") == "OK"
    assert desk.device("9.1.1.1") is None


def test_rules_are_asked_by_priority() -> None:
    desk = Desk()
    for table, device, gateway in ((10, "br0", "10.0.0.2"), (20, "br1", "10.1.0.2")):
        desk.say(f"add 9.0.0.0/8 {device} {gateway} table={table}")
    desk.say("rule/add from=all prio=7 table=10")
    desk.say("rule/add from=all prio=5 table=20")
    assert desk.device("9.1.1.1") == "br1"
    desk.say("rule/del from=all prio=5 table=20")
    assert desk.device("9.1.1.1") == "br0"


def test_a_rule_may_be_for_some_sources_or_for_all_others() -> None:
    desk = Desk()
    desk.say("add 9.0.0.0/8 br0 10.0.0.2")
    desk.say("add 9.0.0.0/8 br1 10.1.0.2 table=20")
    desk.say("rule/add from=10.1.0.0/24 table=20")
    assert desk.device("9.1.1.1") == "br0"
    assert desk.device("9.1.1.1", "10.1.0.1") == "br1"
    desk.say("rule/del from=10.1.0.0/24 table=20")
    desk.say("rule/add not from=10.1.0.0/24 table=20")
    assert desk.device("9.1.1.1") == "br1"
    assert desk.device("9.1.1.1", "10.1.0.1") == "br0"


def test_rules_are_shown_in_order_with_those_of_the_host() -> None:
    desk = Desk()
    desk.say("rule/add not from=10.0.0.0/24 table=10")
    desk.say("rule/add from=10.0.0.7 prio=9 table=main")
    desk.say("rule/add from=all table=main")
    desk.say("rule/add from=fc00::/8 prio=3 table=local")
    assert desk.say("rule/show") == (
        "Cached: 0: from all lookup local\n"
        "User: 9: from 10.0.0.7 lookup main\n"
        "User: 32764: from all lookup main\n"
        "User: 32765: not from 10.0.0.0/24  lookup 10\n"
        "Cached: 32766: from all lookup main\n"
        "Cached: 32767: from all lookup default\n"
    )
    assert desk.say("rule/show -6") == (
        "Cached: 0: from all lookup local\n"
        "User: 3: from fc00::/8  lookup local\n"
        "Cached: 32766: from all lookup main\n"
    )


def test_tables_are_shown_one_by_one_or_together() -> None:
    desk = Desk()
    desk.say("add 9.0.0.0/8 br0 10.0.0.2 table=10")
    own = (
        "Cached: 10.0.0.1/32 dev br0 SRC 10.0.0.1 local\n"
        "Cached: 10.1.0.1/32 dev br1 SRC 10.1.0.1 local\n"
        "Cached: 10.0.0.0/24 dev br0 SRC 10.0.0.1\n"
        "Cached: 10.1.0.0/24 dev br1 SRC 10.1.0.1\n"
    )
    route = "User: 9.0.0.0/8 dev br0 GW 10.0.0.2 SRC 10.0.0.1"
    assert desk.say("show") == f"Route Table:\n{own}"
    assert desk.say("show table=10") == f"Route Table #10:\n{route}\n"
    assert desk.say("show table=all") == f"{route} table 10\n{own}"
    assert desk.say("del 9.0.0.0/8 table=10") == "OK"
    assert desk.say("show table=10") == "Route Table #10:\n"


@pytest.mark.parametrize(
    "words",
    [
        "rule/add from=all",
        "rule/add from=all table=x",
        "rule/add from=all to=main",
        "rule/add from=1.2.3 table=10",
        "rule/add from=all prio=x table=10",
        "rule/del from=all table=10",
        "show table=x",
        "show table=11",
        "del 9.0.0.0/8 table=11",
        "add 9.0.0.0/8 br0 fe80::1",
        "add 9.0.0.0/8 br0 10.0.0.2 table=x",
        "del 9.0.0.0/8 table=10",
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(words: str) -> None:
    desk = Desk()
    before = [desk.say(text) for text in ("show table=all", "rule/show", "rule/show -6")]
    with pytest.raises(CommandError):
        desk.say(words)
    assert before == [desk.say(text) for text in ("show table=all", "rule/show", "rule/show -6")]


def test_rules_of_the_host_take_the_place_of_the_usual_ones() -> None:
    desk = Desk()
    routes = desk.underlay.routes
    desk.say("add 9.0.0.0/8 br1 10.1.0.2 table=20")
    generation = routes.generation
    routes.set_system_rules((Rule(0, TABLE_LOCAL), Rule(100, 20), Rule(32766, TABLE_MAIN)))
    assert routes.generation > generation
    assert desk.device("9.1.1.1") == "br1"
    assert "Cached: 100: from all lookup 20\n" in desk.say("rule/show")
    # A family that the host lacks keeps the usual rules.
    assert len(desk.say("rule/show -6").splitlines()) == 2


def test_the_default_route_of_one_family_is_not_that_of_the_other() -> None:
    desk = Desk()
    desk.underlay.give("br0", *_prefix("fd00::1", -32))
    assert desk.say("add ::/0 br0 fd00::2 table=10") == "OK"
    assert desk.say("rule/add from=10.0.0.1 table=10") == "OK"
    assert desk.device("9.1.1.1", "10.0.0.1") is None
    assert desk.say("rule/add -6 from=all table=10") == "OK"
    assert desk.device("fd99::1") == "br0"


def test_rules_of_both_families_get_numbers_of_their_own() -> None:
    desk = Desk()
    desk.say("rule/add from=10.0.0.1 table=10")
    desk.say("rule/add -6 from=all table=11")
    assert "User: 32765: from 10.0.0.1 lookup 10\n" in desk.say("rule/show")
    assert "User: 32764: from all lookup 11\n" in desk.say("rule/show -6")
    assert "User:" not in desk.say("rule/show -6").replace("User: 32764", "")


def test_routes_of_a_table_are_shown_by_length() -> None:
    desk = Desk()
    for words in ("9.0.0.0/8 br0 10.0.0.2", "9.1.0.0/16 br0 10.0.0.2", "9.1.1.1/32 br0 10.0.0.2"):
        desk.say(f"add {words}")
    lines = [line.split()[1] for line in desk.say("show").splitlines() if "User" in line]
    assert lines == ["9.1.1.1/32", "9.1.0.0/16", "9.0.0.0/8"]
