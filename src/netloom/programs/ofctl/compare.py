"""diff-flows and replace-flows: two sets of flows, side by side."""

from __future__ import annotations

import os
import sys

from netloom.flow.print import format_match
from netloom.openflow import messages as m
from netloom.openflow import protocol as p
from netloom.openflow.action_format import format_actions
from netloom.openflow.flow_encoder import FlowEncoder
from netloom.openflow.flow_sets import (
    Flows,
    FlowVersion,
    Key,
    add_told,
    differences,
    flows_of_mods,
    same_version,
)
from netloom.openflow.flow_text import Names, parse_flow_lines
from netloom.openflow.text_flows import format_flags
from netloom.programs.ofctl.dumps import open_for_dump, painter
from netloom.programs.ofctl.input import read_lines
from netloom.programs.ofctl.names import accepted_names, port_names, shows_names
from netloom.programs.ofctl.switch import Switch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.programs.ofctl import Context


def _text(key: Key, version: FlowVersion, names: dict[int, str] | None) -> str:
    table_id, priority, match = key
    out = f"table={table_id} " if table_id else ""
    out += format_match(match, names, None if priority == 0x8000 else priority)
    if version.cookie:
        out += f" cookie={version.cookie:#x}"
    if version.idle_timeout:
        out += f" idle_timeout={version.idle_timeout}"
    if version.hard_timeout:
        out += f" hard_timeout={version.hard_timeout}"
    if version.importance:
        out += f" importance={version.importance}"
    flags = format_flags(version.flags & m.OFPFF_EMERG)
    text = format_actions(version.actions, names)
    return f"{out}{flags} actions={text}"


def read_file(path: str, names: Names) -> tuple[Flows, int]:
    """The flows of a file, the last one with a key counting, and the protocols for all."""
    mods, usable = parse_flow_lines(read_lines(path, "open"), m.OFPFC_ADD, names, path)
    return flows_of_mods(mods), usable


def read_switch(switch: Switch) -> Flows:
    """The flows of an open switch."""
    flows: Flows = {}
    request = m.FlowStatsRequest(nx=bool(switch.protocol & p.P_NXM_ANY))
    for data in switch.ask(request):
        add_told(flows, switch.decode_flows(data).flows)
    return flows


def _is_file(name: str) -> bool:
    if name[:1] in ("/", "."):
        return True
    return ":" not in name and os.path.exists(name)


def diff_flows(context: Context) -> int:
    """Exit status 2 if there are differences."""
    sources: list[Flows] = []
    shown: dict[int, str] | None = None
    for name in context.operands:
        if _is_file(name):
            # The names of the switch that came before, if they are shown.
            known = {label: port for port, label in shown.items()} if shown else None
            sources.append(read_file(name, Names(known))[0])
        else:
            if shows_names(context):
                shown = port_names(context, name)
            switch = open_for_dump(context, name, p.P_ANY)
            sources.append(read_switch(switch))
            switch.close()
    first, second = sources
    different = differences(first, second)
    paint = painter(context)
    for key in different:
        for sign, flows in (("-", first), ("+", second)):
            if key in flows:
                line = f"{sign}{_text(key, flows[key], shown)}"
                sys.stdout.write(f"{line if paint is None else paint.compared(line)}\n")
    return 2 if different else 0


def _table_of(mod: m.FlowMod) -> int:
    return mod.table_id


def _mod(key: Key, version: FlowVersion | None) -> m.FlowMod:
    table_id, priority, match = key
    if version is None:
        return m.FlowMod(m.OFPFC_DELETE_STRICT, match, priority, table_id, new_cookie=0)
    return m.FlowMod(
        m.OFPFC_ADD, match, priority, table_id, version.actions, 0, 0, version.cookie,
        version.idle_timeout, version.hard_timeout, version.flags, importance=version.importance,
    )  # fmt: skip


def replace_flows(context: Context) -> None:
    """Deletes, table by table, what the file lacks, then adds what the switch lacks or has
    otherwise."""
    names = accepted_names(context, context.switch, ports_first=True)
    wanted, usable = read_file(context.operands[1], names)
    if context.args.bundle:
        usable &= p.P_OF13 | p.P_OF14 | p.P_OF15
    switch = open_for_dump(context, context.switch, usable)
    there = read_switch(switch)
    changes = [_mod(key, None) for key in there if key not in wanted]
    for key, version in wanted.items():
        if context.args.readd or not same_version(there.get(key), version):
            changes.append(_mod(key, version))
    # Of a table, what is deleted stays before what is added.
    changes.sort(key=_table_of)
    if context.args.bundle:
        from netloom.programs.ofctl.bundles import transact

        transact(context, switch, changes)
    else:
        encoder = FlowEncoder(switch.protocol)
        new_xid = switch.connection.new_xid
        _change_all(switch, [encoder.encode(change, new_xid()) for change in changes])
    switch.close()


def _change_all(switch: Switch, requests: list[bytes]) -> None:
    """Sends all, each with a barrier after it, before it waits for the first answer."""
    barriers = [switch.encode(m.BarrierRequest()) for _ in requests]
    pairs = list(zip(requests, barriers))
    # Neither side's buffers must fill up while nobody reads.
    for start in range(0, len(pairs), 100):
        part = pairs[start : start + 100]
        switch.send(*[message for pair in part for message in pair])
        for request, barrier in part:
            error = switch.until_barrier(barrier[4:8], request[4:8])
            if error is not None:
                switch.fail(error)
