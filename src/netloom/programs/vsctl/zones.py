"""Commands about conntrack zones of a datapath, and its capabilities.

A zone is an entry of Datapath.ct_zones, from a number to a CT_Zone row, which has a time-out
policy, a limit of connections, or both.
"""

from __future__ import annotations

from netloom.base.errors import CommandError
from netloom.base.numbers import leading_int, leading_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netloom.ovsdb.row import Row
    from netloom.programs.db_ctl.command_line import Command
    from netloom.programs.db_ctl.context import Context, Needs


def _need_zones(needs: Needs, command: Command) -> None:
    needs.columns("Open_vSwitch", "datapaths")
    needs.columns("Datapath", "ct_zones")
    needs.columns("CT_Zone", "timeout_policy")
    needs.columns("CT_Timeout_Policy", "timeouts")


def _need_limits(needs: Needs, command: Command) -> None:
    _need_zones(needs, command)
    needs.columns("Datapath", "ct_zone_default_limit")
    needs.columns("CT_Zone", "limit")


def need_list_dp_cap(needs: Needs, command: Command) -> None:
    needs.columns("Open_vSwitch", "datapaths")
    needs.columns("Datapath", "capabilities")


need_add_zone_tp = need_list_zone_tp = _need_zones
need_del_zone_tp = need_set_zone_limit = need_del_zone_limit = need_list_zone_limits = _need_limits


def _pairs(context: Context, row: Row, column: str) -> dict[Any, Any]:
    value = context.read(context.now(row), column)
    assert isinstance(value, dict)
    return value


def _find_datapath(context: Context, name: str) -> Row | None:
    context.verify(context.root, "datapaths")
    uuid = _pairs(context, context.root, "datapaths").get(name)
    return None if uuid is None else context.txn.row("Datapath", uuid)


def _datapath(context: Context) -> Row:
    name = context.args[0]
    found = _find_datapath(context, name)
    if found is None:
        raise CommandError(f"datapath {name} does not exist")
    return found


def _zones(context: Context, datapath: Row) -> dict[int, Row]:
    """CT_Zone rows by zone number."""
    context.verify(datapath, "ct_zones")
    found = {}
    for number, uuid in _pairs(context, datapath, "ct_zones").items():
        row = context.txn.row("CT_Zone", uuid)
        if row is not None:
            found[number] = row
    return found


def _new_zone(context: Context, datapath: Row, number: int) -> Row:
    zone = context.insert("CT_Zone")
    context.txn.put_pairs(datapath, "ct_zones", {number: zone.uuid})
    return zone


def _zone_argument(text: str) -> int:
    """The number in `zone=NUMBER`."""
    number = leading_number(text.removeprefix("zone="), 0)
    if number is None or not text.startswith("zone="):
        raise CommandError(f"invalid zone argument, {text}")
    return number


# Time-out policies.


def run_add_zone_tp(context: Context) -> None:
    number = _zone_argument(context.args[1])
    datapath = _datapath(context)
    timeouts: dict[Any, Any] = {}
    for argument in context.args[2:]:
        key, _, value = argument.partition("=")
        timeouts[key] = leading_int(value)
    zone = _zones(context, datapath).get(number)
    has_policy = zone is not None and bool(context.txn.refs(zone, "timeout_policy"))
    if has_policy and not context.has_option("--may-exist"):
        raise CommandError(f"zone id {number} already has a policy")
    policy = _policy(context, {key: timeouts[key] for key in sorted(timeouts)})
    if zone is None:
        zone = _new_zone(context, datapath, number)
    context.txn.set(zone, "timeout_policy", (policy.uuid,))


def _policy(context: Context, timeouts: dict[Any, Any]) -> Row:
    """The policy of these times: one that is there, or a new one."""
    for row in context.txn.rows("CT_Timeout_Policy"):
        if _pairs(context, row, "timeouts") == timeouts:
            return row
    row = context.insert("CT_Timeout_Policy")
    context.txn.set(row, "timeouts", timeouts)
    return row


