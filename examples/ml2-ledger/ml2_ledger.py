"""A mechanism driver that keeps a ledger of networks and ports for another system to read.

    [ml2]
    mechanism_drivers = openvswitch,ledger
    [ml2_ledger]
    path = /var/lib/netloom/ledger
    hosts = shelf1,shelf2

Names that begin with `forbidden` are vetoed. Ports at the hosts of the option are bound by this
driver: it says that what drives them is a device called `shelf`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from netloom.base.errors import ConfigError
from netloom.network.document import Change, Document
from netloom.network.errors import fail
from netloom.network.ml2.interfaces import Binding, Segment
from netloom.network.settings import Settings

if TYPE_CHECKING:
    from netloom.network.store.transaction import Transaction

SECTION = "[ml2_ledger]"
OPTIONS = frozenset({"path", "hosts"})


class LedgerDriver:
    """Made once in each worker, with the configuration; what is wrong there is a `ConfigError`."""

    name = "ledger"
    #: What `postcommit` hears of. It is called for no other kind.
    postcommit_kinds = frozenset({"network", "port"})

    def __init__(self, settings: Settings) -> None:
        options = settings.drivers.get(self.name, {})
        if unknown := sorted(options.keys() - OPTIONS):
            raise ConfigError(f"no such option: {unknown[0]}", SECTION)
        if "path" not in options:
            raise ConfigError("a ledger needs it", f"{SECTION} path")
        self._path = Path(options["path"])
        self._hosts = frozenset(options.get("hosts", "").split(",")) - {""}

    def precommit(self, change: Change, tx: Transaction) -> None:
        """Inside the transaction, for every kind: quick, and nothing that cannot be undone. An
        `ApiError` undoes the whole request and is its answer."""
        if str(change.document.get("name", "")).startswith("forbidden"):
            raise fail("MechanismDriverError", message="the ledger has no line for that name")

    def postcommit(self, change: Change) -> None:
        """After the commit, by any worker, in the order of commits; again and again until it
        returns. So the same change may come twice, and must do no harm."""
        thing = change.document
        line = f"{thing['revision_number']} {change.operation} {change.kind} {thing['id']}\n"
        if self._path.exists() and line in self._path.read_text():
            return
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    def bind(
        self, port: Document, segments: Sequence[Segment], agents: Sequence[Document]
    ) -> Binding | None:
        """How a port is bound at `binding:host_id`; None leaves it to the next driver."""
        if port["binding:host_id"] not in self._hosts:
            return None
        for index, segment in enumerate(segments):
            if segment.network_type == "vlan":
                details = {"device": "shelf", "vlan": segment.segmentation_id}
                return Binding(index, "other", MappingProxyType(details))
        return None
