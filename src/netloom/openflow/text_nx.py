"""Text of Nicira's messages about tunnel options, connection tracking and IPFIX."""

from __future__ import annotations

from netloom.flow.address import format_ipv4, format_ipv6
from netloom.openflow import messages_nx as n
from netloom.openflow.constants import UNKNOWN
from netloom.openflow.message_table import Frame
from netloom.openflow.message_text import Style, hex_text

_COMMANDS = {n.NXTTMC_ADD: "ADD", n.NXTTMC_DELETE: "DEL", n.NXTTMC_CLEAR: "CLEAR"}


def _maps_text(maps: tuple[n.TlvMap, ...]) -> str:
    out = (
        " mapping table:\n"
        "  class  type  length  match field\n"
        " ------  ----  ------  --------------\n"
    )
    rows = [
        f" {hex_text(one.option_class):>6}  {hex_text(one.option_type):>4}  {one.option_len:>6}  "
        f"tun_metadata{one.index}"
        for one in maps
    ]
    return out + "\n".join(rows)


def format_tlv_table_mod(message: n.TlvTableMod, frame: Frame, style: Style) -> str:
    out = f"\n {_COMMANDS[message.command]}"
    return out if message.command == n.NXTTMC_CLEAR else out + _maps_text(message.maps)


def format_tlv_table_reply(message: n.TlvTableReply, frame: Frame, style: Style) -> str:
    used = sum(one.option_len for one in message.maps)
    return (
        f"\n max option space={message.max_option_space} max fields={message.max_fields}\n"
        f" allocated option space={used}\n\n{_maps_text(message.maps)}"
    )


def format_ct_flush_zone(message: n.CtFlushZone, frame: Frame, style: Style) -> str:
    return f" zone_id={message.zone_id}"


_V4_MAPPED = 0xFFFF << 32


def _is_v4(address: int | None) -> bool:
    return address is not None and address >> 32 == 0xFFFF


def _address(address: int | None) -> str:
    number = address or 0
    return format_ipv4(number & 0xFFFFFFFF) if _is_v4(address) else format_ipv6(number)


def _tuple_text(one: n.CtTuple, ip_proto: int, is_v4: bool) -> str:
    name = "nw" if is_v4 else "ipv6"
    out = f"ct_{name}_src={_address(one.src)},ct_{name}_dst={_address(one.dst)},"
    if ip_proto in (1, 58):
        return out + (
            f"icmp_id={one.icmp_id or 0},icmp_type={one.icmp_type or 0},"
            f"icmp_code={one.icmp_code or 0}"
        )
    return f"{out}ct_tp_src={one.src_port or 0},ct_tp_dst={one.dst_port or 0}"


def format_ct_flush(message: n.CtFlush, frame: Frame, style: Style) -> str:
    return f" {_connections(message)}"


def which_connections(message: n.CtFlush) -> str:
    """The connections that are to be forgotten, as logs have them."""
    if (message.original, message.reply, message.ip_proto) == (n.NO_TUPLE, n.NO_TUPLE, 0) and not (
        message.mark[1] or message.labels[1]
    ):
        return "<all>" if message.zone_id is None else f"zone {message.zone_id}"
    return _connections(message)


def _connections(message: n.CtFlush) -> str:
    tuples = message.original, message.reply
    addresses = [each for one in tuples for each in (one.src, one.dst) if each is not None]
    is_v4 = bool(addresses) and _is_v4(addresses[-1])
    original, reply = [_tuple_text(one, message.ip_proto, is_v4) for one in tuples]
    out = f"zone={message.zone_id or 0}"
    for name, (value, mask), bits in (
        ("mark", message.mark, 32), ("labels", message.labels, 128),
    ):  # fmt: skip
        if mask:
            number = f"{value:#x}" if value else "0"
            out += f" {name}={number}" + (f"/{mask:#x}" if mask != (1 << bits) - 1 else "")
    return f"{out} '{original},ct_nw_proto={message.ip_proto}' '{reply}'"


def _count(value: int) -> str:
    return "?" if value == UNKNOWN else str(value)


def _stats_text(s: n.IpfixStats, margin: str) -> str:
    flows, current, packets, v4, v6, errors, v4_errors, v6_errors, sent, sent_errors = (
        _count(getattr(s, name)) for name in n.IPFIX_COUNTERS
    )
    return (
        f" flows={flows}, current flows={current}, sampled pkts={packets}, "
        f"ipv4 ok={v4}, ipv6 ok={v6}, tx pkts={sent}\n"
        f"{margin}pkts errs={errors}, ipv4 errs={v4_errors}, "
        f"ipv6 errs={v6_errors}, tx errs={sent_errors}\n"
    )


def format_ipfix_stats_reply(message: n.IpfixStatsReply, frame: Frame, style: Style) -> str:
    if not message.flow:
        return "".join(
            [f"\n  bridge ipfix:{_stats_text(one, ' ' * 16)}" for one in message.stats[:1]]
        )
    out = f" {len(message.stats)} ids\n"
    for one in message.stats:
        out += f"  id {one.collector_set_id:>3}:{_stats_text(one, ' ' * 10)}"
    return out
