"""Commands about the auto-attach mappings (IETF auto-attach, I-SID to VLAN) of a bridge."""

from __future__ import annotations

from netloom.base.errors import CommandError
from netloom.base.numbers import decimal
from netloom.programs.vsctl.model import model_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.ovsdb.row import Row
    from netloom.programs.db_ctl.command_line import Command
    from netloom.programs.db_ctl.context import Context, Needs


def need_get_aa_mapping(needs: Needs, command: Command) -> None:
    needs.columns("Bridge", "auto_attach")
    needs.columns("AutoAttach", "mappings")


need_add_aa_mapping = need_del_aa_mapping = need_get_aa_mapping


def _number(text: str) -> int:
    if decimal(text.lstrip().removeprefix("-").removeprefix("+")) is None:
        raise CommandError(f"Invalid argument {text}")
    return int(text)


def _attachment(context: Context) -> tuple[Row, Row | None]:
    """The Bridge row and its AutoAttach row, if it has one."""
    bridge = model_of(context).bridge(context.args[0]).real.row
    context.verify(bridge, "auto_attach")
    rows = context.txn.refs(bridge, "auto_attach")
    return bridge, rows[0] if rows else None


def run_add_aa_mapping(context: Context) -> None:
    isid, vlan = _number(context.args[1]), _number(context.args[2])
    bridge, attachment = _attachment(context)
    if attachment is None:
        attachment = context.insert("AutoAttach")
        context.txn.set(bridge, "auto_attach", (attachment.uuid,))
    mappings = context.read(context.now(attachment), "mappings")
    assert isinstance(mappings, dict)
    if isid not in mappings:
        context.txn.put_pairs(attachment, "mappings", {isid: vlan})


def run_del_aa_mapping(context: Context) -> None:
    isid, vlan = _number(context.args[1]), _number(context.args[2])
    _, attachment = _attachment(context)
    if attachment is None:
        return
    mappings = context.read(attachment, "mappings")
    assert isinstance(mappings, dict)
    if mappings.get(isid) == vlan:
        context.verify(attachment, "mappings")
        context.txn.remove_elements(attachment, "mappings", (isid,))


def run_get_aa_mapping(context: Context) -> None:
    _, attachment = _attachment(context)
    if attachment is None:
        return
    context.verify(attachment, "mappings")
    mappings = context.read(attachment, "mappings")
    assert isinstance(mappings, dict)
    for isid, vlan in mappings.items():
        context.print(f"{isid} {vlan}")
