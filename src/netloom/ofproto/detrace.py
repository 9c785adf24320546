"""`ofproto/detrace`: from a flow of a data path back to the OpenFlow rules and groups behind it.

What a translation went through is what the packets of its flow are credited to, so nothing else
needs to be remembered for this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from netloom.base.errors import CommandError
from netloom.base.numbers import decimal
from netloom.datapath.dpif import full_name
from netloom.datapath.flow_text import parse_ufid
from netloom.flow.print import SWITCH_OPTION_BITS, format_match
from netloom.ofproto.backer import Backer
from netloom.ofproto.encapsulated import Encapsulated
from netloom.ofproto.groups import Group
from netloom.ofproto.rules import Rule
from netloom.ofproto.translate.tables import TableCredit
from netloom.openflow import messages_groups as g
from netloom.openflow.action_format import format_actions
from netloom.openflow.constants import OFP15_VERSION
from netloom.openflow.message_text import Style
from netloom.openflow.text_groups import group_text

USAGE = "UFID [pmd=PMD-ID]"
#: The thread that is no thread of its own: where all flows of ours are.
_MAIN_THREAD = 0x7FFFFFFF


def detrace(args: list[str], backers: Iterable[Backer], now_ms: int) -> str:
    """A line for each rule, group, and table that had none, in the order of the walk, under the
    name of their bridge; a line for each data path that has no such flow. Raises CommandError."""
    ufid = parse_ufid(args[0])
    if ufid is None:
        raise CommandError("failed to parse ufid")
    is_thread = True
    if len(args) > 1:
        name, _, text = args[1].partition("=")
        number = decimal(text)
        if name != "pmd" or number is None:
            raise CommandError("Invalid pmd argument format. Expecting 'pmd=PMD-ID'")
        is_thread = number == _MAIN_THREAD
    return "".join(_walk(backer, ufid, is_thread, now_ms) for backer in backers)


def _walk(backer: Backer, ufid: int, is_thread: bool, now_ms: int) -> str:
    """What one data path knows of a flow, if flows are where they are asked for."""
    for flow in backer.dpif.flow_dump() if is_thread else ():
        if flow.ufid == ufid:
            break
    else:
        return f"UFID was not found for {full_name(backer.dpif)}\n"
    credited = backer.revalidator.credited(flow.key, flow.mask)
    if credited is None:
        return f"Cache was not found for {full_name(backer.dpif)}\n"
    owners: dict[object, str] = {}
    for bridge in backer.bridges.values():
        owners |= dict.fromkeys((*bridge.tables, *bridge.groups), bridge.name)
    lines = []
    last = ""
    for target in credited:
        name, text = _line(target, owners, now_ms)
        if name and name != last:
            lines.append(f"{name}\n")
            last = name
        lines.append(text)
    return "".join(lines)


def _line(target: object, owners: Mapping[object, str], now_ms: int) -> tuple[str, str]:
    """The bridge, if this tells it, and a line, if it has one."""
    if isinstance(target, Encapsulated):
        target = target.target
    if isinstance(target, TableCredit):
        miss = "" if target.matched else f"  table_id={target.table.id}, no match\n"
        return owners.get(target.table, ""), miss
    if isinstance(target, Rule):
        return "", f"  {describe_rule(target, now_ms, offload=True)}"
    if isinstance(target, Group):
        message = g.GroupDesc(
            target.group_id, target.type, target.messages(), target.properties
        )  # fmt: skip
        return owners.get(target, ""), f"  {group_text(message, OFP15_VERSION, Style())}\n"
    return "", ""


def describe_rule(rule: Rule, now_ms: int, offload: bool) -> str:
    """A line of `bridge/dump-flows`, which shows what ovs-ofctl never does: hidden rules."""
    where = f"cookie={rule.cookie:#x}, " if rule.cookie else ""
    where += f"table_id={rule.table_id}, " if rule.table_id else ""
    offloaded = "n_offload_packets=0, n_offload_bytes=0, " if offload else ""
    priority = None if rule.priority == 0x8000 else rule.priority
    match = format_match(rule.match, None, priority, SWITCH_OPTION_BITS)
    return (
        f"{where}duration={(now_ms - rule.created_ms) // 1000}s, n_packets={rule.n_packets}, "
        f"n_bytes={rule.n_bytes}, {offloaded}{match},"
        f"actions={format_actions(rule.actions)}\n"
    )
