"""The table of commands: one row each, in the order of ovs-vsctl(8).

Argument forms and options are as `--commands` prints them. Functions are found by name in the
module that a row gives, which is imported only when the command is used.
"""

from __future__ import annotations

from netloom.programs.db_ctl.command_line import ANY_TABLE, SETTING, SHOW, CommandSpec

SPECS = (
    # Open vSwitch.
    CommandSpec("init", (0, 0), "", "", "switch", writes=True),
    SHOW,
    CommandSpec("emer-reset", (0, 0), "", "", "reset", writes=True),
    # Bridges.
    CommandSpec("add-br", (1, 3), "NEW-BRIDGE [PARENT] [NEW-VLAN]", "--may-exist", "bridges",
                writes=True, needs_model=True),
    CommandSpec("del-br", (1, 1), "BRIDGE", "--if-exists", "bridges",
                writes=True, needs_model=True),
    CommandSpec("list-br", (0, 0), "", "--real,--fake", "bridges", needs_model=True),
    CommandSpec("br-exists", (1, 1), "BRIDGE", "", "bridges", needs_model=True),
    CommandSpec("br-to-vlan", (1, 1), "BRIDGE", "", "bridges", needs_model=True),
    CommandSpec("br-to-parent", (1, 1), "BRIDGE", "", "bridges", needs_model=True),
    CommandSpec("br-set-external-id", (2, 3), "BRIDGE KEY [VALUE]", "", "bridges",
                writes=True, needs_model=True),
    CommandSpec("br-get-external-id", (1, 2), "BRIDGE [KEY]", "", "bridges", needs_model=True),
    # Ports.
    CommandSpec("list-ports", (1, 1), "BRIDGE", "", "ports", needs_model=True),
    CommandSpec("add-port", (2, None), f"BRIDGE NEW-PORT [{SETTING}]...", "--may-exist", "ports",
                writes=True, needs_model=True),
    CommandSpec("del-port", (1, 2), "[BRIDGE] PORT|IFACE", "--if-exists,--with-iface", "ports",
                writes=True, needs_model=True),
    CommandSpec("port-to-br", (1, 1), "PORT", "", "ports", needs_model=True),
    # Bonds and interfaces.
    CommandSpec("add-bond", (4, None), f"BRIDGE BOND IFACE... [{SETTING}]...",
                "--may-exist,--fake-iface", "ports", writes=True, needs_model=True),
    CommandSpec("add-bond-iface", (2, 2), "BOND IFACE", "--may-exist", "ports",
                writes=True, needs_model=True),
    CommandSpec("del-bond-iface", (1, 2), "[BOND] IFACE", "--if-exists", "ports",
                writes=True, needs_model=True),
    CommandSpec("list-ifaces", (1, 1), "BRIDGE", "", "ports", needs_model=True),
    CommandSpec("iface-to-br", (1, 1), "IFACE", "", "ports", needs_model=True),
    # Conntrack zones and datapath capabilities.
    CommandSpec("add-zone-tp", (3, 18), "", "--may-exist", "zones", writes=True),
    CommandSpec("del-zone-tp", (2, 2), "", "--if-exists", "zones", writes=True),
    CommandSpec("list-zone-tp", (1, 1), "", "", "zones"),
    CommandSpec("set-zone-limit", (3, 3), "", "", "zones", writes=True),
    CommandSpec("del-zone-limit", (2, 2), "", "--if-exists", "zones", writes=True),
    CommandSpec("list-zone-limits", (1, 1), "", "", "zones"),
    CommandSpec("list-dp-cap", (1, 1), "", "", "zones"),
    # Controllers and fail mode.
    CommandSpec("get-controller", (1, 1), "BRIDGE", "", "control", needs_model=True),
    CommandSpec("del-controller", (1, 1), "BRIDGE", "", "control", writes=True, needs_model=True),
    CommandSpec("set-controller", (1, None), "BRIDGE TARGET...", "--inactivity-probe=", "control",
                writes=True, needs_model=True),
    CommandSpec("get-fail-mode", (1, 1), "BRIDGE", "", "control", needs_model=True),
    CommandSpec("del-fail-mode", (1, 1), "BRIDGE", "", "control", writes=True, needs_model=True),
    CommandSpec("set-fail-mode", (2, 2), "BRIDGE MODE", "", "control",
                writes=True, needs_model=True),
    # Managers, TLS, auto-attach.
    CommandSpec("get-manager", (0, 0), "", "", "control"),
    CommandSpec("del-manager", (0, 0), "", "", "control", writes=True),
    CommandSpec("set-manager", (1, None), "TARGET...", "--inactivity-probe=", "control",
                writes=True),
    CommandSpec("get-ssl", (0, 0), "", "", "control"),
    CommandSpec("del-ssl", (0, 0), "", "", "control", writes=True),
    CommandSpec("set-ssl", (3, 3), "PRIVATE-KEY CERTIFICATE CA-CERT", "--bootstrap", "control",
                writes=True),
    CommandSpec("add-aa-mapping", (3, 3), "BRIDGE ARG ARG", "", "attach",
                writes=True, needs_model=True),
    CommandSpec("del-aa-mapping", (3, 3), "BRIDGE ARG ARG", "", "attach",
                writes=True, needs_model=True),
    CommandSpec("get-aa-mapping", (1, 1), "BRIDGE", "", "attach", needs_model=True),
    *ANY_TABLE,
)  # fmt: skip
