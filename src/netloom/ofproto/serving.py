"""Requests that are carried out as soon as their bytes are there, between turns of the main loop.

A turn asks every part of the daemon whether it has something to do, which takes longer than most
requests. Most requests, though, concern the tables alone: after a flow mod and a barrier nothing is
left to do but to send the answer. So a connection's requests are carried out where they are read
(`transport.driver.Connection.serve`), and a turn is asked for only if more may have come of them:

    a message of a kind whose effects others follow (`connmgr_requests.DONE_AT_ONCE` has the rest)
    flows in the data path that might be wrong now, unless a barrier had them looked at
    packets that went to ports, or came up and wait
    output for other connections

What must hold is what holds in a turn: requests of a connection are carried out in their order, and
a barrier's answer is written when all that was asked before it governs the next packet.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.ofproto.bridge import Ofproto
    from netloom.openflow.connection import Connection


def serve(bridge: Ofproto, machine: Connection) -> bool:
    """Carry out what `machine` has received; should a turn follow at once?"""
    manager, backer = bridge.connections, bridge.backer
    session = manager.session_of(machine)
    if session is None:
        return True
    now_ms = backer.clock.now_ms()
    packet_outs = backer.events.packet_outs
    n_packets, was_admitted = packet_outs.total, session.admitted
    bridge.packet_outs.has_sent = False
    is_done = manager.read(session, now_ms)
    concerned = [manager]
    if packet_outs.total != n_packets:
        if not backer.is_restoring:
            backer.answer(now_ms)
        # A packet may have crossed to another bridge and its controllers.
        concerned = [each.connections for each in backer.bridges.values()]
    return (
        not is_done
        or not backer.has_settled(now_ms)
        or session.admitted != was_admitted
        or bridge.packet_outs.has_sent
        or bool(machine.taps)
        or any(each.has_output(session) for each in concerned)
    )
