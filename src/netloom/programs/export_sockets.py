"""What exporters of flows need of the machine: sockets, and what the process takes."""

from __future__ import annotations

import resource
from collections.abc import Iterable, Sequence

from netloom.ofproto.export_host import Collector, ExportHost, Resources
from netloom.transport.datagrams import open_collectors


class SocketHost(ExportHost):
    """See the module."""

    def open_collectors(self, targets: Iterable[str], default_port: int) -> Sequence[Collector]:
        return open_collectors(targets, default_port)

    def resources(self) -> Resources:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return Resources(
            int(used.ru_utime * 1_000),
            int(used.ru_stime * 1_000),
            used.ru_maxrss * 1_024,
        )
