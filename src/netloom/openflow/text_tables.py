"""Text of tables: statistics and what they can do."""

from __future__ import annotations

from netloom.base.record import replace
from netloom.openflow import messages as m
from netloom.openflow import messages_tables as mt
from netloom.openflow.codec_features import decode_table_features_reply
from netloom.openflow.field_set import format_field_names
from netloom.openflow.message_table import Frame
from netloom.openflow.message_text import Style, bit_names, hex_text
from netloom.openflow.text_flows import table_text
from netloom.openflow.text_groups import action_names

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
        out += _eviction_text(message)
        out += f", vacancy={'on' if message.config & 8 else 'off'}"
        if message.config & 8:
            down, up = message.vacancy or (0, 0)
            out += f" vacancy:{down},{up}"
    return out


def _eviction_text(message: m.TableMod) -> str:
    """Flags of eviction, if there are any, are taken for what is to be done."""
    if message.eviction_flags is None:
        return f", eviction={'on' if message.config & mt.OFPTC_EVICTION else 'off'}"
    if not message.eviction_flags:
        return ""
    return f", eviction={_ON_OFF.get(message.eviction_flags, '***error***')}"


_ON_OFF = {1: "on", 2: "off"}
_EVICTION = ((1, "OTHER"), (2, "IMPORTANCE"), (4, "LIFETIME"))


