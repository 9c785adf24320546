"""What every module of OpenFlow messages builds on: the base class, the numbers that mean "any",
and the port, which stands in several messages. See `netloom.openflow.messages`."""

from __future__ import annotations

from netloom.base.record import Record

NO_BUFFER = 0xFFFFFFFF
OFPP_ANY = 0xFFFFFFFF
OFPG_ANY = 0xFFFFFFFF
OFPQ_ALL = 0xFFFFFFFF
OFPTT_ALL = 0xFF
#: A counter that the switch does not keep.
UNKNOWN = 0xFFFFFFFFFFFFFFFF


class Message(Record):
    """Base of all messages."""


class PhyPort(Record):
    """One port of the switch. Speeds in kbps; in OpenFlow 1.0 they follow from the features."""

    port_no: int
    hw_addr: int
    name: str
    config: int = 0
    state: int = 0
    current: int = 0
    advertised: int = 0
    supported: int = 0
    peer: int = 0
    current_speed_kbps: int = 0
    max_speed_kbps: int = 0
