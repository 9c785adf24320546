"""Steps of `switch_plan` as one transaction of the switch's database."""

from __future__ import annotations

from collections.abc import Sequence

from netloom.network.agents.l2.facts import OWN_CONFIG
from netloom.network.agents.l2.switch_plan import (
    AddBridge,
    AddPort,
    DeletePort,
    SetFailMode,
    SetOptions,
    SetTag,
    Step,
)
from netloom.network.agents.links import SwitchFailed
from netloom.ovsdb.idl import Idl
from netloom.ovsdb.idl_txn import Transaction
from netloom.ovsdb.row import Row


def transaction_for(idl: Idl, steps: Sequence[Step]) -> Transaction:
    """All steps, all or nothing; `SwitchFailed` if a row is not there (any more)."""
    txn = Transaction(idl)
    for step in steps:
        _apply(txn, step)
    txn.increment(_root(txn), "next_cfg")
    return txn


def _apply(txn: Transaction, step: Step) -> None:
    if isinstance(step, AddBridge):
        bridge = txn.insert("Bridge")
        txn.set(bridge, "name", step.name)
        txn.set(bridge, "datapath_type", step.datapath_type)
        txn.set(bridge, "fail_mode", ("secure",))
        _add_port(txn, bridge, step.name, "internal", {})
        txn.add_elements(_root(txn), "bridges", (bridge.uuid,))
    elif isinstance(step, SetFailMode):
        txn.set(_named(txn, "Bridge", step.bridge), "fail_mode", ("secure",))
    elif isinstance(step, AddPort):
        bridge = _named(txn, "Bridge", step.bridge)
        _add_port(txn, bridge, step.name, step.type, dict(step.options))
    elif isinstance(step, SetOptions):
        txn.set(_named(txn, "Interface", step.name), "options", dict(step.options))
    elif isinstance(step, DeletePort):
        port = _named(txn, "Port", step.name)
        txn.remove_elements(_named(txn, "Bridge", step.bridge), "ports", (port.uuid,))
    elif isinstance(step, SetTag):
        port = _named(txn, "Port", step.name)
        txn.set(port, "tag", (step.tag,))
        stale = OWN_CONFIG - dict(step.other_config).keys()
        if stale & port.mapping("other_config").keys():
            txn.remove_elements(port, "other_config", sorted(stale))
        if step.other_config:
            txn.put_pairs(port, "other_config", dict(step.other_config))


def _root(txn: Transaction) -> Row:
    rows = txn.rows("Open_vSwitch")
    if not rows:
        raise SwitchFailed("the database has no Open_vSwitch row")
    return rows[0]


def _named(txn: Transaction, table: str, name: str) -> Row:
    for row in txn.rows(table):
        if row.text("name") == name:
            return row
    raise SwitchFailed(f"no {table} {name}")


def _add_port(txn: Transaction, bridge: Row, name: str, kind: str, options: dict[str, str]) -> None:
    interface = txn.insert("Interface")
    txn.set(interface, "name", name)
    txn.set(interface, "type", kind)
    if options:
        txn.set(interface, "options", dict(sorted(options.items())))
    port = txn.insert("Port")
    txn.set(port, "name", name)
    txn.set(port, "interfaces", (interface.uuid,))
    txn.add_elements(bridge, "ports", (port.uuid,))
