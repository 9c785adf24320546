"""Commands about ports, bonds and interfaces."""

from __future__ import annotations

from netloom.base.errors import CommandError
from netloom.programs.vsctl.model import model_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.programs.db_ctl.command_line import Command
    from netloom.programs.db_ctl.context import Context, Needs
    from netloom.programs.vsctl.model import BridgeNode, Model, PortNode


def run_list_ports(context: Context) -> None:
    model = model_of(context)
    bridge = model.bridge(context.args[0])
    model.verify_ports()
    for name in sorted(port.name for port in bridge.ports):
        if name != bridge.name:
            context.print(name)


def run_list_ifaces(context: Context) -> None:
    model = model_of(context)
    bridge = model.bridge(context.args[0])
    model.verify_ports()
    names = [interface.name for port in bridge.ports for interface in port.interfaces]
    for name in sorted(names):
        if name != bridge.name:
            context.print(name)


def run_port_to_br(context: Context) -> None:
    context.print(model_of(context).port(context.args[0]).bridge.name)


def run_iface_to_br(context: Context) -> None:
    context.print(model_of(context).interface(context.args[0]).port.bridge.name)


# Adding.


def need_add_port(needs: Needs, command: Command) -> None:
    _need_settings(needs, command.args[2:])


def need_add_bond(needs: Needs, command: Command) -> None:
    needs.columns("Port", "bond_fake_iface")
    _need_settings(needs, command.args[_first_setting(command.args, 3) :])


def _need_settings(needs: Needs, settings: list[str]) -> None:
    if settings:
        from netloom.programs.db_ctl.values import parse_setting

        table = needs.schema.tables["Port"]
        for setting in settings:
            needs.columns("Port", parse_setting(table, setting).column.name)


def _first_setting(args: list[str], start: int) -> int:
    """Where the arguments that set columns begin."""
    return next((i for i in range(start, len(args)) if "=" in args[i]), len(args))


def run_add_port(context: Context) -> None:
    bridge, name, *settings = context.args
    _add_port(context, bridge, name, [name], settings)


def run_add_bond(context: Context) -> None:
    args = context.args
    first = _first_setting(args, 2)
    if first - 2 < 2:
        raise CommandError(
            f"add-bond requires at least 2 interfaces, but only {first - 2} were specified"
        )
    _add_port(context, args[0], args[1], args[2:first], args[first:])


def _add_port(
    context: Context, bridge_name: str, name: str, interfaces: list[str], settings: list[str]
) -> None:
    if not name:
        raise CommandError("port name must not be empty string")
    if "" in interfaces:
        raise CommandError("interface name must not be empty string")
    model = model_of(context)
    existing = model.find_port(name) if context.has_option("--may-exist") else None
    if existing is not None:
        _check_existing(context, existing, bridge_name, interfaces)
        return
    model.refuse_taken(name, f"cannot create a port named {name}")
    for interface in interfaces:
        model.refuse_taken(interface, f"cannot create an interface named {interface}")
    bridge = model.bridge(bridge_name)
    rows = [model.insert_interface(None, interface) for interface in interfaces]
    vlan = bridge.vlan if bridge.parent is not None else None
    port = model.insert_port(bridge, name, rows, vlan)
    if context.has_option("--fake-iface"):
        context.txn.set(port.row, "bond_fake_iface", True)
    if settings:
        from netloom.programs.db_ctl.values import apply_setting

        table = context.schema.tables["Port"]
        for setting in settings:
            apply_setting(context, table, port.row, setting)
        context.run.model = None


def _check_existing(
    context: Context, port: PortNode, bridge_name: str, interfaces: list[str]
) -> None:
    """Refuse `--may-exist` for a port that is there but is another one than asked for."""
    have = [interface.name for interface in port.interfaces]
    command = context.command.spec.name
    if command == "add-port":
        wish = f'"--may-exist add-port {bridge_name} {port.name}" but {port.name}'
    else:
        names = " ".join(interfaces)
        wish = f'"--may-exist add-bond {bridge_name} {port.name} {names}" but {port.name}'
    if port.bridge.name != bridge_name:
        raise CommandError(f"{wish} is actually attached to bridge {port.bridge.name}")
    if sorted(have) != sorted(interfaces):
        raise CommandError(f"{wish} actually has interface(s) {', '.join(sorted(have))}")


def run_add_bond_iface(context: Context) -> None:
    bond_name, name = context.args
    model = model_of(context)
    port = model.port(bond_name)
    if context.has_option("--may-exist"):
        existing = model.find_interface(name)
        if existing is not None:
            if existing.port is port:
                return
            raise CommandError(
                f'"--may-exist add-bond-iface {bond_name} {name}" but {name} is actually '
                f"attached to port {existing.port.name}"
            )
    model.refuse_taken(name, f"cannot create an interface named {name}")
    model.insert_interface(port, name)


# Deleting.


def run_del_bond_iface(context: Context) -> None:
    model = model_of(context)
    name = context.args[-1]
    interface = model.find_interface(name)
    if interface is None and not context.has_option("--if-exists"):
        interface = model.interface(name)
    if len(context.args) == 2:
        port = model.port(context.args[0])
        if interface is not None and interface.port is not port:
            raise CommandError(f"port {port.name} does not have an interface {name}")
    if interface is None:
        return
    if len(interface.port.interfaces) < 2:
        raise CommandError(f"cannot delete last interface from port {interface.port.name}")
    model.delete_interface(interface)


def run_del_port(context: Context) -> None:
    model = model_of(context)
    target = context.args[-1]
    with_interface = context.has_option("--with-iface")
    port = model.find_port(target)
    if port is None and with_interface:
        interface = model.find_interface(target)
        port = None if interface is None else interface.port
    if port is None:
        if not context.has_option("--if-exists"):
            _refuse_missing(model, target, with_interface)
        return
    if len(context.args) == 2:
        _check_bridge(model.bridge(context.args[0]), port, target)
    model.delete_port(port)


def _refuse_missing(model: Model, target: str, with_interface: bool) -> None:
    if target in model.bridges:
        raise CommandError(
            f"cannot delete port {target} because it is the local port for bridge {target} "
            "(deleting this port requires deleting the entire bridge)"
        )
    what = "port or interface" if with_interface else "port"
    raise CommandError(f"no {what} named {target}")


def _check_bridge(bridge: BridgeNode, port: PortNode, target: str) -> None:
    if port.bridge is bridge:
        return
    message = f"bridge {bridge.name} does not have a port {target}"
    if port.bridge.parent is bridge:
        message += f" (although its child bridge {port.bridge.name} does)"
    raise CommandError(message)
