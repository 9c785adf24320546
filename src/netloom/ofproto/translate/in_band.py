"""What in-band control demands of every packet, whatever the flow table says.

A local port may get its address by DHCP. The replies are known by no field that a rule could match
before that: so every one of them reaches the local port.
"""

from __future__ import annotations

from netloom.datapath import actions as dp
from netloom.flow.fields import SLOT
from netloom.flow.ports import LOCAL
from netloom.ofproto.translate.context import Context
from netloom.ofproto.translate.output import output_to

_ETH_TYPE, _PROTO, _SRC, _DST = (SLOT[name] for name in ("dl_type", "nw_proto", "tp_src", "tp_dst"))
_IPV4, _UDP, _SERVER, _CLIENT = 0x0800, 17, 67, 68


def save_dhcp_reply(context: Context) -> None:
    """Send a DHCP reply to the local port, unless its actions did."""
    local = context.bridge.ports_by_number.get(LOCAL)
    if local is None or any(
        isinstance(action, dp.Output) and action.port == local.dp_port for action in context.actions
    ):
        return
    if not _is_dhcp_reply(context):
        return
    context.detail("outputting DHCP packet to local port for in-band control")
    output_to(context, LOCAL)


def _is_dhcp_reply(context: Context) -> bool:
    """As with Open vSwitch, only a reply has its ports in the mask: the flow of another packet that
    does not look at them may take replies with it."""
    key = context.key
    values = ((_PROTO, _UDP), (_SRC, _SERVER), (_DST, _CLIENT))
    if _ETH_TYPE.get(key) != _IPV4 or any(slot.get(key) != value for slot, value in values):
        return False
    for slot, _ in values:
        context.mask |= slot.mask
    return True
