"""RSTP on a bridge: which ports take part, their BPDUs, and what their states mean to packets.

`protocols.rstp` decides; this carries it out, as `spanning_tree` does for STP. Two things are
different: only what was learned on ports whose part of the tree changed is forgotten, and when an
alternate port takes over from the root port, addresses move with it, so nothing is flooded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.base.log import get_logger
from netloom.ofproto.liveness import is_usable
from netloom.ofproto.tree_ports import bpdu_of, bpdu_payload, mbps_of, tree_bundles
from netloom.openflow import messages as m
from netloom.packet import build
from netloom.protocols import rstp_values as values
from netloom.protocols.rstp import Rstp, RstpPort

if TYPE_CHECKING:
    from netloom.ofproto.bridge import Ofproto
    from netloom.ofproto.bundle import Bundle
    from netloom.ofproto.ports import OfPort

log = get_logger("ofproto_dpif")
_bridge_log = get_logger("bridge")

GROUP = bytes.fromhex("0180c2000000")
_TICK_MS = 1_000
#: What OpenFlow calls the states.
_STATE_BITS = {
    values.DISABLED: 0,
    values.DISCARDING: m.OFPPS_STP_LISTEN,
    values.LEARNING: m.OFPPS_STP_LEARN,
    values.FORWARDING: m.OFPPS_STP_FORWARD,
}


class RapidTree:
    """The tree of one bridge."""

    #: As warnings call it.
    protocol = "RSTP"
    #: Nothing that can be configured disables the whole tree.
    is_disabled = False

    def __init__(self, bridge: Ofproto, settings: values.RstpSettings, now_ms: int) -> None:
        self._bridge = bridge
        self.rstp = Rstp(bridge.name, settings)
        self._ports: dict[OfPort, RstpPort] = {}
        self._states: dict[OfPort, str] = {}
        self._ticked_ms = now_ms
        self._is_sending = False
        self.configure(settings, now_ms)

    def configure(self, settings: values.RstpSettings, now_ms: int) -> None:
        self.rstp.configure(settings)
        self.follow_ports(now_ms)

    def follow_ports(self, now_ms: int) -> None:
        """Have those ports take part that are to, and no others."""
        wanted = self._choose_ports()
        for port in [port for port in self._ports if port not in wanted]:
            self.rstp.remove_port(self._ports.pop(port))
            self._set_state(port, values.DISABLED)
        for port, settings in wanted.items():
            member = self._ports.get(port)
            if member is None:
                member = self._ports[port] = self.rstp.add_port(port.name)
            cost = settings.cost or values.path_cost(mbps_of(port))
            self.rstp.change_port(member, settings, cost)
            self._follow_state(port)
            self.rstp.set_link(member, is_usable(port, port.link()[0]))
        self._send_all(now_ms)
        self._apply()

    def _choose_ports(self) -> dict[OfPort, values.RstpPortSettings]:
        chosen: dict[OfPort, values.RstpPortSettings] = {}
        for bundle in tree_bundles(self._bridge):
            settings = bundle.settings.rstp
            if settings is None:
                continue
            if len(bundle.members) > 1:
                name = bundle.settings.name
                _bridge_log.err_rl("port %s: cannot enable RSTP on bonds, disabling", name)
            elif len(chosen) >= values.MAX_PORTS:
                name = bundle.settings.name
                _bridge_log.err_rl("port %s: too many RSTP ports, disabling", name)
            else:
                chosen[bundle.members[0]] = settings
        return chosen

    def receive(self, port: OfPort, frame: bytes, now_ms: int) -> None:
        """A frame to the group of bridges came in."""
        member = self._ports.get(port)
        bpdu = bpdu_of(frame)
        if member is not None and bpdu is not None:
            self.rstp.receive(member, bpdu)
            # What an answer says is to be so before it is said.
            self._apply()
            self._send_all(now_ms)

    def run(self, now_ms: int) -> None:
        is_due = now_ms - self._ticked_ms >= _TICK_MS
        for port, member in self._ports.items():
            self.rstp.set_link(member, is_usable(port, port.link()[0]))
        if is_due:
            self._ticked_ms = now_ms
            self.rstp.tick()
        self._send_all(now_ms)
        self._apply()

    def deadline(self) -> int | None:
        if self.rstp.packets or self.rstp.changed_ports:
            return 0
        return self._ticked_ms + _TICK_MS

    def announce_change(self, now_ms: int) -> None:
        """Have all machines look again (`rstp/tcn`)."""
        self.rstp.move_all()
        self._send_all(now_ms)

    def destroy(self) -> None:
        """The bridge has no tree any more: all ports forward."""
        for port in self._ports:
            self._set_state(port, values.DISABLED)
        self._ports.clear()

    def _send_all(self, now_ms: int) -> None:
        """Send what there is, and what answers from bridges behind patch ports add to it."""
        if self._is_sending:
            return
        self._is_sending = True
        try:
            while self.rstp.packets:
                packets, self.rstp.packets = self.rstp.packets, []
                for member, bpdu in packets:
                    self._send(member, bpdu, now_ms)
        finally:
            self._is_sending = False

    def _send(self, member: RstpPort, bpdu: bytes, now_ms: int) -> None:
        port = next((port for port, other in self._ports.items() if other is member), None)
        if port is not None:
            source = self._bridge.address_of(port)
            frame = build.ethernet_8023(GROUP, source, bpdu_payload(bpdu))
            self._bridge.send_packet(port, frame, now_ms)

    def _apply(self) -> None:
        """Carry out new states; forget, or move, what was learned where the tree changed."""
        changed, self.rstp.changed_ports = self.rstp.changed_ports, set()
        for port, member in self._ports.items():
            if member in changed:
                self._follow_state(port)
        move = self.rstp.root_move
        for member in self.rstp.take_flushes():
            bundle = self._bundle_of(member)
            if bundle is not None and (move is None or member is not move[0]):
                self._bridge.macs.forget_bundle(bundle)
                self._bridge.backer.config_changed()
        if move is not None:
            self.rstp.root_move = None
            old, new = self._bundle_of(move[0]), self._bundle_of(move[1])
            if old is not None and new is not None:
                self._bridge.macs.move_bundle(old, new)
                self._bridge.backer.config_changed()

    def _bundle_of(self, member: RstpPort) -> Bundle | None:
        port = next((port for port, other in self._ports.items() if other is member), None)
        return None if port is None else port.bundle

    def _follow_state(self, port: OfPort) -> None:
        self._set_state(port, self._ports[port].state)

    def _set_state(self, port: OfPort, state: str) -> None:
        old = self._states.get(port, values.DISABLED)
        if old == state:
            return
        log.dbg("port %s: RSTP state changed from %s to %s", port.name, old, state)
        self._states[port] = state
        if state == values.DISABLED:
            del self._states[port]
        learned = port.learns
        port.forwards, port.learns = state in values.FORWARDS, state in values.LEARNS
        if learned != port.learns and port.bundle is not None and not self._has_moved(port):
            self._bridge.macs.forget_bundle(port.bundle)
        self._bridge.port_state_changed(port, _STATE_BITS[state])

    def _has_moved(self, port: OfPort) -> bool:
        """Is it the old root port, whose addresses the new one gets?"""
        move = self.rstp.root_move
        return move is not None and self._ports.get(port) is move[0]

    # -- what people see -----------------------------------------------------------------

    def port_status(self, port: OfPort, now_ms: int) -> tuple[dict[str, str], dict[str, int]]:
        """Port.rstp_status and Port.rstp_statistics."""
        member = self._ports.get(port)
        if member is None:
            return {}, {}
        status = {
            "rstp_port_id": f"{member.id:04x}",
            "rstp_port_role": member.role,
            "rstp_port_state": member.state,
            "rstp_designated_bridge_id": values.format_bridge_id(member.vector.bridge),
            "rstp_designated_port_id": f"{member.vector.port:04x}",
            "rstp_designated_path_cost": str(member.vector.cost),
        }
        return status, {
            "rstp_tx_count": member.n_recent,
            "rstp_rx_count": member.n_received,
            "rstp_uptime": member.uptime_s,
            "rstp_error_count": member.n_errors,
        }

    def bridge_status(self) -> dict[str, str]:
        """Bridge.rstp_status."""
        root = self.rstp.root
        return {
            "rstp_bridge_id": values.format_bridge_id(self.rstp.bridge_id),
            "rstp_root_path_cost": str(root.cost),
            "rstp_root_id": values.format_bridge_id(root.root),
            "rstp_designated_id": values.format_bridge_id(root.bridge),
            "rstp_designated_port_id": f"{root.port:04x}",
            "rstp_bridge_port_id": f"{root.receiver:04x}",
        }

    def show(self) -> str:
        """The text of `rstp/show`."""
        tree = self.rstp
        lines = [f"---- {self._bridge.name} ----\n", "Root ID:\n"]
        if tree.is_root:
            lines += _describe(tree.bridge_id, tree.own_times)
            lines.append("  This bridge is the root\n")
        else:
            root = tree.root_port
            if root is None:
                return "".join([*lines, "unknown root port\n"])
            lines += _describe(tree.root.root, root.designated_times)
            lines.append(f"  root-port       {root.name}\n")
            lines.append(f"  root-path-cost  {tree.root.cost}\n")
        lines.append("\nBridge ID:\n")
        lines += _describe(tree.bridge_id, tree.own_times)
        lines.append("\n")
        lines.append("  Interface  Role       State      Cost     Pri.Nbr \n")
        lines.append("  ---------- ---------- ---------- -------- -------\n")
        lines += [
            f"  {port.name[:10]:<11}{port.role:<11}{port.state:<11}{port.cost:<9}"
            f"{port.priority}.{port.number}\n"
            for port in tree.all_ports()
        ]
        return "".join([*lines, "\n"])


def _describe(bridge_id: int, times: values.Times) -> list[str]:
    mac = (bridge_id & 0xFFFFFFFFFFFF).to_bytes(6, "big").hex(":")
    return [
        f"  stp-priority    {bridge_id >> 48}\n",
        f"  stp-system-id   {mac}\n",
        f"  stp-hello-time  {times.hello}s\n",
        f"  stp-max-age     {times.max_age}s\n",
        f"  stp-fwd-delay   {times.forward_delay}s\n",
    ]
