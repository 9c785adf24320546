"""Flows that packets add: how a bridge carries out what `learn` asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.base.log import get_logger
from netloom.flow.match import MATCH_ALL
from netloom.ofproto.rules import Rule
from netloom.ofproto.tables import Change, Tables
from netloom.openflow import messages as m
from netloom.openflow.errors import OpenFlowError

if TYPE_CHECKING:
    from collections.abc import Callable

log = get_logger("ofproto")


def may_learn(tables: Tables, mod: m.FlowMod, limit: int) -> bool:
    """Is the flow there, or is there room for it under `limit` (0: none)?"""
    return not limit or _find(tables, mod) is not None or _count(tables, mod) < limit


def is_there(tables: Tables, mod: m.FlowMod) -> bool:
    """Is there a flow with this match?"""
    return _find(tables, mod) is not None


def learn(
    tables: Tables,
    mod: m.FlowMod,
    limit: int,
    now_ms: int,
    used_ms: int,
    again: bool,
    changed: Callable[[list[Change], int], None],
) -> None:
    """Add or change the flow; one that is there already, as it should be, starts its hard timeout
    anew. `used_ms` is when the packet came that asks for it; if one that came before it has asked
    for the same (`again`), what others have learned later in its place stays. `changed` is told of
    changes."""
    rule = _find(tables, mod)
    if rule is not None and _is_same(rule, mod):
        rule.modified_ms = used_ms
        return
    if rule is not None and again and rule.modified_ms > used_ms:
        return
    if rule is None and limit and _count(tables, mod) >= limit:
        log.info_rl("Learn limit for flow %d reached.", mod.new_cookie or 0)
        return
    try:
        changes = tables.apply(mod, now_ms)
        learned = _find(tables, mod)
        if learned is not None:
            learned.modified_ms = used_ms
        changed(changes, now_ms)
    except OpenFlowError as error:
        log.warn_rl("LEARN action execution failed (%s).", error)


def _find(tables: Tables, mod: m.FlowMod) -> Rule | None:
    return tables.table(mod.table_id).classifier.find(mod.match, mod.priority)


def _is_same(rule: Rule, mod: m.FlowMod) -> bool:
    return (
        rule.cookie == mod.new_cookie
        and rule.idle_timeout_s == mod.idle_timeout
        and rule.hard_timeout_s == mod.hard_timeout
        and rule.flags == mod.flags
        and rule.actions == mod.actions
    )


def _count(tables: Tables, mod: m.FlowMod) -> int:
    """Flows of the table with the cookie."""
    cookie = mod.new_cookie or 0
    wanted = m.FlowStatsRequest(MATCH_ALL, mod.table_id, cookie=cookie, cookie_mask=_ALL_BITS)
    return len(tables.select_loose(wanted))


_ALL_BITS = 0xFFFFFFFFFFFFFFFF
