"""STP on a bridge: which ports take part, their BPDUs, and what their states mean to packets.

`protocols.stp` decides; this carries it out: a port that does not forward drops what comes in and
is left out by outputs (`translate`), learned addresses are flushed, controllers told of states.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.base.log import get_logger
from netloom.ofproto.settings import StpPortSettings, StpSettings
from netloom.ofproto.tree_ports import bpdu_of, bpdu_payload, mbps_of, tree_bundles
from netloom.openflow import messages as m
from netloom.packet import build
from netloom.protocols import stp

if TYPE_CHECKING:
    from netloom.ofproto.bridge import Ofproto
    from netloom.ofproto.ports import OfPort

log = get_logger("ofproto_dpif")

GROUP = bytes.fromhex("0180c2000000")
#: What OpenFlow calls the states.
_STATE_BITS = {
    stp.DISABLED: 0,
    stp.LISTENING: m.OFPPS_STP_LISTEN,
    stp.LEARNING: m.OFPPS_STP_LEARN,
    stp.FORWARDING: m.OFPPS_STP_FORWARD,
    stp.BLOCKING: m.OFPPS_STP_BLOCK,
}


class SpanningTree:
    """The tree of one bridge."""

    #: As warnings call it.
    protocol = "STP"

    def __init__(self, bridge: Ofproto, settings: StpSettings, now_ms: int) -> None:
        self._bridge = bridge
        self.stp = stp.Stp(bridge.name, settings.bridge_id, now_ms)
        self._ports: dict[int, OfPort] = {}
        #: Its configuration makes no sense: it is as if there were no tree.
        self.is_disabled = False
        self._links: dict[OfPort, bool] = {}
        self._states: dict[OfPort, str] = {}
        self.configure(settings, now_ms)

    def configure(self, settings: StpSettings, now_ms: int) -> None:
        times = (settings.max_age_ms, settings.hello_ms, settings.forward_delay_ms)
        self.stp.configure(settings.bridge_id, times, now_ms)
        self.follow_ports(now_ms)

    def follow_ports(self, now_ms: int) -> None:
        """Have those ports take part that are to, and no others."""
        before = self._links
        wanted = self._choose_ports()
        for port in before.keys() - self._links.keys():
            port.forwards = port.learns = True
        gone = [n for n, port in self._ports.items() if wanted.get(n, (None,))[0] is not port]
        staying = {port for port, _ in wanted.values()}
        for number in gone:
            self.stp.remove_port(number, now_ms)
            port = self._ports.pop(number)
            # One that only gets another number goes on from the state that it is in.
            if port not in staying:
                self._set_free(port)
        for number, (port, settings) in wanted.items():
            cost = settings.cost or stp.path_cost(mbps_of(port))
            if number in self._ports:
                self.stp.change_port(number, settings.priority, cost, now_ms)
            else:
                self._ports[number] = port
                self.stp.add_port(number, settings.priority, cost, now_ms)
        self._apply()
        self._close_ports_without_link()

    def _close_ports_without_link(self) -> None:
        """A port whose link is down takes no part, and nothing else may use it meanwhile."""
        for port, is_up in self._links.items():
            if not is_up and port.forwards:
                port.forwards = port.learns = False
                self._bridge.backer.config_changed()

    def _choose_ports(self) -> dict[int, tuple[OfPort, StpPortSettings]]:
        """STP's port number -> port; numbers are given by people to all ports or to none."""
        candidates = []
        for bundle in tree_bundles(self._bridge):
            settings = bundle.settings.stp
            if settings is None:
                continue
            if len(bundle.members) > 1:
                name = bundle.settings.name
                log.err_rl("port %s: cannot enable STP on bonds, disabling", name)
            else:
                candidates.append((bundle.members[0], settings))
        chosen: dict[int, tuple[OfPort, StpPortSettings]] = {}
        numbers = [settings.number for _, settings in candidates]
        self.is_disabled = any(numbers) and not all(numbers)
        if self.is_disabled:
            self._links = {}
            log.err_rl("bridge %s: must manually configure all STP port IDs or none, disabling",
                       self._bridge.name)  # fmt: skip
            return {}
        for place, (port, settings) in enumerate(candidates, 1):
            number = settings.number or place
            if number > stp.MAX_PORTS:
                log.warn_rl("port %s: too many STP ports, disabling", port.name)
            elif number in chosen:
                log.warn_rl("port %s: duplicate stp-port-num %d, disabling", port.name, number)
            else:
                chosen[number] = port, settings
        self._links = {port: port.link()[0] for port, _ in chosen.values()}
        return {number: found for number, found in chosen.items() if self._links[found[0]]}

    def receive(self, port: OfPort, frame: bytes, now_ms: int) -> None:
        """A frame to the group of bridges came in."""
        number = self.number_of(port)
        if number is None:
            return
        payload = bpdu_of(frame)
        if payload is not None:
            self.stp.receive(number, payload, now_ms)

    def number_of(self, port: OfPort) -> int | None:
        """STP's number of a port, if it takes part."""
        return next((number for number, other in self._ports.items() if other is port), None)

    def run(self, now_ms: int) -> None:
        changed = [port for port, was_up in self._links.items() if port.link()[0] != was_up]
        for member in changed:
            words = ("down", "disabling") if self._links[member] else ("up", "enabling")
            log.dbg("bridge %s, port %s is %s, %s it.", self._bridge.name, member.name, *words)
        if changed:
            self.follow_ports(now_ms)
        self.stp.run(now_ms)
        self._apply()
        packets, self.stp.packets = self.stp.packets, []
        for number, payload in packets:
            if (target := self._ports.get(number)) is not None:
                frame = build.ethernet_8023(
                    GROUP, self._bridge.address_of(target), bpdu_payload(payload)
                )
                self._bridge.send_packet(target, frame, now_ms)

    def deadline(self) -> int | None:
        if self.stp.packets or self.stp.changed_ports or self.stp.flush:
            return 0
        return self.stp.deadline()

    def announce_change(self, now_ms: int) -> None:
        self.stp.announce_change(now_ms)

    def destroy(self) -> None:
        """The bridge has no tree any more: all ports forward."""
        for port in self._links:
            self._set_free(port)
            port.forwards = port.learns = True
        self._ports.clear()
        self._links.clear()

    def _apply(self) -> None:
        changed, self.stp.changed_ports = self.stp.changed_ports, set()
        for number in sorted(changed):
            port = self._ports.get(number)
            if port is not None:
                self._set_state(port, self.stp.ports[number].state)
        if self.stp.flush:
            self.stp.flush = False
            self._bridge.macs.flush()
            if self._bridge.mcast is not None:
                self._bridge.mcast.flush()

    def _set_state(self, port: OfPort, state: str) -> None:
        old = self._states.get(port, stp.DISABLED)
        if state == old:
            return
        log.dbg("port %s: STP state changed from %s to %s", port.name, old, state)
        self._states[port] = state
        learned = port.learns
        port.forwards, port.learns = state in stp.FORWARDS, state in stp.LEARNS
        port.relays_bpdus = state != stp.BLOCKING
        if learned != port.learns and port.bundle is not None:
            self._bridge.macs.forget_bundle(port.bundle)
        self._bridge.port_state_changed(port, _STATE_BITS[state])

    def _set_free(self, port: OfPort) -> None:
        self._set_state(port, stp.DISABLED)

    # -- what people see -----------------------------------------------------------------

    def port_status(self, port: OfPort, now_ms: int) -> tuple[dict[str, str], dict[str, int]]:
        """Port.status and Port.statistics."""
        number = self.number_of(port)
        if number is None:
            return {}, {}
        seen = self.stp.ports[number]
        status = {
            "stp_port_id": str(seen.id),
            "stp_state": seen.state,
            "stp_sec_in_state": str((now_ms - seen.since_ms) // 1_000),
            "stp_role": self.stp.role(seen),
        }
        return status, {
            "stp_tx_count": seen.n_sent,
            "stp_rx_count": seen.n_received,
            "stp_error_count": seen.n_errors,
        }

    def bridge_status(self) -> dict[str, str]:
        """Bridge.status."""
        if self.is_disabled:
            return {}
        return {
            "stp_bridge_id": stp.format_bridge_id(self.stp.bridge_id),
            "stp_designated_root": stp.format_bridge_id(self.stp.designated_root),
            "stp_root_path_cost": str(self.stp.root_cost),
        }

    def show(self) -> str:
        """The text of `stp/show`."""
        tree = self.stp
        age, hello, delay = tree.own_times_ms
        lines = [f"---- {self._bridge.name} ----\n", "Root ID:\n"]
        # As with Open vSwitch, the times under the root are those that this bridge would have if
        # it were the root, and those under the bridge are in force.
        lines += _describe(tree.designated_root, hello, age, delay)
        if tree.is_root:
            lines.append("  This bridge is the root\n\n")
        else:
            root = next(n for n, p in tree.ports.items() if p is tree.root_port)
            lines.append(f"  root-port       {self._ports[root].name}\n")
            lines.append(f"  root-path-cost  {tree.root_cost}\n\n")
        lines.append("Bridge ID:\n")
        lines += _describe(tree.bridge_id, tree.hello_ms, tree.max_age_ms, tree.forward_delay_ms)
        lines.append("\n")
        row = "  {:<10.10} {:<10.10} {:<10.10} {:<5.5} {}\n"
        lines.append(row.format("Interface", "Role", "State", "Cost", "Pri.Nbr "))
        lines.append("  ---------- ---------- ---------- ----- -------\n")
        for number in sorted(tree.ports):
            port = tree.ports[number]
            identity = f"{port.priority}.{number}"
            lines.append(
                f"  {self._ports[number].name:<10} {tree.role(port):<10} {port.state:<10} "
                f"{port.cost:<5} {identity}\n"
            )
        return "".join([*lines, "\n"])


def _describe(bridge_id: int, hello_ms: int, age_ms: int, delay_ms: int) -> list[str]:
    mac = (bridge_id & 0xFFFFFFFFFFFF).to_bytes(6, "big").hex(":")
    return [
        f"  stp-priority  {bridge_id >> 48}\n",
        f"  stp-system-id   {mac}\n",
        f"  stp-hello-time  {hello_ms // 1_000}s\n",
        f"  stp-max-age     {age_ms // 1_000}s\n",
        f"  stp-fwd-delay   {delay_ms // 1_000}s\n",
    ]
