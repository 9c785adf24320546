"""When the L2 agent has a switch daemon wait for its flows, and when no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from tests.support.memory_database import MemoryDatabase

from netloom.base.clock import ManualClock
from netloom.network.agents.l2.facts import WANTED
from netloom.network.agents.l2.restoring import LIMIT_S, RestoreWait
from netloom.ovsdb.idl import Idl
from netloom.ovsdb.idl_txn import SUCCESS, Transaction

FIRST, SECOND = (("br-int", 1), ("br-tun", 1)), (("br-int", 2), ("br-tun", 2))
ARMED = {"flow-restore-wait": "true", "flow-restore-timeout": str(LIMIT_S)}


class Switch:
    """A database, an agent's replica of it, and the daemon's part in it."""

    def __init__(self) -> None:
        self.database = MemoryDatabase(ManualClock())
        self.idl = Idl("Open_vSwitch", WANTED)
        self._wire = self.database.wire(self.idl)
        self._wire.connect()
        self.pump()
        self.restoring = RestoreWait(self.idl, self.commit)

    def pump(self) -> None:
        while self._wire.step():
            pass

    async def commit(self, transaction: Transaction) -> None:
        transaction.commit()
        self.pump()
        assert transaction.status == SUCCESS

    def set(self, **row: Any) -> None:
        self.database.transact({"op": "update", "table": "Open_vSwitch", "where": [], "row": row})
        self.pump()

    def configured(self) -> None:
        """The daemon has seen all that was asked for."""
        self.set(cur_cfg=self.idl.rows("Open_vSwitch")[0].integer("next_cfg"))

    @property
    def config(self) -> dict[str, str]:
        return self.idl.rows("Open_vSwitch")[0].mapping("other_config")


def told(story: Callable[[Switch], Coroutine[Any, Any, None]]) -> Switch:
    switch = Switch()
    asyncio.run(story(switch))
    return switch


def test_the_next_daemon_waits_from_the_time_that_this_one_has_its_flows() -> None:
    async def story(switch: Switch) -> None:
        assert not switch.restoring.has_filled
        await switch.restoring.follow(FIRST)

    switch = told(story)
    assert switch.config == ARMED
    assert switch.restoring.has_filled


def test_a_daemon_that_was_given_its_flows_goes_on_before_the_next_one_has_to_wait() -> None:
    async def story(switch: Switch) -> None:
        await switch.restoring.follow(FIRST)
        await switch.restoring.follow(SECOND)
        assert switch.config == {}
        await switch.restoring.follow(SECOND)
        assert switch.config == {}, "the daemon has not seen yet that it may go on"
        switch.configured()
        await switch.restoring.follow(SECOND)

    assert told(story).config == ARMED


def test_an_agent_that_starts_completes_the_work_of_one_that_was_killed() -> None:
    async def story(switch: Switch) -> None:
        switch.set(other_config=["map", [["flow-restore-wait", "true"]]])
        await switch.restoring.follow(FIRST)
        assert switch.config == {}
        switch.configured()
        await switch.restoring.follow(FIRST)

    assert told(story).config == ARMED


def test_an_agent_that_leaves_has_nobody_wait_and_touches_nothing_else() -> None:
    async def story(switch: Switch) -> None:
        switch.set(other_config=["map", [["max-idle", "5000"]]])
        await switch.restoring.follow(FIRST)
        await switch.restoring.leave()
        switch.configured()
        await switch.restoring.follow(FIRST)

    assert told(story).config == {"max-idle": "5000"}


def test_what_somebody_else_took_away_is_set_again() -> None:
    async def story(switch: Switch) -> None:
        await switch.restoring.follow(FIRST)
        switch.set(other_config=["map", []])
        await switch.restoring.follow(FIRST)

    assert told(story).config == ARMED


def test_a_database_that_begins_anew_is_followed() -> None:
    async def story(switch: Switch) -> None:
        switch.set(next_cfg=500, cur_cfg=500)
        await switch.restoring.follow(FIRST)
        await switch.restoring.follow(SECOND)
        switch.set(next_cfg=1, cur_cfg=1)
        await switch.restoring.follow(SECOND)

    assert told(story).config == ARMED
