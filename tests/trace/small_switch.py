"""Whole bridges in one process, on dummy devices and a clock that stands still."""

from __future__ import annotations

from collections.abc import Mapping

from trace_cases import TraceCase, fdb_entries

from netloom.base.clock import ManualClock
from netloom.base.counters import Counters
from netloom.base.record import replace
from netloom.datapath.offload import OffloadPolicy
from netloom.datapath.userspace.dpif import UserspaceDpif
from netloom.netdev.dummy import DummyFactory
from netloom.ofproto.appctl import OfprotoCommands
from netloom.ofproto.backer import Backer
from netloom.ofproto.bridge import Ofproto
from netloom.ofproto.settings import (
    BridgeSettings,
    BundleSettings,
    ExportSettings,
    MirrorSettings,
    PortSettings,
)
from netloom.openflow import messages as m
from netloom.openflow import messages_groups as g
from netloom.openflow.codec import decode_message, encode_message
from netloom.openflow.flow_text import parse_flow_mod
from netloom.openflow.group_text import parse_group_mod
from netloom.openflow.protocol import P_OF13, P_OF15
from netloom.telemetry.ipfix import IpfixSettings


class SmallSwitch:
    """One backer; what a daemon does with database rows, done by hand."""

    def __init__(self, policy: OffloadPolicy | None = None) -> None:
        self.clock = ManualClock(1_000_000)
        self.counters = Counters()
        self.dpif = UserspaceDpif("dummy", "ovs-dummy", self.clock, self.counters, policy)
        self.backer = Backer("dummy", self.dpif, self.clock, self.counters)
        self.devices = DummyFactory(None, "override")
        commands = OfprotoCommands(lambda: [self.backer], self.clock).commands()
        self.commands = {command.name: command.handler for command in commands}

    def add_bridge(self, name: str, fail_mode: str = "secure") -> Ofproto:
        number = len(self.backer.bridges) + 1
        bridge = self.backer.add_bridge(name)
        bridge.configure(BridgeSettings(name, number, fail_mode))
        self._add_device(bridge, PortSettings(name, "internal"))
        bridge.bundle_set(BundleSettings(name, (name,)))
        return bridge

    def _add_device(self, bridge: Ofproto, settings: PortSettings) -> None:
        device = self.devices.open(settings.name, settings.type, {})
        device.set_admin_up(True)
        bridge.port_add(settings, device)

    def add_port(
        self, bridge: str, name: str, number: int, options: Mapping[str, str], peer: str = ""
    ) -> None:
        ofproto = self.backer.bridges[bridge]
        if peer:
            ofproto.port_add(PortSettings(name, "patch", number, peer), None)
        else:
            self._add_device(ofproto, PortSettings(name, "dummy", number))
        tag = int(options.get("tag", "-1"))
        ofproto.bundle_set(
            BundleSettings(
                name,
                (name,),
                vlan_mode=options.get("vlan_mode", "access" if tag >= 0 else "trunk"),
                tag=tag,
                trunks=_numbers(options.get("trunks", "")),
                cvlans=_numbers(options.get("cvlans", "")),
                priority_tags=options.get("other_config:priority-tags", "no-tag"),
            )
        )

    def add_sampler(self, bridge: str) -> None:
        ofproto = self.backer.bridges[bridge]
        exports = ExportSettings(collector_sets=(IpfixSettings(("127.0.0.1:4739",), set_id=1),))
        ofproto.configure(replace(ofproto.settings, exports=exports))

    def add_mirror(self, bridge: str, name: str, options: Mapping[str, str]) -> None:
        ofproto = self.backer.bridges[bridge]
        ports = frozenset(ofproto.bundles) if "all" in options else frozenset()
        mirror = MirrorSettings(
            name,
            name,
            sources=ports | _names(options.get("src", "")),
            targets=ports | _names(options.get("dst", "")),
            vlans=_numbers(options.get("vlans", "")),
            output_port=options.get("port", ""),
            output_vlan=int(options.get("vlan", "0")),
            snaplen=int(options.get("snaplen", "0")),
        )
        settings = ofproto.settings
        ofproto.configure(replace(settings, mirrors=(*settings.mirrors, mirror)))

    def replace_flows(self, bridge: str, flows: str) -> None:
        ofproto = self.backer.bridges[bridge]
        ofproto.tables.apply(m.FlowMod(m.OFPFC_DELETE), self.clock.now_ms())
        for line in flows.splitlines():
            self.add_flow(bridge, line)

    def replace_groups(self, bridge: str, groups: str) -> None:
        ofproto = self.backer.bridges[bridge]
        ofproto.groups.apply(g.GroupMod(g.OFPGC_DELETE, g.OFPG_ALL), self.clock.now_ms())
        for line in groups.splitlines():
            mod, _ = parse_group_mod(line, g.OFPGC_ADD)
            received, _ = decode_message(encode_message(mod, 1, P_OF15), P_OF15)
            assert isinstance(received, g.GroupMod)
            ofproto.groups.apply(received, self.clock.now_ms())

    def add_flow(self, bridge: str, flow: str) -> None:
        mod, _ = parse_flow_mod(flow, m.OFPFC_ADD)
        self.backer.bridges[bridge].tables.apply(_as_received(mod), self.clock.now_ms())

    def use_prefixes(self, bridge: str, fields: tuple[str, ...]) -> None:
        for table in range(10):
            self.backer.bridges[bridge].tables.table(table).classifier.set_prefixes(fields)

    def control(self, command: str, *args: str) -> str:
        return self.commands[command](list(args))

    def dp_ports(self) -> dict[str, str]:
        """Data-path port number -> name."""
        return {str(number): name for number, name in self.backer.port_names().items()}


def small_switch_of(case: TraceCase) -> SmallSwitch:
    """A switch with the setup and the flows of a trace case."""
    switch = SmallSwitch()
    for kind, bridge, *words in case.setup:
        if kind == "bridge":
            switch.add_bridge(bridge)
        elif kind in ("port", "patch"):
            name, number, *options = words
            peer = options.pop(0) if kind == "patch" else ""
            pairs = dict(option.split("=") for option in options)
            switch.add_port(bridge, name, int(number), pairs, peer)
        elif kind == "sampler":
            switch.add_sampler(bridge)
        elif kind == "mirror":
            name, *options = words
            switch.add_mirror(bridge, name, dict(word.partition("=")[::2] for word in options))
    for words in fdb_entries(case):
        switch.control("fdb/add", *words)
    for bridge, groups in case.groups.items():
        switch.replace_groups(bridge, groups)
    for bridge, flows in case.flows.items():
        switch.replace_flows(bridge, flows)
    return switch


def _as_received(mod: m.FlowMod) -> m.FlowMod:
    """`mod` as a switch sees it that is sent OpenFlow 1.3, whose encoding renames actions."""
    received, _ = decode_message(encode_message(mod, 1, P_OF13), P_OF13)
    assert isinstance(received, m.FlowMod)
    return received


def _numbers(text: str) -> frozenset[int]:
    return frozenset(int(word) for word in text.split(",") if word)


def _names(text: str) -> frozenset[str]:
    return frozenset(word for word in text.split(",") if word)
