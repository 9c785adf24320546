"""Commands about bridges, real and fake."""

from __future__ import annotations

from netloom.base.errors import CommandError
from netloom.programs.db_ctl.context import ExitNow
from netloom.programs.vsctl.model import model_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.programs.db_ctl.command_line import Command
    from netloom.programs.db_ctl.context import Context, Needs
    from netloom.programs.vsctl.model import BridgeNode, Model

#: External ids of a fake bridge are its port's, with this before the key.
FAKE_PREFIX = "fake-bridge-"


def run_add_br(context: Context) -> None:
    args = context.args
    name = args[0]
    if len(args) == 2:
        raise CommandError("'add-br' command takes exactly 1 or 3 arguments")
    parent_name, vlan = None, 0
    if len(args) == 3:
        from netloom.base.numbers import leading_int

        parent_name, vlan = args[1], leading_int(args[2])
    if not 0 <= vlan <= 4095:
        raise CommandError("add-br: vlan must be between 0 and 4095")
    if not name:
        raise CommandError("bridge name must not be empty string")
    model = model_of(context)
    existing = model.bridges.get(name)
    if context.has_option("--may-exist") and existing is not None:
        _check_existing(existing, parent_name, vlan)
        return
    model.refuse_taken(name, f"cannot create a bridge named {name}")
    if parent_name is None:
        model.insert_bridge(name)
        return
    model.insert_fake_bridge(name, _find_parent(model, parent_name, vlan), vlan)


def _check_existing(bridge: BridgeNode, parent_name: str | None, vlan: int) -> None:
    """Refuse `--may-exist` for a bridge that is there but is another one than asked for."""
    name = bridge.name
    if parent_name is None:
        if bridge.parent is not None:
            raise CommandError(
                f'"--may-exist add-br {name}" but {name} is a VLAN bridge for VLAN {bridge.vlan}'
            )
        return
    wish = f'"--may-exist add-br {name} {parent_name} {vlan}" but {name}'
    if bridge.parent is None:
        raise CommandError(f"{wish} is not a VLAN bridge")
    if bridge.parent.name != parent_name:
        raise CommandError(f"{wish} has the wrong parent {bridge.parent.name}")
    if bridge.vlan != vlan:
        raise CommandError(f"{wish} is a VLAN bridge for the wrong VLAN {bridge.vlan}")


def _find_parent(model: Model, name: str, vlan: int) -> BridgeNode:
    parent = model.bridges.get(name)
    if parent is None:
        raise CommandError(f"parent bridge {name} does not exist")
    if parent.parent is not None:
        raise CommandError("cannot create bridge with fake bridge as parent")
    taken = parent.children.get(vlan)
    if taken is not None:
        raise CommandError(
            f"bridge {name} already has a child VLAN bridge {taken.name} on VLAN {vlan}"
        )
    return parent


def run_del_br(context: Context) -> None:
    model = model_of(context)
    name = context.args[0]
    if name not in model.bridges and context.has_option("--if-exists"):
        return
    model.delete_bridge(model.bridge(name))


def run_list_br(context: Context) -> None:
    real, fake = context.has_option("--real"), context.has_option("--fake")
    for name, bridge in sorted(model_of(context).bridges.items()):
        if real == fake or (real if bridge.parent is None else fake):
            context.print(name)


def run_br_exists(context: Context) -> None:
    if context.args[0] not in model_of(context).bridges:
        raise ExitNow(2)


def run_br_to_vlan(context: Context) -> None:
    context.print(str(model_of(context).bridge(context.args[0]).vlan))


def run_br_to_parent(context: Context) -> None:
    context.print(model_of(context).bridge(context.args[0]).real.name)


def need_br_set_external_id(needs: Needs, command: Command) -> None:
    needs.columns("Bridge", "external_ids")
    needs.columns("Port", "external_ids")


need_br_get_external_id = need_br_set_external_id


def run_br_set_external_id(context: Context) -> None:
    bridge = model_of(context).bridge(context.args[0])
    key = context.args[1]
    if bridge.parent is not None:
        key = FAKE_PREFIX + key
    if len(context.args) == 3:
        context.txn.put_pairs(bridge.row, "external_ids", {key: context.args[2]})
    else:
        context.txn.remove_elements(bridge.row, "external_ids", (key,))


def run_br_get_external_id(context: Context) -> None:
    bridge = model_of(context).bridge(context.args[0])
    context.verify(bridge.row, "external_ids")
    ids = context.now(bridge.row).mapping("external_ids")
    prefix = "" if bridge.parent is None else FAKE_PREFIX
    if len(context.args) == 2:
        value = ids.get(prefix + context.args[1])
        if value is not None:
            context.print(value)
        return
    for key, value in ids.items():
        if key.startswith(prefix):
            context.print(f"{key.removeprefix(prefix)}={value}")
