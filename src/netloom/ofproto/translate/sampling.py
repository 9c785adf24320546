"""`sample`: one of so many packets goes to the collectors of a set (IPFIX by flow).

The sampling is the data path's; what it sends up carries the set and the observation's ids. A
bridge without any collector set has no use for samples, and then there is no action for them.
"""

from __future__ import annotations

from netloom.datapath import actions as dp
from netloom.flow import ports as reserved
from netloom.ofproto.translate.commit import commit
from netloom.ofproto.translate.context import Context
from netloom.openflow import actions as a

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_ALL: Final = 0xFFFF
_NO_PORT: Final = 0xFFFFFFFF
_DIRECTIONS: Final = ("", "ingress", "egress")


def sample(context: Context, action: a.Sample) -> None:
    """See the module."""
    domain, point = _number(context, action.obs_domain_id), _number(context, action.obs_point_id)
    if not context.bridge.settings.samples_flows or context.in_port == reserved.NONE:
        return
    if not action.probability:
        return
    commit(context)
    port = context.bridge.ports_by_number.get(action.sampling_port)
    number = port.dp_port if port is not None and port.dp_port >= 0 else _NO_PORT
    upcall = dp.Userspace(
        "flow_sample",
        (action.probability, action.collector_set_id, domain, point, number,
         _DIRECTIONS[action.direction]),
    )  # fmt: skip
    if action.probability == _ALL:
        context.emit(upcall)
    else:
        context.emit(dp.Sample(action.probability << 16 | action.probability, (upcall,)))


def _number(context: Context, what: a.Subfield | int) -> int:
    """An id of the observation: given, or what the packet has in a field."""
    if isinstance(what, int):
        return what
    ones = (1 << what.n_bits) - 1
    shift = what.field.shift + what.offset
    context.mask |= ones << shift
    return context.key >> shift & ones
