"""The program `vtep-ctl`."""

from __future__ import annotations

from netloom.base.getopt import NO, REQUIRED, Option
from netloom.ovsdb.table_text import TABLE_OPTIONS
from netloom.programs import tool
from netloom.programs.db_ctl.run import Program, RowId, run
from netloom.programs.vtep_ctl.commands import SPECS
from netloom.transport.log_options import LOG_OPTIONS
from netloom.transport.tls_settings import TLS_OPTIONS

_OPTIONS = (
    Option("db", REQUIRED),
    Option("no-syslog"),
    Option("dry-run"),
    Option("oneline"),
    Option("timeout", REQUIRED, "t"),
    Option("help", NO, "h"),
    tool.VERSION_OPTION,
    *LOG_OPTIONS,
    *TABLE_OPTIONS,
    *TLS_OPTIONS,
)

_ROW_IDS = {
    "Global": RowId("Global"),
    "Logical_Router": RowId("Logical_Router", "name"),
    "Logical_Switch": RowId("Logical_Switch", "name"),
    "Manager": RowId("Manager", "target"),
    "Physical_Port": RowId("Physical_Port", "name"),
    "Physical_Switch": RowId("Physical_Switch", "name"),
}

_SHOWN = {
    "Global": ("", "managers", "switches"),
    "Manager": ("target", "is_connected"),
    "Physical_Switch": ("name", "management_ips", "tunnel_ips", "ports"),
    "Physical_Port": ("name", "vlan_bindings"),
    "Logical_Switch": ("name",),
}

PROGRAM = Program(
    "vtep-ctl", "vtep_ctl", "vtep_ctl",
    database="hardware_vtep", schema="vtep.ovsschema", schema_version="1.7.0",
    root="Global", specs=SPECS, options=_OPTIONS, row_ids=_ROW_IDS, shown=_SHOWN,
)  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (the first word is the program's name); its exit status."""
    return run(PROGRAM, argv)
