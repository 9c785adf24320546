"""Requests to forget tracked connections, read as the text of `dpctl/flush-conntrack`."""

from __future__ import annotations

from netloom.base.log import get_logger
from netloom.flow.address import format_ipv6
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.messages_nx import NO_TUPLE, CtFlush, CtTuple
from netloom.openflow.text_nx import which_connections

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from netloom.datapath.dpif import Dpif

log: Final = get_logger("ct_dpif")

_MAPPED = 0xFFFF << 32
_PORTS = (
    ("src_port", "ct_tp_src"),
    ("dst_port", "ct_tp_dst"),
    ("icmp_id", "icmp_id"),
    ("icmp_type", "icmp_type"),
    ("icmp_code", "icmp_code"),
)


def flush_connections(dpif: Dpif, request: CtFlush) -> None:
    """Forget the connections that `request` describes; raises OpenFlowError."""
    if log.is_dbg_enabled:
        log.dbg("%s: ct_flush: %s", dpif.name, which_connections(request))
    if dpif.conntrack is None:
        raise OpenFlowError("OFPBRC_BAD_TYPE")
    try:
        dpif.conntrack.flush_matching(request.zone_id, connection_texts(request))
    except ValueError:
        # Ports without a protocol, addresses of both families.
        raise OpenFlowError("OFPBPC_BAD_VALUE") from None


def connection_texts(request: CtFlush) -> list[str]:
    """The words behind the zone; none if nothing is said."""
    words = [
        f"{name}={value:#x}/{mask:#x}"
        for name, (value, mask) in (("mark", request.mark), ("labels", request.labels))
        if mask
    ]
    original, reply = _text(request.original), _text(request.reply)
    proto = f"ct_nw_proto={request.ip_proto}" if request.ip_proto else ""
    if original or request.reply == NO_TUPLE:
        original = ",".join(filter(None, (proto, original)))
    if reply:
        reply = ",".join(filter(None, (proto, reply)))
    return [*words, original, reply] if original or reply else words


def _text(each: CtTuple) -> str:
    words = [
        _address(end, value) for end in ("src", "dst") if (value := getattr(each, end)) is not None
    ]
    words += [
        f"{name}={value}"
        for attribute, name in _PORTS
        if (value := getattr(each, attribute)) is not None
    ]
    return ",".join(words)


def _address(end: str, value: int) -> str:
    if value >> 32 == _MAPPED >> 32:
        octets = ".".join(str(value >> shift & 0xFF) for shift in (24, 16, 8, 0))
        return f"ct_nw_{end}={octets}"
    return f"ct_ipv6_{end}={format_ipv6(value)}"
