"""What the database says, by name."""

from __future__ import annotations

from netloom.base.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.ovsdb.row import Row
    from netloom.programs.db_ctl.context import Context, Needs

#: What most commands read.
_NEEDED = {
    "Global": ("switches",),
    "Physical_Switch": ("name", "ports"),
    "Physical_Port": ("name", "vlan_bindings"),
    "Logical_Switch": ("name", "replication_mode"),
    "Logical_Router": ("name",),
    "Ucast_Macs_Local": ("MAC", "logical_switch", "locator"),
    "Ucast_Macs_Remote": ("MAC", "logical_switch", "locator"),
    "Mcast_Macs_Local": ("MAC", "logical_switch", "locator_set"),
    "Mcast_Macs_Remote": ("MAC", "logical_switch", "locator_set"),
    "Physical_Locator_Set": ("locators",),
    "Physical_Locator": ("encapsulation_type", "dst_ip"),
}


def need_model(needs: Needs) -> None:
    for table, columns in _NEEDED.items():
        needs.columns(table, *columns)


def by_name(context: Context, rows: list[Row]) -> dict[str, Row]:
    """Rows by their names; of those of one name, which the database does not allow, the first."""
    found: dict[str, Row] = {}
    for row in rows:
        name, kind = row.text("name"), row.table.lower().replace("_", " ")
        if name in found:
            context.run.log.warn("%s: database contains duplicate %s name", name, kind)
        else:
            found[name] = row
    return found


def physical_switches(context: Context) -> dict[str, Row]:
    context.verify(context.root, "switches")
    return by_name(context, context.txn.refs(context.root, "switches"))


def physical_switch(context: Context, name: str) -> Row:
    found = physical_switches(context).get(name)
    if found is None:
        raise CommandError(f"no physical switch named {name}")
    return found


def logical_switches(context: Context) -> dict[str, Row]:
    return by_name(context, context.txn.rows("Logical_Switch"))


def logical_switch(context: Context, name: str) -> Row:
    found = logical_switches(context).get(name)
    if found is None:
        raise CommandError(f"no logical switch named {name}")
    return found
