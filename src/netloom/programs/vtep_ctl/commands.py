"""The table of commands: one row each, in the order of vtep-ctl(8).

Functions are found by name in the module that a row gives, which is imported only when the command
is used.
"""

from __future__ import annotations

from netloom.programs.db_ctl.command_line import ANY_TABLE, SHOW, CommandSpec


def _spec(
    name: str, n_min: int, n_max: int, arguments: str, options: str, where: str, writes: bool
) -> CommandSpec:
    """A command that knows the whole model."""
    counts = (n_min, n_max)
    return CommandSpec(name, counts, arguments, options, where, writes=writes, needs_model=True)


_ENTRY = "LS MAC [ENCAP] IP"

SPECS = (
    SHOW,
    # Physical switches and their ports.
    _spec("add-ps", 1, 1, "PS", "--may-exist", "physical", True),
    _spec("del-ps", 1, 1, "PS", "--if-exists", "physical", True),
    _spec("list-ps", 0, 0, "", "", "physical", False),
    _spec("ps-exists", 1, 1, "PS", "", "physical", False),
    _spec("list-ports", 1, 1, "PS", "", "physical", False),
    _spec("add-port", 2, 2, "PS PORT", "--may-exist", "physical", True),
    _spec("del-port", 2, 2, "PS PORT", "--if-exists", "physical", True),
    # Logical switches and routers.
    _spec("add-ls", 1, 1, "LS", "--may-exist", "logical", True),
    _spec("del-ls", 1, 1, "LS", "--if-exists", "logical", True),
    _spec("list-ls", 0, 0, "", "", "logical", False),
    _spec("ls-exists", 1, 1, "LS", "", "logical", False),
    _spec("list-bindings", 2, 2, "PS PORT", "", "physical", False),
    _spec("bind-ls", 4, 4, "PS PORT VLAN LS", "", "physical", True),
    _spec("unbind-ls", 3, 3, "PS PORT VLAN", "", "physical", True),
    _spec("set-replication-mode", 2, 2, "LS MODE", "", "logical", True),
    _spec("get-replication-mode", 1, 1, "LS", "", "logical", False),
    _spec("add-lr", 1, 1, "LR", "--may-exist", "logical", True),
    _spec("del-lr", 1, 1, "LR", "--if-exists", "logical", True),
    _spec("list-lr", 0, 0, "", "", "logical", False),
    _spec("lr-exists", 1, 1, "LR", "", "logical", False),
    # MAC addresses behind tunnels.
    _spec("add-ucast-local", 3, 4, _ENTRY, "", "macs", True),
    _spec("del-ucast-local", 2, 2, "LS MAC", "", "macs", True),
    _spec("add-mcast-local", 3, 4, _ENTRY, "", "macs", True),
    _spec("del-mcast-local", 3, 4, _ENTRY, "", "macs", True),
    _spec("clear-local-macs", 1, 1, "LS", "", "macs", True),
    _spec("list-local-macs", 1, 1, "LS", "", "macs", False),
    _spec("add-ucast-remote", 3, 4, _ENTRY, "", "macs", True),
    _spec("del-ucast-remote", 2, 2, "LS MAC", "", "macs", True),
    _spec("add-mcast-remote", 3, 4, _ENTRY, "", "macs", True),
    _spec("del-mcast-remote", 3, 4, _ENTRY, "", "macs", True),
    _spec("clear-remote-macs", 1, 1, "LS", "", "macs", True),
    _spec("list-remote-macs", 1, 1, "LS", "", "macs", False),
    # Managers.
    CommandSpec("get-manager", (0, 0), "", "", "managers"),
    CommandSpec("del-manager", (0, 0), "", "", "managers", writes=True),
    CommandSpec(
        "set-manager", (1, None), "TARGET...", "--inactivity-probe=", "managers", writes=True
    ),
    *ANY_TABLE,
)