def _desc_text(desc: mt.TableDesc, style: Style) -> str:
    flags = "(default)"
    if desc.eviction_flags is not None:
        flags = bit_names(desc.eviction_flags, _EVICTION).replace(" ", "|")
    out = (
        f"\n  table {table_text(desc.table_id, style.table_names)}:\n"
        f"   eviction={'on' if desc.config & mt.OFPTC_EVICTION else 'off'} "
        f"eviction_flags={flags}\n"
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


def _features10(table: m.TableStats, before: m.TableStats | None) -> str:
    out = f"    max_entries={table.max_entries}\n" if table.max_entries else ""
    fields = [name for bits, name in _WILDCARDS if table.wildcards & bits]
    if fields and before is not None and table.wildcards == before.wildcards:
        out += "    (same matching)\n"
    elif fields:
        out += "    matching:\n"
        out += f"      exact match or wildcard: {format_field_names(fields)}\n"
    return out


def format_table_stats_reply(message: m.TableStatsReply, frame: Frame, style: Style) -> str:
    """What tables have counted, and what they can do where the version tells it here."""
    printer = _Printer()
    before: m.TableStats | None = None
    for table in message.tables:
        same_features = before is not None and _can(table) == _can(before)
        body = (
            f"    active={table.active_count}, lookup={table.lookup_count}, "
            f"matched={table.matched_count}\n"
        )
        features = _stats_features(table, before, frame.version)
        body += features if not same_features else "    (same features)\n" if features else ""
        head = f'{table.table_id} ("{table.name}")' if table.name else str(table.table_id)
        same = same_features and before is not None and _counts(table) == _counts(before)
        printer.put(head, body, same, bool(table.name), table.table_id)
        before = table
    return "\n" + printer.text()


def _counts(table: m.TableStats) -> tuple[int, int, int]:
    return table.active_count, table.lookup_count, table.matched_count


def _can(table: m.TableStats) -> tuple[object, ...]:
    """What a table can do, to compare."""
    f = table.features
    return table.max_entries, table.wildcards, f and replace(f, table_id=0, name="")


def _stats_features(table: m.TableStats, before: m.TableStats | None, version: int) -> str:
    if table.features is None:
        return _features10(table, before)
    return _features_text(table.features, before.features if before else None, version)


def format_table_features_request(
    message: m.TableFeaturesRequest, frame: Frame, style: Style
) -> str:
    """What is to be set is printed as what is told; what is to be done, as the first table has
    it."""
    if not message.body:
        return ""
    reply = decode_table_features_reply(frame, style.protocol)
    command = _COMMANDS[reply.tables[0].command] if reply.tables else ""
    head = f"\n  command: {command}" if command else ""
    return head + format_table_features_reply(reply, frame, style)


def format_table_features_reply(message: m.TableFeaturesReply, frame: Frame, style: Style) -> str:
    return (
        ""
        if frame.error and not message.tables
        else "\n" + tables_text(message.tables, frame.version)
    )


_COMMANDS = ("", "modify", "enable", "disable")
_INSTRUCTION_NAMES = (
    (6, "meter"), (4, "apply_actions"), (5, "clear_actions"), (3, "write_actions"),
    (2, "write_metadata"), (1, "goto_table"),
)  # fmt: skip
_ACTION_NAMES = (
    (0, "output"), (22, "group"), (25, "set_field"), (18, "strip_vlan"), (17, "push_vlan"),
    (23, "mod_nw_ttl"), (24, "dec_ttl"), (15, "set_mpls_ttl"), (16, "dec_mpls_ttl"),
    (19, "push_mpls"), (20, "pop_mpls"), (21, "set_queue"),
)  # fmt: skip


_NAMED_ACTIONS = sum(1 << bit for bit, _ in _ACTION_NAMES)


def _actions_text(actions: int, fields: tuple[str, ...], version: int) -> str:
    if version <= m.OFP12_VERSION:
        names = action_names(actions, version)
    else:
        names = " ".join(name for bit, name in _ACTION_NAMES if actions >> bit & 1)
    told = version > m.OFP12_VERSION
    out = f"        actions: {names}\n" if names else ""
    if fields or told:
        out += f"        supported on Set-Field: {format_field_names(list(fields))}\n"
    return out


def _table_ranges(tables: tuple[int, ...]) -> str:
    runs: list[list[int]] = []
    for table in tables:
        if runs and table == runs[-1][1] + 1:
            runs[-1][1] = table
        else:
            runs.append([table, table])
    return ",".join(f"{a}-{b}" if a != b else str(a) for a, b in runs)


def _instructions_text(
    f: m.InstructionFeatures, before: m.InstructionFeatures | None, version: int
) -> str:
    out = ""
    if f.next_tables:
        out += f"      next tables: {_table_ranges(tuple(sorted(set(f.next_tables))))}\n"
    words = [name for bit, name in _INSTRUCTION_NAMES if f.instructions >> bit & 1]
    if before is not None and f.instructions == before.instructions:
        out += "      (same instructions)\n" if words else ""
    elif words:
        out += f"      instructions: {' '.join(words)}\n"
    # For 1.1 the actions are said again for every table.
    same = before is not None and _actions_of(f) == _actions_of(before)
    if same and version > m.OFP12_VERSION:
        return out + "      (same actions)\n"
    write = _actions_text(f.write_actions, f.write_set_fields, version)
    apply = _actions_text(f.apply_actions, f.apply_set_fields, version)
    if not write and not apply:
        return out
    if same and version > m.OFP11_VERSION:
        return out + "      (same actions)\n"
    if write == apply:
        return out + f"      Write-Actions and Apply-Actions features:\n{write}"
    return f"{out}      Write-Actions features:\n{write}      Apply-Actions features:\n{apply}"


def _actions_of(f: m.InstructionFeatures) -> tuple[object, ...]:
    return f.write_actions, f.apply_actions, f.write_set_fields, f.apply_set_fields


def _can_match(t: m.TableFeatures) -> tuple[tuple[str, ...], ...]:
    return t.match, t.maskable, t.wildcards


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
    out = ""
    for title, found in kinds.items():
        if found:
            out += f"      {title}: {format_field_names(found)}\n"
    return "    matching:\n" + out if out else ""


def tables_text(tables: tuple[m.TableFeatures, ...], version: int) -> str:
    """The tables of a switch, for dump-table-features."""
    printer = _Printer()
    before: m.TableFeatures | None = None
    for t in tables:
        head = f'{t.table_id} ("{t.name}")' if t.name else str(t.table_id)
        same = before is not None and _are_alike(t, before)
        printer.put(head, _features_text(t, before, version), same, bool(t.name), t.table_id)
        before = t
    return printer.text()


def _features_text(t: m.TableFeatures, before: m.TableFeatures | None, version: int) -> str:
    out = ""
    if t.metadata_match or t.metadata_write:
        out += f"    metadata: match={hex_text(t.metadata_match)} "
        out += f"write={hex_text(t.metadata_write)}\n"
    if version <= m.OFP12_VERSION:
        out += f"    config={_MISS.get(t.config, _MISS[0])}\n"
    if version >= m.OFP14_VERSION:
        for bit, name in (
            (mt.OFPTC_EVICTION, "eviction"),
            (mt.OFPTC_VACANCY_EVENTS, "vacancy events"),
        ):
            out += f"    {name}: {'' if t.config & bit else 'not '}supported\n"
    if t.max_entries:
        out += f"    max_entries={t.max_entries}\n"
    if not t.described:
        return out
    out += _both_instructions(t, before, version)
    if before is not None and t.match and _can_match(t) == _can_match(before):
        return out + "    (same matching)\n"
    matching = _matching_text(t)
    if matching and before is not None and matching == _matching_text(before):
        return out + "    (same matching)\n"
    return out + matching


def _both_instructions(t: m.TableFeatures, before: m.TableFeatures | None, version: int) -> str:
    if before is not None and _do_alike(t, before):
        return "    (same instructions)\n" if t.nonmiss != _NOTHING else ""
    if _told(t.miss) == _told(t.nonmiss):
        text = _instructions_text(t.nonmiss, before.nonmiss if before else None, version)
        return f"    instructions (table miss and others):\n{text}" if text else ""
    earlier, earlier_miss = (before.nonmiss, before.miss) if before else (None, None)
    other = _instructions_text(t.nonmiss, earlier, version)
    miss = _instructions_text(t.miss, earlier_miss, version)
    return (
        f"    instructions (other than table miss):\n{other}    instructions (table miss):\n{miss}"
    )


def _told(f: m.InstructionFeatures) -> m.InstructionFeatures:
    """`f` with the actions that have names, to compare."""
    write, apply = f.write_actions & _NAMED_ACTIONS, f.apply_actions & _NAMED_ACTIONS
    return replace(f, write_actions=write, apply_actions=apply)


#: What a table does of which nothing is told.
_NOTHING = m.InstructionFeatures()


def _are_alike(t: m.TableFeatures, other: m.TableFeatures) -> bool:
    """Do tables differ in name and number at most, and in what follows from the number?"""
    return _do_alike(t, other) and _without_table(t) == _without_table(other)


def _without_table(t: m.TableFeatures) -> m.TableFeatures:
    return replace(t, table_id=0, name="", nonmiss=_NOTHING, miss=_NOTHING)


def _do_alike(t: m.TableFeatures, other: m.TableFeatures) -> bool:
    """Are the instructions of both the same, and lead they on alike?"""
    for a, b in ((t.nonmiss, other.nonmiss), (t.miss, other.miss)):
        if replace(a, next_tables=()) != replace(b, next_tables=()):
            return False
        if not _lead_on_alike(a, t.table_id, b, other.table_id):
            return False
    return True


def _lead_on_alike(
    a: m.InstructionFeatures, a_id: int, b: m.InstructionFeatures, b_id: int
) -> bool:
    """Do both lead to the same tables, but that the first of two neighbours may also lead to the
    second?"""
    if a_id > b_id:
        a, a_id, b, b_id = b, b_id, a, a_id
    first, second = set(a.next_tables), set(b.next_tables)
    if b_id == a_id + 1 and b_id not in second:
        first.discard(b_id)
    return first == second
