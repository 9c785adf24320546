"""What `vswitchd` and `programs` may ask of a bridge: the signatures of `bridge.Ofproto`.

A patch port has no device: `device` is None and `settings.peer` names its other end, found by name
among all bridges of the same backer. The local port (name of the bridge, ofport 65534) is added
like any other, with its internal device.

Connections: somebody else owns the sockets. `accept` is given each new OpenFlow connection as an
(already made) sans-IO machine and returns nothing; `run` reads its events, writes replies into it.
The owner moves bytes and reports the end with `forget`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from netloom.netdev.device import Device, DeviceStats
from netloom.ofproto.link_status import LinkStatus
from netloom.ofproto.settings import (
    BridgeSettings,
    BundleSettings,
    ControllerSettings,
    PortInfo,
    PortSettings,
)
from netloom.ofproto.trees import BridgeTreeStatus, PortTreeStatus
from netloom.openflow.connection import Connection


class Bridge(Protocol):
    """One OpenFlow switch."""

    name: str

    def configure(self, settings: BridgeSettings) -> None: ...

    def port_add(self, settings: PortSettings, device: Device | None) -> int:
        """Add a port and return its OpenFlow number; raises ConfigError with the text for the
        Interface row's `error`."""

    def port_configure(self, settings: PortSettings) -> None:
        """Apply changed settings (a patch port's new peer)."""

    def port_del(self, name: str) -> None:
        """Remove the port; its device is closed by the caller."""

    def has_port(self, name: str) -> bool:
        """Is it there? Somebody else may take ports away (`dpctl/del-if`)."""

    def bundle_set(self, settings: BundleSettings) -> None:
        """Make or change a bundle; ports that it names leave the bundle they were in."""

    def bundle_del(self, name: str) -> None: ...

    def ports(self) -> Sequence[PortInfo]: ...

    def devices_changed(self) -> None:
        """Links, addresses or other ends of patch ports may have changed: look, and tell
        controllers."""

    def device_stats(self, name: str) -> DeviceStats | None:
        """Counters of a port, for its Interface row; None if there is no such port."""

    def mirror_stats(self, mirror_id: str) -> tuple[int, int] | None:
        """Packets and bytes that a mirror has copied; None if there is no such mirror."""

    status_version: int

    def port_status(self, bundle: str) -> PortTreeStatus:
        """How a port fares in a spanning tree."""

    def active_member(self, bundle: str) -> str:
        """Port.bond_active_slave: the address of the active member of a bond; empty for none."""

    def link_status(self, name: str) -> LinkStatus:
        """What protocols know of an interface's link: LACP, BFD, CFM."""

    def bridge_status(self) -> BridgeTreeStatus:
        """How the bridge fares in a spanning tree."""

    def accept(self, machine: Connection, controller: ControllerSettings | None) -> None:
        """Serve a connection: of `controller`, or of the management socket (None)."""

    def serve(self, machine: Connection) -> bool:
        """Carry out what `machine` has just received, between turns. True if `run` should be
        called at once, or others have output: else its own is all."""

    def forget(self, machine: Connection) -> None:
        """The connection is gone."""

    def run(self, now_ms: int) -> None: ...

    def deadline(self) -> int | None: ...

    def destroy(self) -> None: ...
