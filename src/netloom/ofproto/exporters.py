"""All that a bridge exports of its packets: NetFlow, sFlow, IPFIX, samples for this machine.

The data path samples, by actions that translations make (`translate.sampling`); what it sends up
names the bridge whose exporter is to see it, for a packet may pass several. A bridge without
exporters has None of these objects, which is all that its packets ask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netloom.base.log import get_logger
from netloom.ofproto.export_ipfix import IpfixExport
from netloom.ofproto.export_netflow import NetflowExport
from netloom.ofproto.export_sflow import SflowExport
from netloom.packet.offload import finish_offload

if TYPE_CHECKING:
    from netloom.datapath.dpif import Upcall
    from netloom.ofproto.backer import Backer
    from netloom.ofproto.bridge import Ofproto
    from netloom.ofproto.settings import ExportSettings

log: Final = get_logger("bridge")

#: Kinds of upcalls that are for exporters -> which member of the cookie names the bridge.
EXPORTED: Final = {"sflow": 3, "ipfix": 1, "flow_sample": 6}


class Exporters:
    """See the module."""

    def __init__(self, bridge: Ofproto) -> None:
        self._bridge = bridge
        self.netflow: NetflowExport | None = None
        self.sflow: SflowExport | None = None
        self.ipfix: IpfixExport | None = None
        #: Collector sets that are sampled on this machine -> psample group.
        self._local_groups: dict[int, int] = {}
        self._settings: ExportSettings | None = None
        self._routes_at = -1

    def configure(self, settings: ExportSettings) -> None:
        """Begin, change and end what is exported."""
        self._settings = settings
        self._routes_at = self._bridge.backer.underlay.routes.generation
        self._configure_netflow(settings)
        self._configure_sflow(settings)
        self._configure_ipfix(settings)
        self._local_groups = dict(settings.local_groups)
        if self._local_groups and not self._bridge.backer.features.has("psample"):
            log.warn(
                "bridge %s: ignoring local sampling configuration: not supported by this datapath",
                self._bridge.name,
            )

    def local_group(self, set_id: int) -> int | None:
        """The psample group of a collector set; None if it has none, or the data path has no such
        action."""
        if not self._bridge.backer.features.has("psample"):
            return None
        return self._local_groups.get(set_id)

    def _configure_netflow(self, settings: ExportSettings) -> None:
        if settings.netflow is None:
            if self.netflow is not None:
                self.netflow.close()
            self.netflow = None
        elif self.netflow is None:
            self.netflow = NetflowExport(self._bridge, settings.netflow)
        else:
            self.netflow.configure(settings.netflow)

    def _configure_sflow(self, settings: ExportSettings) -> None:
        if settings.sflow is None:
            if self.sflow is not None:
                self.sflow.close()
            self.sflow = None
        elif self.sflow is None:
            self.sflow = SflowExport(self._bridge, settings.sflow)
        else:
            self.sflow.configure(settings.sflow)

    def _configure_ipfix(self, settings: ExportSettings) -> None:
        if settings.ipfix is None and not settings.collector_sets:
            if self.ipfix is not None:
                self.ipfix.close()
            self.ipfix = None
            return
        if self.ipfix is None:
            self.ipfix = IpfixExport(self._bridge)
        self.ipfix.configure(settings.ipfix, settings.collector_sets)

    @property
    def is_empty(self) -> bool:
        exporters = self.netflow, self.sflow, self.ipfix
        return exporters == (None, None, None) and not self._local_groups

    def run(self, now_ms: int) -> None:
        """Tell what has to be told."""
        backer = self._bridge.backer
        if self._settings is not None and backer.underlay.routes.generation != self._routes_at:
            # Collectors may be reached now that could not be, or know this host by another address.
            self.configure(self._settings)
            backer.config_changed()
        for exporter in (self.netflow, self.sflow, self.ipfix):
            if exporter is not None:
                exporter.run(now_ms)

    def deadline(self) -> int | None:
        due = [
            exporter.deadline()
            for exporter in (self.netflow, self.sflow, self.ipfix)
            if exporter is not None
        ]
        return min((at for at in due if at is not None), default=None)


def configured_exporters(
    bridge: Ofproto, exporters: Exporters | None, settings: ExportSettings
) -> Exporters | None:
    """What the bridge has for these settings; None if nothing is to be exported."""
    found = exporters or Exporters(bridge)
    found.configure(settings)
    return None if found.is_empty else found


def export(backer: Backer, upcall: Upcall, now_ms: int) -> None:
    """Show a packet that was sampled to the exporter that it is for."""
    cookie = upcall.cookie
    place = EXPORTED[upcall.kind]
    if len(cookie) <= place:
        # A person has put that flow into the data path.
        return
    bridge = backer.bridges.get(str(cookie[place]))
    exporters = bridge.exporters if bridge is not None else None
    if exporters is None:
        return
    packets = [upcall.packet]
    if upcall.offload is not None:
        packets = finish_offload(upcall.packet, upcall.offload)
    for packet in packets:
        if upcall.kind == "sflow":
            if exporters.sflow is not None:
                exporters.sflow.receive(upcall, packet, now_ms)
        elif exporters.ipfix is not None:
            exporters.ipfix.receive(upcall, packet, now_ms)
