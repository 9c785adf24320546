"""Text of groups: changes, descriptions, statistics, features."""

from __future__ import annotations

from netloom.flow.fields import FIELD
from netloom.flow.ports import format_port
from netloom.flow.value_text import format_field_value
from netloom.openflow import messages_groups as g
from netloom.openflow.action_format import format_actions
from netloom.openflow.constants import OFPG_ANY, OFPP_ANY
from netloom.openflow.duration_text import format_duration
from netloom.openflow.message_table import Frame
from netloom.openflow.message_text import Style, hex_text

_COMMANDS = {
    g.OFPGC_ADD: "ADD", g.OFPGC_MODIFY: "MOD", g.OFPGC_DELETE: "DEL",
    g.OFPGC_ADD_OR_MOD: "ADD_OR_MOD", g.OFPGC_INSERT_BUCKET: "INSERT_BUCKET",
    g.OFPGC_REMOVE_BUCKET: "REMOVE_BUCKET",
}  # fmt: skip
_TYPES = {0: "all", 1: "select", 2: "indirect", 3: "ff"}
_BUCKETS = {g.OFPG_BUCKET_FIRST: "first", g.OFPG_BUCKET_LAST: "last", g.OFPG_BUCKET_ALL: "all"}


def field_words(fields: tuple[tuple[str, int], ...]) -> list[str]:
    """Each field, with its mask where that leaves out bits."""
    words = []
    for name, value in fields:
        field = FIELD[name]
        if value != field.ones:
            name += "=" + format_field_value(field, value, None)
        words.append(name)
    return words


def _fields_text(fields: tuple[tuple[str, int], ...]) -> str:
    words = field_words(fields)
    if len(words) == 1:
        return f",fields={words[0]}"
    return f",fields({','.join(words)})" if words else ""


def _bucket_text(bucket: g.Bucket, group_type: int, version: int, style: Style) -> str:
    out = "bucket="
    if version in (1, 6):
        out += f"bucket_id:{bucket.bucket_id},"
    if bucket.weight != (group_type == g.OFPGT_SELECT):
        out += f"weight:{bucket.weight},"
    if bucket.watch_port != OFPP_ANY:
        out += f"watch_port:{format_port(bucket.watch_port, style.port_names)},"
    if bucket.watch_group != OFPG_ANY:
        out += f"watch_group:{bucket.watch_group},"
    actions = format_actions(bucket.actions, style.port_names, style.table_names)
    return f"{out}actions={actions}"


def group_text(
    group: g.GroupMod | g.GroupDesc, version: int, style: Style, show_type: bool = True
) -> str:
    """`group_id=1,type=select,...,bucket=...`"""
    out = f"group_id={group.group_id}"
    if show_type:
        out += f",type={_TYPES.get(group.type, 'unknown')}"
    p = group.properties
    if p.selection_method:
        out += f",selection_method={p.selection_method}"
        if p.selection_method_param:
            out += f",selection_method_param={p.selection_method_param}"
        out += _fields_text(p.fields)
    for bucket in group.buckets:
        out += "," + _bucket_text(bucket, group.type, version, style)
    return out


def format_group_mod(message: g.GroupMod, frame: Frame, style: Style) -> str:
    """What follows the first line's colon in a group mod."""
    out = f"\n {_COMMANDS[message.command]} "
    buckets = message.command in (g.OFPGC_INSERT_BUCKET, g.OFPGC_REMOVE_BUCKET)
    if buckets and frame.version in (1, 6):
        where = message.command_bucket_id
        out += f"command_bucket_id:{_BUCKETS.get(where, where)},"
    return out + group_text(message, frame.version, style, show_type=not buckets)


def _id_text(group_id: int) -> str:
    return {g.OFPG_ALL: "ALL", OFPG_ANY: "ANY"}.get(group_id, str(group_id))


