"""`emer-reset`: back to a clean state, with bridges and ports left as they are."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.programs.db_ctl.command_line import Command
    from netloom.programs.db_ctl.context import Context, Needs

#: Columns that are emptied, by table. `other_config` of a bridge keeps its MAC address.
_CLEARED = {
    "Open_vSwitch": ("manager_options", "ssl"),
    "Bridge": (
        "controller", "fail_mode", "mirrors", "netflow", "sflow", "ipfix", "flood_vlans",
    ),
    "Port": ("other_config",),
    "Interface": ("ingress_policing_rate", "ingress_policing_burst"),
}  # fmt: skip

#: Tables whose rows are deleted.
_DELETED = ("Mirror", "Controller", "Manager", "NetFlow", "SSL", "sFlow", "IPFIX")
_KEPT_KEY = "hwaddr"


def need_emer_reset(needs: Needs, command: Command) -> None:
    for table, columns in _CLEARED.items():
        needs.columns(table, *columns)
    needs.columns("Bridge", "other_config")
    for table in _DELETED:
        needs.table(table)


def run_emer_reset(context: Context) -> None:
    txn = context.txn
    for table, columns in _CLEARED.items():
        schemas = context.schema.tables[table].columns
        for row in txn.rows(table):
            for column in columns:
                txn.set(row, column, schemas[column].type.default)
    for row in txn.rows("Bridge"):
        address = row.mapping("other_config").get(_KEPT_KEY)
        txn.set(row, "other_config", {} if address is None else {_KEPT_KEY: address})
    for table in _DELETED:
        for row in txn.rows(table):
            txn.delete(row)
    context.run.model = None
