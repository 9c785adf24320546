"""Commands about MAC addresses of logical switches: behind which tunnels they are.

A table has those of one kind (unicast: one tunnel, multicast: several) on one side (local: this
VTEP found them; remote: others did)."""

from __future__ import annotations

from netloom.programs.vtep_ctl.model import logical_switch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.ovsdb.row import Row
    from netloom.programs.db_ctl.context import Context

_ENCAPSULATION = "vxlan_over_ipv4"


def _table(context: Context, kind: str) -> str:
    side = "Local" if "local" in context.command.spec.name.split("-") else "Remote"
    return f"{kind}_Macs_{side}"


def _entries(context: Context, kind: str, switch: Row) -> list[Row]:
    rows = context.txn.rows(_table(context, kind))
    return [row for row in rows if row.uuids("logical_switch") == (switch.uuid,)]


def _find(context: Context, kind: str, switch: Row) -> Row | None:
    """The entry of the MAC address in the arguments."""
    mac = context.args[1]
    return next((r for r in _entries(context, kind, switch) if r.text("MAC") == mac), None)


def _new(context: Context, kind: str, switch: Row) -> Row:
    row = context.insert(_table(context, kind))
    context.txn.set(row, "MAC", context.args[1])
    context.txn.set(row, "logical_switch", switch.uuid)
    return row


def _find_locator(context: Context) -> Row | None:
    """The row of the tunnel in the arguments."""
    encapsulation, address = _tunnel(context)
    for row in context.txn.rows("Physical_Locator"):
        if (row.text("encapsulation_type"), row.text("dst_ip")) == (encapsulation, address):
            return row
    return None


def _tunnel(context: Context) -> tuple[str, str]:
    *encapsulation, address = context.args[2:]
    return encapsulation[0] if encapsulation else _ENCAPSULATION, address


def _locator(context: Context) -> Row:
    row = _find_locator(context)
    if row is None:
        row = context.insert("Physical_Locator")
        for column, text in zip(("encapsulation_type", "dst_ip"), _tunnel(context)):
            context.txn.set(row, column, text)
    return row


# One tunnel.


def _add_unicast(context: Context) -> None:
    switch = logical_switch(context, context.args[0])
    row = _find(context, "Ucast", switch) or _new(context, "Ucast", switch)
    context.txn.set(row, "locator", _locator(context).uuid)


def _delete_unicast(context: Context) -> None:
    row = _find(context, "Ucast", logical_switch(context, context.args[0]))
    if row is not None:
        context.txn.delete(row)


run_add_ucast_local = run_add_ucast_remote = _add_unicast
run_del_ucast_local = run_del_ucast_remote = _delete_unicast


# Several tunnels, in a set that cannot be changed, only replaced.


def _locators(context: Context, row: Row) -> list[Row]:
    """The tunnels of an entry of multicast."""
    sets = context.txn.refs(row, "locator_set")
    return context.txn.refs(sets[0], "locators") if sets else []


def _set_locators(context: Context, row: Row, locators: list[Row]) -> None:
    new = context.insert("Physical_Locator_Set")
    uuids = {locator.uuid for locator in locators}
    context.txn.set(new, "locators", tuple(sorted(uuids)))
    context.txn.set(row, "locator_set", new.uuid)


def _add_multicast(context: Context) -> None:
    switch = logical_switch(context, context.args[0])
    row = _find(context, "Mcast", switch)
    old = [] if row is None else _locators(context, row)
    row = row or _new(context, "Mcast", switch)
    _set_locators(context, row, [*old, _locator(context)])


def _delete_multicast(context: Context) -> None:
    row = _find(context, "Mcast", logical_switch(context, context.args[0]))
    locator = _find_locator(context)
    if row is None or locator is None:
        return
    left = [each for each in _locators(context, row) if each.uuid != locator.uuid]
    if left:
        _set_locators(context, row, left)
    else:
        context.txn.delete(row)


run_add_mcast_local = run_add_mcast_remote = _add_multicast
run_del_mcast_local = run_del_mcast_remote = _delete_multicast


# All of one side.


def _clear(context: Context) -> None:
    switch = logical_switch(context, context.args[0])
    for kind in ("Ucast", "Mcast"):
        for row in _entries(context, kind, switch):
            context.txn.delete(row)


def _list(context: Context) -> None:
    switch = logical_switch(context, context.args[0])
    for kind in ("Ucast", "Mcast"):
        side = _table(context, kind).rpartition("_")[2]
        context.print(f"{kind.lower()}-mac-{side.lower()}")
        for line in sorted(_lines(context, kind, switch)):
            context.print(line)
        context.print("")


def _lines(context: Context, kind: str, switch: Row) -> list[str]:
    lines = []
    for row in _entries(context, kind, switch):
        is_one = kind == "Ucast"
        locators = context.txn.refs(row, "locator") if is_one else _locators(context, row)
        for locator in locators:
            tunnel = f"{locator.text('encapsulation_type')}/{locator.text('dst_ip')}"
            lines.append(f"  {row.text('MAC')} -> {tunnel}")
    return lines


run_clear_local_macs = run_clear_remote_macs = _clear
run_list_local_macs = run_list_remote_macs = _list
