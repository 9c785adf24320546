"""The program `ovs-vsctl`."""

from __future__ import annotations

from netloom.base.getopt import NO, REQUIRED, Option
from netloom.ovsdb.table_text import TABLE_OPTIONS
from netloom.programs import tool
from netloom.programs.db_ctl.run import Program, RowId, run
from netloom.programs.vsctl.commands import SPECS
from netloom.transport.log_options import LOG_OPTIONS
from netloom.transport.tls_settings import TLS_OPTIONS

_OPTIONS = (
    Option("db", REQUIRED),
    Option("no-syslog"),
    Option("no-wait"),
    Option("dry-run"),
    Option("oneline"),
    Option("timeout", REQUIRED, "t"),
    Option("retry"),
    Option("help", NO, "h"),
    Option("commands"),
    Option("options"),
    Option("leader-only"),
    Option("no-leader-only"),
    Option("shuffle-remotes"),
    Option("no-shuffle-remotes"),
    tool.VERSION_OPTION,
    *LOG_OPTIONS,
    *TABLE_OPTIONS,
    *TLS_OPTIONS,
)

_ROW_IDS = {
    "AutoAttach": RowId("Bridge", "name", "auto_attach"),
    "Bridge": RowId("Bridge", "name"),
    "Controller": RowId("Bridge", "name", "controller"),
    "Flow_Sample_Collector_Set": RowId("Flow_Sample_Collector_Set", "id"),
    "Flow_Table": RowId("Flow_Table", "name"),
    "IPFIX": RowId("Bridge", "name", "ipfix"),
    "Interface": RowId("Interface", "name"),
    "Manager": RowId("Manager", "target"),
    "Mirror": RowId("Mirror", "name"),
    "NetFlow": RowId("Bridge", "name", "netflow"),
    "Open_vSwitch": RowId("Open_vSwitch"),
    "Port": RowId("Port", "name"),
    "QoS": RowId("Port", "name", "qos"),
    "SSL": RowId("SSL"),
    "sFlow": RowId("Bridge", "name", "sflow"),
}

_SHOWN = {
    "Open_vSwitch": ("", "manager_options", "bridges", "ovs_version"),
    "Bridge": ("name", "controller", "fail_mode", "datapath_type", "ports"),
    "Port": ("name", "tag", "trunks", "interfaces"),
    "Interface": ("name", "type", "options", "error"),
    "Controller": ("target", "is_connected"),
    "Manager": ("target", "is_connected"),
}

PROGRAM = Program(
    "ovs-vsctl", "vsctl", "vsctl",
    database="Open_vSwitch", schema="vswitch.ovsschema", schema_version="8.8.0",
    root="Open_vSwitch", specs=SPECS, options=_OPTIONS, row_ids=_ROW_IDS, shown=_SHOWN,
    follows_switch=True,
)  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (the first word is the program's name); its exit status."""
    return run(PROGRAM, argv)
