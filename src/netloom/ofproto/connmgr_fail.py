"""How a bridge goes on without a controller.

* *Standalone, no primary controller configured*: an ordinary rule `priority=0 actions=NORMAL`.
* *Standalone, controllers configured but none reached* for three inactivity probes: *fail-open*.
  All rules are removed and a hidden one sends everything to NORMAL, until a controller is back and
  at work.
* *Secure*: nothing; packets are dropped until a controller says otherwise.

When a bridge goes from having controllers to having none, or back, all rules, groups and meters
are removed: they were made for other circumstances. "Controller Failure Settings" in
ovs-vswitchd.conf.db(5).
"""

from __future__ import annotations

from netloom.base.log import get_logger
from netloom.flow.match import MATCH_ALL
from netloom.flow.ports import NORMAL
from netloom.ofproto.rules import MAX_OPENFLOW_PRIORITY, Rule
from netloom.ofproto.settings import BridgeSettings, ControllerSettings
from netloom.ofproto.tables import INTERNAL_TABLE, Tables
from netloom.openflow import messages as m
from netloom.openflow import messages_groups as g
from netloom.openflow.actions import Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from netloom.ofproto.connmgr import ConnectionManager

log: Final = get_logger("fail_open")

FAIL_OPEN_PRIORITY: Final = 0xF0F0F0
assert FAIL_OPEN_PRIORITY > MAX_OPENFLOW_PRIORITY
#: How many inactivity probes a controller may be away.
_PROBES: Final = 3
#: Controllers without probes are waited for as if they had the usual ones.
_DEFAULT_PROBE_MS: Final = 5_000
_STILL_EVERY_S: Final = 60


class FailModes:
    """Decides and keeps the rules that stand in for a controller."""

    def __init__(self, manager: ConnectionManager) -> None:
        self._manager = manager
        self._mode = ""
        self._primary: dict[str, ControllerSettings] = {}
        #: Controller -> when it was last at work (or was configured).
        self._last_admitted_ms: dict[str, int] = {}
        self._rule: Rule | None = None
        self._last_logged_s = 0

    @property
    def _tables(self) -> Tables:
        return self._manager.tables

    @property
    def is_open(self) -> bool:
        """Is the bridge in fail-open mode?"""
        return self._rule is not None

    def configure(self, settings: BridgeSettings, now_ms: int) -> None:
        """Follow a change of controllers or of the fail mode."""
        primary = {c.target: c for c in settings.controllers if c.type == "primary"}
        first = not self._mode
        gained_or_lost = bool(primary) != bool(self._primary)
        mode_changed = settings.fail_mode != self._mode
        self._mode = settings.fail_mode
        self._primary = primary
        self._last_admitted_ms = {
            target: self._last_admitted_ms.get(target, now_ms) for target in primary
        }
        if self.is_open and not self._may_open:
            self._recover()
        if first or gained_or_lost or (mode_changed and not primary):
            self._flush(now_ms, is_counted=not first)

    @property
    def _may_open(self) -> bool:
        return bool(self._primary) and self._mode == "standalone"

    def flushed(self, now_ms: int) -> None:
        """Put back what the mode demands, all rules being gone."""
        actions = (Output(NORMAL),)
        if not self._primary and self._mode == "standalone":
            add = m.FlowMod(m.OFPFC_ADD, priority=0, table_id=0, actions=actions, new_cookie=0)
            self._manager.flows_changed(self._tables.apply(add, now_ms), now_ms)
        self._rule = None
        if self._may_open and now_ms >= self._trigger_ms():
            self._rule = self._tables.add_hidden(0, MATCH_ALL, FAIL_OPEN_PRIORITY, actions, now_ms)

    def run(self, now_ms: int) -> None:
        """Enter or leave fail-open."""
        self._note_admitted(now_ms)
        if not self._may_open:
            return
        away_s = self._away_ms(now_ms) // 1_000
        if not self.is_open and now_ms >= self._trigger_ms():
            log.warn(
                "Could not connect to controller (or switch failed controller's post-connection "
                "admission control policy) for %d seconds, failing open", away_s,
            )  # fmt: skip
            self._last_logged_s = away_s
            self._flush(now_ms)
        elif self.is_open and self._admitted(now_ms):
            self._recover()
        elif self.is_open and away_s > self._last_logged_s + _STILL_EVERY_S:
            log.info(
                "Still in fail-open mode after %d seconds disconnected from controller", away_s
            )
            self._last_logged_s = away_s

    def deadline(self) -> int | None:
        """When fail-open may begin, or end."""
        if not self._may_open:
            return None
        if not self.is_open:
            return self._trigger_ms()
        due = [s.admitted_at_ms for s in self._manager.sessions if s.is_primary and s.is_ready]
        return min(due, default=None)

    def _recover(self) -> None:
        log.warn("No longer in fail-open mode")
        if self._rule is not None and not self._rule.removed:
            self._tables.remove(self._rule, m.OFPRR_DELETE)
        self._rule = None
        self._last_logged_s = 0

    def _flush(self, now_ms: int, is_counted: bool = True) -> None:
        """Remove all rules but the switch's own table, groups and meters."""
        self._manager.events.rules_flushed.add(is_counted)
        changes = [
            self._tables.remove(rule, m.OFPRR_DELETE)
            for rule in self._tables.rules(hidden=True)
            if rule.table_id != INTERNAL_TABLE
        ]
        self._manager.flows_changed(changes, now_ms)
        switch = self._manager.switch
        switch.groups.apply(g.GroupMod(g.OFPGC_DELETE, g.OFPG_ALL), now_ms)
        switch.meters.clear()
        self._manager.flushed(now_ms)

    def _admitted(self, now_ms: int) -> list[str]:
        return [
            session.controller.target
            for session in self._manager.sessions
            if session.controller is not None and session.is_primary and session.is_admitted(now_ms)
        ]

    def _note_admitted(self, now_ms: int) -> None:
        for target in self._admitted(now_ms):
            if target in self._last_admitted_ms:
                self._last_admitted_ms[target] = now_ms

    def _away_ms(self, now_ms: int) -> int:
        """For how long no controller has been at work."""
        return now_ms - max(self._last_admitted_ms.values(), default=now_ms)

    def _trigger_ms(self) -> int:
        """When the bridge has been alone for long enough."""
        probe_ms = max(c.inactivity_probe_ms for c in self._primary.values()) or _DEFAULT_PROBE_MS
        return max(self._last_admitted_ms.values()) + _PROBES * probe_ms
