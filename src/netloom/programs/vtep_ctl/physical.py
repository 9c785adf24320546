"""Commands about physical switches, their ports, and the logical switches of the ports' VLANs."""

from __future__ import annotations

from netloom.base.errors import CommandError
from netloom.programs.db_ctl.context import ExitNow
from netloom.programs.vtep_ctl.model import (
    by_name,
    logical_switch,
    physical_switch,
    physical_switches,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.ovsdb.row import Row
    from netloom.ovsdb.types import Atom
    from netloom.programs.db_ctl.context import Context


# Switches.


def run_add_ps(context: Context) -> None:
    (name,) = context.args
    if name in physical_switches(context):
        if not context.has_option("--may-exist"):
            raise CommandError(f"cannot create physical switch {name} because it already exists")
        return
    row = context.insert("Physical_Switch")
    context.txn.set(row, "name", name)
    context.txn.add_elements(context.root, "switches", (row.uuid,))


def run_del_ps(context: Context) -> None:
    (name,) = context.args
    row = physical_switches(context).get(name)
    if row is None and context.has_option("--if-exists"):
        return
    row = physical_switch(context, name)
    for port in context.txn.refs(row, "ports"):
        _delete_port(context, row, port)
    context.txn.remove_elements(context.root, "switches", (row.uuid,))
    context.txn.delete(row)


def run_list_ps(context: Context) -> None:
    for name in sorted(physical_switches(context)):
        context.print(name)


def run_ps_exists(context: Context) -> None:
    if context.args[0] not in physical_switches(context):
        raise ExitNow(2)


# Ports.


def _find_port(context: Context, switch_name: str, name: str) -> Row | None:
    """A port of a switch; one with the switch's own name does not count."""
    switches = physical_switches(context)
    for row in switches.values():
        context.verify(row, "ports")
    switch = switches.get(switch_name)
    if switch is None or name == switch_name:
        return None
    return by_name(context, context.txn.refs(switch, "ports")).get(name)


def _port(context: Context) -> Row:
    """The port that the first two arguments name."""
    switch_name, name = context.args[:2]
    found = _find_port(context, switch_name, name)
    if found is None:
        raise CommandError(f"no port named {name}")
    return found


def _delete_port(context: Context, switch: Row, port: Row) -> None:
    context.txn.remove_elements(switch, "ports", (port.uuid,))
    context.txn.delete(port)


def run_list_ports(context: Context) -> None:
    (name,) = context.args
    switch = physical_switch(context, name)
    context.verify(switch, "ports")
    for port in sorted(by_name(context, context.txn.refs(switch, "ports"))):
        if port != name:
            context.print(port)


def run_add_port(context: Context) -> None:
    switch_name, name = context.args
    if _find_port(context, switch_name, name) is not None:
        if not context.has_option("--may-exist"):
            raise CommandError(
                f"cannot create a port named {name} on {switch_name} because a port with that "
                "name already exists"
            )
        return
    switch = physical_switch(context, switch_name)
    row = context.insert("Physical_Port")
    context.txn.set(row, "name", name)
    context.txn.add_elements(switch, "ports", (row.uuid,))


def run_del_port(context: Context) -> None:
    if context.has_option("--if-exists") and _find_port(context, *context.args) is None:
        return
    port = _port(context)
    _delete_port(context, physical_switch(context, context.args[0]), port)


# Logical switches of VLANs.


def _bindings(context: Context, port: Row) -> dict[Atom, Atom]:
    """UUIDs of logical switches by VLAN."""
    bindings = context.read(context.now(port), "vlan_bindings")
    assert isinstance(bindings, dict)
    return bindings


def _vlan(text: str) -> int:
    from netloom.base.numbers import leading_number

    return leading_number(text, 0) or 0


def run_list_bindings(context: Context) -> None:
    lines = []
    for vlan, uuid in _bindings(context, _port(context)).items():
        row = context.txn.row("Logical_Switch", str(uuid))
        if row is not None:
            lines.append(f"{vlan:04} {row.text('name')}")
    for line in sorted(lines):
        context.print(line)


def run_bind_ls(context: Context) -> None:
    port, vlan = _port(context), context.args[2]
    switch = logical_switch(context, context.args[3])
    if _vlan(vlan) in _bindings(context, port):
        raise CommandError(f"multiple bindings for vlan {vlan}")
    context.txn.put_pairs(port, "vlan_bindings", {_vlan(vlan): switch.uuid})


def run_unbind_ls(context: Context) -> None:
    port, vlan = _port(context), context.args[2]
    if _vlan(vlan) not in _bindings(context, port):
        raise CommandError(f"no binding for vlan {vlan}")
    context.txn.remove_elements(port, "vlan_bindings", (_vlan(vlan),))