def format_group_stats_request(message: g.GroupStatsRequest, frame: Frame, style: Style) -> str:
    return f" group_id={_id_text(message.group_id)}"


def format_group_desc_request(message: g.GroupDescRequest, frame: Frame, style: Style) -> str:
    return f" group_id={_id_text(message.group_id)}"


def format_group_desc_reply(message: g.GroupDescReply, frame: Frame, style: Style) -> str:
    lines = [f"\n {group_text(group, frame.version, style)}" for group in message.groups]
    return "".join(lines) or ("" if frame.error else "\n")


def format_group_stats_reply(message: g.GroupStatsReply, frame: Frame, style: Style) -> str:
    """What follows the first line's colon in a group stats reply."""
    out = ""
    for group in message.groups:
        out += f"\n group_id={group.group_id},"
        if group.duration_sec != 0xFFFFFFFF:
            out += f"duration={format_duration(group.duration_sec, group.duration_nsec)},"
        out += (
            f"ref_count={group.ref_count},packet_count={group.packet_count},"
            f"byte_count={group.byte_count}"
        )
        for number, counter in enumerate(group.buckets):
            out += (
                f",bucket{number}:packet_count={counter.packet_count},"
                f"byte_count={counter.byte_count}"
            )
    if frame.error:
        return f"{out} ***parse error***\n"
    return out or "\n"


_GROUP_NAMES = ("all", "select", "indirect", "fast failover")
#: (bit, name) of the actions of OpenFlow 1.0, of 1.1, and of later versions, as they are listed.
_ACTIONS10 = (
    (0, "output"), (11, "enqueue"), (1, "set_vlan_vid"), (2, "set_vlan_pcp"), (3, "strip_vlan"),
    (4, "mod_dl_src"), (5, "mod_dl_dst"), (6, "mod_nw_src"), (7, "mod_nw_dst"), (8, "mod_nw_tos"),
    (9, "mod_tp_src"), (10, "mod_tp_dst"),
)  # fmt: skip
_ACTIONS11 = (
    (0, "output"), (22, "group"), (25, "set_field"), (1, "set_vlan_vid"), (2, "set_vlan_pcp"),
    (18, "strip_vlan"), (17, "push_vlan"), (3, "mod_dl_src"), (4, "mod_dl_dst"),
    (5, "mod_nw_src"), (6, "mod_nw_dst"), (7, "mod_nw_tos"), (8, "mod_nw_ecn"),
    (23, "mod_nw_ttl"), (9, "mod_tp_src"), (10, "mod_tp_dst"), (24, "dec_ttl"),
    (13, "set_mpls_label"), (14, "set_mpls_tc"), (15, "set_mpls_ttl"), (16, "dec_mpls_ttl"),
    (19, "push_mpls"), (20, "pop_mpls"), (21, "set_queue"),
)  # fmt: skip
_ONLY_11 = range(1, 15)


def action_names(bits: int, version: int) -> str:
    """The actions of a bitmap of OpenFlow 1.0 to 1.5, as they are listed."""
    table = _ACTIONS10 if version == 1 else _ACTIONS11
    words = [
        name
        for bit, name in table
        if bits >> bit & 1 and not (version > 2 and bit in _ONLY_11)
        and not (version == 2 and bit == 25)
    ]  # fmt: skip
    return " ".join(words)


def format_group_features_reply(message: g.GroupFeaturesReply, frame: Frame, style: Style) -> str:
    """What follows the first line's colon in a group features reply."""
    out = (
        f"\n Group table:\n    Types:  {message.types:#x}\n"
        f"    Capabilities:  {message.capabilities:#x}\n"
    )
    for number, name in enumerate(_GROUP_NAMES):
        if message.types >> number & 1:
            actions = action_names(message.actions[number], frame.version)
            out += (
                f"    {name} group:\n       max_groups={hex_text(message.max_groups[number])}\n"
                f"       actions: {actions or '<none>'}\n"
            )
    return out
