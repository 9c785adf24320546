"""Commands of groups."""

from __future__ import annotations

from netloom.base.log import get_logger
from netloom.openflow import messages_groups as g
from netloom.openflow import protocol as p
from netloom.openflow.group_text import parse_group_lines, parse_group_mod
from netloom.openflow.number_text import c_int
from netloom.programs.ofctl.dumps import in_color, open_switch, print_replies
from netloom.programs.ofctl.group_commands import check_command
from netloom.programs.ofctl.input import read_lines
from netloom.programs.ofctl.names import accepted_names
from netloom.programs.ofctl.options import Fatal
from netloom.programs.ofctl.switch import open_for_flows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.programs.ofctl import Context

log = get_logger("ofp_group")


def _send(context: Context, groups: list[g.GroupMod], usable: int) -> None:
    if context.args.bundle:
        from netloom.programs.ofctl.bundles import send_bundle

        send_bundle(context, groups, usable)
        return
    switch = open_for_flows(context.switch, context.args, context.xids, usable)
    for group in groups:
        check_command(group, switch.version)
        switch.must_change(switch.encode(group))
    switch.close()


def _change_file(context: Context, path: str, command: int | None) -> None:
    names = accepted_names(context, context.switch)
    groups, usable = parse_group_lines(read_lines(path), command, names, path)
    _send(context, groups, usable)


def _change(context: Context, command: int) -> None:
    text = context.operand(1)
    if text == "-":
        _change_file(context, "-", command if command != g.OFPGC_ADD else None)
        return
    names = accepted_names(context, context.switch)
    group, usable = parse_group_mod(text, command, names)
    _send(context, [group], usable)


def add_group(context: Context) -> None:
    _change(context, g.OFPGC_ADD)


def add_groups(context: Context) -> None:
    if len(context.operands) < 2:
        raise Fatal("'add-groups' command requires at least 2 arguments")
    _change_file(context, context.operands[1], None)


def mod_group(context: Context) -> None:
    _change(context, g.OFPGC_ADD_OR_MOD if context.args.may_create else g.OFPGC_MODIFY)


def del_groups(context: Context) -> None:
    _change(context, g.OFPGC_DELETE)


def insert_buckets(context: Context) -> None:
    _change(context, g.OFPGC_INSERT_BUCKET)


def remove_buckets(context: Context) -> None:
    _change(context, g.OFPGC_REMOVE_BUCKET)


# What there is


def _group_id(text: str) -> int:
    if text.lower() in ("", "all"):
        return g.OFPG_ALL
    if text.lower() == "any":
        return 0xFFFFFFFF
    number = c_int(text)
    if number is None or not 0 <= number < 1 << 32:
        log.warn("%s is not a valid group ID.  (Valid group IDs are 32-bit nonnegative integers "
                 "or the keywords ANY or ALL.)", text)  # fmt: skip
        return g.OFPG_ALL
    return number


def dump_groups(context: Context) -> None:
    group_id = _group_id(context.operand(1))
    print_replies(context, open_switch(context), g.GroupDescRequest(group_id))


def dump_group_stats(context: Context) -> None:
    """The command `dump-group-stats`."""
    names = accepted_names(context, context.switch)
    group_id = parse_group_mod(context.operand(1), g.OFPGC_DELETE, names)[0].group_id
    print_replies(context, open_switch(context), g.GroupStatsRequest(group_id))


def dump_group_features(context: Context) -> None:
    print_replies(context, open_switch(context), g.GroupFeaturesRequest())


def parse_group(context: Context) -> None:
    """The command `parse-group`."""
    import sys

    from netloom.openflow.codec import encode_message
    from netloom.openflow.message_text import Style, format_message
    from netloom.programs.ofctl.options import protocols_text

    group, usable = parse_group_mod(context.operands[0], g.OFPGC_ADD)
    sys.stdout.write(f"usable protocols: {protocols_text(usable)}\n")
    allowed = usable & context.args.allowed_protocols
    if not allowed:
        raise Fatal("no usable protocol")
    chosen = allowed & -allowed
    name = p.VERSION_NAMES[p.VERSION[chosen]]
    sys.stdout.write(f"chosen version: {name}\n")
    data = encode_message(group, context.xids.new(), chosen)
    sys.stdout.write(in_color(context, format_message(data, Style(context.args.verbosity))))
