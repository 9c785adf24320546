"""Text of tables: statistics and what they can do."""

from __future__ import annotations

from netloom.openflow import messages as m
from netloom.openflow import messages_tables as mt
from netloom.openflow.codec_features import decode_table_features_reply
from netloom.openflow.field_set import format_field_names
from netloom.openflow.message_table import Frame
from netloom.openflow.message_text import Style
from netloom.openflow.text_flows import table_text

#: Wildcard bits of OpenFlow 1.0 -> field, in the order of the field table.
_WILDCARDS = (
    (1 << 0, "in_port"), (1 << 2, "eth_src"), (1 << 3, "eth_dst"), (1 << 4, "eth_type"),
    (1 << 1, "vlan_vid"), (1 << 20, "vlan_pcp"), (0x3F << 8, "ip_src"), (0x3F << 14, "ip_dst"),
    (1 << 5, "nw_proto"), (1 << 21, "nw_tos"), (1 << 6, "tcp_src"), (1 << 7, "tcp_dst"),
)  # fmt: skip
_MISS = {0: "controller", 1: "continue", 2: "drop"}


def format_table_mod(message: m.TableMod, frame: Frame, style: Style) -> str:
    if message.table_id == m.OFPTT_ALL:
        out = " table_id: ALL_TABLES"
    else:
        out = f" table_id={message.table_id}"
    if frame.version <= 3:
        out += f", flow_miss_config={_MISS.get(message.config & 3, 'controller')}"
    if frame.version >= 5:
        out += f", eviction={'on' if message.config & 4 else 'off'}"
        if message.eviction_flags:
            words = [word for bit, word in ((1, "OTHER"), (2, "IMPORTANCE"), (4, "LIFETIME"))
                     if message.eviction_flags & bit]  # fmt: skip
            out += f" eviction_flags={'|'.join(words)}"
        out += f", vacancy={'on' if message.config & 8 else 'off'}"
        if message.config & 8:
            down, up = message.vacancy or (0, 0)
            out += f" vacancy:{down},{up}"
    return out


_EVICTION = ((1, "OTHER"), (2, "IMPORTANCE"), (4, "LIFETIME"))


def _desc_text(desc: mt.TableDesc, style: Style) -> str:
    words = [word for bit, word in _EVICTION if (desc.eviction_flags or 0) & bit]
    out = (
        f"\n  table {table_text(desc.table_id, style.table_names)}:\n"
        f"   eviction={'on' if desc.config & mt.OFPTC_EVICTION else 'off'} "
        f"eviction_flags={'|'.join(words) or '(default)'}\n"
    )
    if not desc.config & mt.OFPTC_VACANCY_EVENTS:
        return out + "   vacancy=off\n"
    down, up, now = desc.vacancy or (0, 0, 0)
    return f"{out}   vacancy=on vacancy_down={down}% vacancy_up={up}% vacancy={now}%\n"


def format_table_desc_reply(message: mt.TableDescReply, frame: Frame, style: Style) -> str:
    return "".join([_desc_text(desc, style) for desc in message.tables])


def format_table_status(message: mt.TableStatus, frame: Frame, style: Style) -> str:
    reason = "VACANCY_DOWN" if message.reason == mt.OFPTR_VACANCY_DOWN else "VACANCY_UP"
    return f" reason={reason}\ntable_desc:-{_desc_text(message.table, style)}"


def format_request_forward(message: mt.RequestForward, frame: Frame, style: Style) -> str:
    """The request without the first line that it would have."""
    from netloom.openflow.codec import decoder_of
    from netloom.openflow.message_table import read_frame
    from netloom.openflow.messages_groups import GroupMod

    inner = read_frame(message.data)
    request = decoder_of(inner)(inner, style.protocol)
    if isinstance(request, GroupMod):
        from netloom.openflow.text_groups import format_group_mod

        return f" reason=group_mod{format_group_mod(request, inner, style)}"
    from netloom.openflow.text_meters import format_meter_mod

    return f" reason=meter_mod{format_meter_mod(request, inner, style)}"  # type: ignore[arg-type]