def run_del_zone_tp(context: Context) -> None:
    number = _zone_argument(context.args[1])
    datapath = _datapath(context)
    zone = _zones(context, datapath).get(number)
    if zone is None or not context.txn.refs(zone, "timeout_policy"):
        if not context.has_option("--if-exists"):
            raise CommandError(f"zone id {number} does not have a policy")
        if zone is None:
            return
    if zone.optional("limit") is None:
        context.txn.remove_elements(datapath, "ct_zones", (number,))
    else:
        context.txn.set(zone, "timeout_policy", ())


def run_list_zone_tp(context: Context) -> None:
    datapath = _find_datapath(context, context.args[0])
    if datapath is None:
        raise CommandError(f"datapath: {context.args[0]} record not found")
    for number, zone in _zones(context, datapath).items():
        policies = context.txn.refs(zone, "timeout_policy")
        text = "system default"
        if policies:
            pairs = _pairs(context, policies[0], "timeouts").items()
            text = " ".join([f"{key}={value}" for key, value in pairs])
        context.print(f"Zone:{number}, Timeout Policies: {text}")


# Limits.

#: Numbers of zones have 16 bits, limits 32.
_MAX_ZONE, _MAX_LIMIT = 0xFFFF, 0xFFFF_FFFF


def _limit_target(text: str) -> int | None:
    """The number of a zone; None for `default`."""
    if text == "default":
        return None
    number = leading_number(text, 0)
    if number is None:
        raise CommandError(f"invalid zone id, {text}")
    return number


def run_set_zone_limit(context: Context) -> None:
    number = _limit_target(context.args[1])
    limit = leading_number(context.args[2], 0)
    if limit is None:
        raise CommandError(f"invalid limit, {context.args[2]}")
    datapath = _datapath(context)
    if not 0 <= limit <= _MAX_LIMIT:
        raise CommandError(f"limit ({limit}) out of range")
    value = (limit,)
    if number is None:
        context.txn.set(datapath, "ct_zone_default_limit", value)
        return
    if not 0 <= number <= _MAX_ZONE:
        raise CommandError(f"zone_id ({number}) out of range")
    zone = _zones(context, datapath).get(number) or _new_zone(context, datapath, number)
    context.txn.set(zone, "limit", value)


def run_del_zone_limit(context: Context) -> None:
    number = _limit_target(context.args[1])
    datapath = _datapath(context)
    if number is None:
        context.verify(datapath, "ct_zone_default_limit")
        if datapath.optional("ct_zone_default_limit") is None:
            if not context.has_option("--if-exists"):
                raise CommandError(f"datapath {context.args[0]} does not have a limit")
            return
        context.txn.set(datapath, "ct_zone_default_limit", ())
        return
    zone = _zones(context, datapath).get(number)
    if zone is None or zone.optional("limit") is None:
        if not context.has_option("--if-exists"):
            raise CommandError(f"zone_id {number} does not have a limit")
        if zone is None:
            return
    if context.txn.refs(zone, "timeout_policy"):
        context.txn.set(zone, "limit", ())
    else:
        context.txn.remove_elements(datapath, "ct_zones", (number,))


def run_list_zone_limits(context: Context) -> None:
    datapath = _datapath(context)
    context.verify(datapath, "ct_zone_default_limit")
    default = datapath.optional("ct_zone_default_limit")
    if default is not None:
        context.print(f"Default, Limit: {default}")
    for number, zone in _zones(context, datapath).items():
        limit = zone.optional("limit")
        if limit is not None:
            context.print(f"Zone: {number}, Limit: {limit}")


# Capabilities.


def run_list_dp_cap(context: Context) -> None:
    name = context.args[0]
    datapath = _find_datapath(context, name)
    if datapath is None:
        raise CommandError(f'datapath "{name}" record not found')
    context.verify(datapath, "capabilities")
    pairs = _pairs(context, datapath, "capabilities").items()
    context.print(" ".join([f"{key}={value}" for key, value in pairs]))
