"""What the service does by itself: drivers' work after commits, and agents that are gone.

A mechanism driver's `postcommit` is a row of `driver_tasks`, written in the transaction of the
change. It runs at once, and again with growing pauses until it succeeds; tasks of one driver run in
order, so that nothing overtakes what failed.
"""

from __future__ import annotations

from netloom.base.errors import NetloomError
from netloom.base.log import get_logger
from netloom.network.call import Call, Parts
from netloom.network.document import Caller
from netloom.network.fleet.reports import fail_over
from netloom.network.ml2.interfaces import MechanismDriver
from netloom.network.store import driver_tasks
from netloom.network.store.database import Database
from netloom.network.store.transaction import Transaction

log = get_logger("network_tasks")
FIRST_PAUSE_MS = 1_000
LONGEST_PAUSE_MS = 60_000
_SERVICE = Caller("", frozenset({"admin"}))


class Chores:
    """Runs what is due; every worker may, since a task done twice does no harm."""

    #: Seconds between two rounds.
    pause_s = 5.0

    def __init__(self, database: Database, parts: Parts) -> None:
        self._database = database
        self._parts = parts

    def run_all(self) -> int:
        """Everything that is due; the revision that this made, if any."""
        self.run_tasks()
        moved, revision = self._database.run(lambda tx: fail_over(Call(tx, _SERVICE, self._parts)))
        if moved:
            log.info("moved %d networks or routers from agents that are gone", moved)
        return revision

    def run_tasks(self) -> int:
        """Drivers' tasks that are due; how many were done."""
        done = 0
        for driver in self._parts.drivers.mechanisms:
            if driver.postcommit_kinds:
                done += self._run_driver(driver)
        return done

    def _run_driver(self, driver: MechanismDriver) -> int:
        done = 0
        while True:
            now_ms = self._parts.wall_ms()
            task = self._database.read(lambda tx: driver_tasks.first(tx, driver.name))
            if task is None or task.due_ms > now_ms:
                return done
            try:
                driver.postcommit(task.change)
            except (NetloomError, OSError, ValueError, KeyError, RuntimeError) as error:
                log.warn("%s: attempt %d failed: %s", driver.name, task.attempts + 1, error)
                self._postpone(task, now_ms, str(error))
                return done
            self._forget(task)
            done += 1

    def _forget(self, task: driver_tasks.Task) -> None:
        def work(tx: Transaction) -> None:
            driver_tasks.done(tx, task.id)

        self._database.run(work)

    def _postpone(self, task: driver_tasks.Task, now_ms: int, error: str) -> None:
        pause_ms = min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS << min(task.attempts, 8))

        def work(tx: Transaction) -> None:
            driver_tasks.postpone(tx, task.id, now_ms + pause_ms, error)

        self._database.run(work)
