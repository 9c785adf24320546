"""Commands of meters."""

from __future__ import annotations

from netloom.openflow import messages_meters as t
from netloom.openflow import protocol as p
from netloom.openflow.meter_text import parse_meter_mod
from netloom.programs.ofctl.dumps import print_replies
from netloom.programs.ofctl.switch import Switch, open_for_flows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.programs.ofctl import Context

#: Operands if there is a meter among them.
_WITH_TEXT = 2
_USABLE = p.P_OF13 | p.P_OF14 | p.P_OF15


def _open(context: Context) -> Switch:
    return open_for_flows(context.switch, context.args, context.xids, _USABLE)


def _change(context: Context, command: int) -> None:
    everything = command == t.OFPMC_DELETE and len(context.operands) < _WITH_TEXT
    mod = t.MeterMod(command, t.OFPM_ALL)
    if not everything:
        mod = parse_meter_mod(context.operand(1), command)
    switch = _open(context)
    switch.must_change(switch.encode(mod))
    switch.close()


def add_meter(context: Context) -> None:
    _change(context, t.OFPMC_ADD)


def mod_meter(context: Context) -> None:
    _change(context, t.OFPMC_MODIFY)


def del_meters(context: Context) -> None:
    _change(context, t.OFPMC_DELETE)


def _meter_id(context: Context) -> int:
    if len(context.operands) < _WITH_TEXT:
        return t.OFPM_ALL
    return parse_meter_mod(context.operand(1), t.OFPMC_DELETE).meter_id


def dump_meters(context: Context) -> None:
    meter_id = _meter_id(context)
    print_replies(context, _open(context), t.MeterConfigRequest(meter_id))


def meter_stats(context: Context) -> None:
    meter_id = _meter_id(context)
    print_replies(context, _open(context), t.MeterStatsRequest(meter_id))


def meter_features(context: Context) -> None:
    print_replies(context, _open(context), t.MeterFeaturesRequest())
