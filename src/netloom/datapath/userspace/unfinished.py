"""What a sender left undone, where it cannot stay so.

A packet that is to be cut into segments goes through actions as one, and into a tunnel as one, too;
whoever sends it cuts it, headers in front included. Here it is cut before that only where no device
could do it any more: behind labels, in a second tunnel, or if it is too long to have headers more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netloom.netdev.device import BATCH_PACKETS, Packet, n_growths
from netloom.packet.marks import GRE
from netloom.packet.offload import GSO_ECN, Offload, finish_offload, is_of_tunnel

if TYPE_CHECKING:
    from netloom.datapath.userspace.execute import Execution, Outlet, Step

#: A packet was cut into segments.
SEGMENTED: Final = "dp_packet_gso"
#: A batch of packets became longer by as many as it first holds.
GROWN: Final = "dp_packet_batch_grow"
#: Bytes of the longest headers that a tunnel puts in front: Geneve with all options over IPv6.
_LONGEST_HEADERS: Final = 14 + 40 + 8 + 8 + 252


def must_cut(step: Step, execution: Execution, offload: Offload) -> bool:
    """Is the packet to be cut into segments before this step?"""
    if not offload.gso_type & ~GSO_ECN:
        return False
    if step is segment or step is open_tunnel:
        return True
    if step is not close_tunnel:
        return False
    data = execution.frozen().data
    return len(data) + _LONGEST_HEADERS > 0xFFFF or is_of_tunnel(data, offload)


def note_segments(outlet: Outlet, n_segments: int) -> None:
    """Count that a packet was cut into so many."""
    outlet.note(SEGMENTED)
    if n_segments > BATCH_PACKETS:
        outlet.note(GROWN, n_growths(n_segments))


def segment(execution: Execution) -> None:
    """Finish what the sender left undone; a packet to be cut never gets here (`must_cut`)."""
    offload = execution.offload
    if offload is not None:
        packet = execution.frozen()
        execution.replace(Packet(finish_offload(packet.data, offload)[0]))


def close_tunnel(execution: Execution) -> None:
    """Before headers of a tunnel go on that devices know: what is known of checksums, or of how to
    cut the packet, stays, unless that is about the packet in a tunnel already."""
    offload = execution.offload
    if offload is None or offload.gso_size:
        return
    if not offload.marks or offload.marks & GRE:
        segment(execution)


def open_tunnel(execution: Execution) -> None:
    """Before headers of a tunnel go off: what a device said of their checksums stays."""
    offload = execution.offload
    if offload is not None and (not offload.marks or offload.marks & GRE):
        segment(execution)