class _Printer:
    """Tables one after the other; what repeats is "ditto"."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self.dittos: list[int] = []

    def put(self, head: str, body: str, same: bool, named: bool, table_id: int) -> None:
        if same and not named:
            self.dittos.append(table_id)
            return
        self.flush()
        text = f"  table {head}: ditto" if same else f"  table {head}:\n{body}"
        self.out.append(("\n" if self.out else "") + text)

    def flush(self) -> None:
        if not self.dittos:
            return
        first, last = self.dittos[0], self.dittos[-1]
        which = f"table {first}" if first == last else f"tables {first}...{last}"
        self.out.append(f"\n  {which}: ditto\n")
        self.dittos.clear()

    def text(self) -> str:
        self.flush()
        return "".join(self.out)


def _features10(table: m.TableStats) -> str:
    out = f"    max_entries={table.max_entries}\n" if table.max_entries else ""
    fields = [name for bits, name in _WILDCARDS if table.wildcards & bits]
    if fields:
        out += "    matching:\n"
        out += f"      exact match or wildcard: {format_field_names(fields)}\n"
    return out


def format_table_stats_reply(message: m.TableStatsReply, frame: Frame, style: Style) -> str:
    printer = _Printer()
    before: tuple[str, str] | None = None
    for table in message.tables:
        counts = (
            f"    active={table.active_count}, lookup={table.lookup_count}, "
            f"matched={table.matched_count}\n"
        )
        features = _features10(table)
        head = f'{table.table_id} ("{table.name}")' if table.name else str(table.table_id)
        body = counts
        if before is not None and before[1] == features:
            body += "    (same features)\n" if features else ""
        else:
            body += features
        same = before == (counts, features)
        printer.put(head, body, same, bool(table.name), table.table_id)
        before = counts, features
    return "\n" + printer.text()


def format_table_features_request(
    message: m.TableFeaturesRequest, frame: Frame, style: Style
) -> str:
    """What is to be set is printed as what is told."""
    if not message.body:
        return ""
    return format_table_features_reply(
        decode_table_features_reply(frame, style.protocol), frame, style
    )


def format_table_features_reply(message: m.TableFeaturesReply, frame: Frame, style: Style) -> str:
    return "" if frame.error and not message.tables else "\n" + tables_text(message.tables)


_INSTRUCTION_NAMES = (
    (6, "meter"), (4, "apply_actions"), (5, "clear_actions"), (3, "write_actions"),
    (2, "write_metadata"), (1, "goto_table"),
)  # fmt: skip
_ACTION_NAMES = (
    (0, "output"), (22, "group"), (25, "set_field"), (18, "strip_vlan"), (17, "push_vlan"),
    (23, "mod_nw_ttl"), (24, "dec_ttl"), (15, "set_mpls_ttl"), (16, "dec_mpls_ttl"),
    (19, "push_mpls"), (20, "pop_mpls"), (21, "set_queue"),
)  # fmt: skip


def _actions_text(actions: int, fields: tuple[str, ...]) -> str:
    words = [name for bit, name in _ACTION_NAMES if actions >> bit & 1]
    return (
        f"        actions: {' '.join(words)}\n"
        f"        supported on Set-Field: {format_field_names(list(fields))}\n"
    )


def _table_ranges(tables: tuple[int, ...]) -> str:
    runs: list[list[int]] = []
    for table in tables:
        if runs and table == runs[-1][1] + 1:
            runs[-1][1] = table
        else:
            runs.append([table, table])
    return ",".join(f"{a}-{b}" if a != b else str(a) for a, b in runs)


def _instructions_text(f: m.InstructionFeatures, before: m.InstructionFeatures | None) -> str:
    out = ""
    if f.next_tables:
        out += f"      next tables: {_table_ranges(f.next_tables)}\n"
    words = [name for bit, name in _INSTRUCTION_NAMES if f.instructions >> bit & 1]
    out += f"      instructions: {' '.join(words)}\n"
    write = _actions_text(f.write_actions, f.write_set_fields)
    apply = _actions_text(f.apply_actions, f.apply_set_fields)
    if before is not None and _actions_of(f) == _actions_of(before):
        return out + "      (same actions)\n"
    if write == apply:
        return out + f"      Write-Actions and Apply-Actions features:\n{write}"
    return f"{out}      Write-Actions features:\n{write}      Apply-Actions features:\n{apply}"


def _actions_of(f: m.InstructionFeatures) -> tuple[object, ...]:
    return f.write_actions, f.apply_actions, f.write_set_fields, f.apply_set_fields


def _matching_text(t: m.TableFeatures) -> str:
    kinds: dict[str, list[str]] = {
        "arbitrary mask": [], "exact match or wildcard": [], "must exact match": [],
    }  # fmt: skip
    for name in t.match:
        if name in t.maskable:
            kinds["arbitrary mask"].append(name)
        elif name in t.wildcards:
            kinds["exact match or wildcard"].append(name)
        else:
            kinds["must exact match"].append(name)
    out = "    matching:\n"
    for title, found in kinds.items():
        if found:
            out += f"      {title}: {format_field_names(found)}\n"
    return out


def tables_text(tables: tuple[m.TableFeatures, ...]) -> str:
    """The tables of a switch, for dump-table-features."""
    printer = _Printer()
    before: m.TableFeatures | None = None
    for t in tables:
        head = f'{t.table_id} ("{t.name}")' if t.name else str(t.table_id)
        body = f"    metadata: match={t.metadata_match:#x} write={t.metadata_write:#x}\n"
        if t.max_entries:
            body += f"    max_entries={t.max_entries}\n"
        body += _both_instructions(t, before)
        if before is not None and _matching_text(t) == _matching_text(before):
            body += "    (same matching)\n"
        else:
            body += _matching_text(t)
        same = before is not None and _without_table(t) == _without_table(before)
        printer.put(head, body, same, bool(t.name), t.table_id)
        before = t
    return printer.text()


def _both_instructions(t: m.TableFeatures, before: m.TableFeatures | None) -> str:
    if t.miss == t.nonmiss:
        earlier = before.nonmiss if before is not None else None
        text = _instructions_text(t.nonmiss, earlier)
        return f"    instructions (table miss and others):\n{text}"
    return (
        f"    instructions (other than table miss):\n{_instructions_text(t.nonmiss, None)}"
        f"    instructions (table miss):\n{_instructions_text(t.miss, None)}"
    )


def _without_table(t: m.TableFeatures) -> m.TableFeatures:
    """`t` with what differs from table to table by nature taken out: its number, and that it
    leads to the tables after it."""
    from netloom.base.record import replace

    nonmiss = replace(t.nonmiss, next_tables=_relative(t.nonmiss.next_tables, t.table_id))
    miss = replace(t.miss, next_tables=_relative(t.miss.next_tables, t.table_id))
    return replace(t, table_id=0, nonmiss=nonmiss, miss=miss)


def _relative(tables: tuple[int, ...], table_id: int) -> tuple[int, ...]:
    """Whether tables are all that follow `table_id`, as a value to compare."""
    if tables and tables == tuple(range(table_id + 1, tables[-1] + 1)):
        return (1, tables[-1])
    return tables
