"""Devices of agents as ports of the integration bridge."""

from __future__ import annotations

from collections.abc import Iterable

from netloom.network.agents.links import DatabaseLink, SwitchFailed
from netloom.network.agents.rooms import Link
from netloom.ovsdb.idl import Idl
from netloom.ovsdb.idl_txn import Transaction
from netloom.ovsdb.row import Row

WANTED: dict[str, tuple[str, ...]] = {
    "Open_vSwitch": ("bridges", "next_cfg"),
    "Bridge": ("name", "ports"),
    "Port": ("name", "interfaces", "external_ids"),
    "Interface": ("name", "external_ids"),
}
#: Marks ports as those of one agent of the host, so that it knows which to remove.
OWNER = "netloom-agent"


class Plugs:
    """Keeps the ports of one agent on a bridge as wished."""

    def __init__(self, idl: Idl, database: DatabaseLink, bridge: str, owner: str) -> None:
        self._idl = idl
        self._database = database
        self._bridge = bridge
        self._owner = owner

    async def set(self, links: Iterable[Link]) -> None:
        """Have these links plugged in, and no others of this agent."""
        if not self._idl.synced:
            raise SwitchFailed("the switch's database is not there")
        bridge = next(
            (row for row in self._idl.rows("Bridge") if row.text("name") == self._bridge), None
        )
        if bridge is None:
            raise SwitchFailed(f"no bridge {self._bridge} yet")
        txn = Transaction(self._idl)
        wanted = {link.outer: link for link in links}
        ports = {row.text("name"): row for row in self._idl.refs(bridge, "ports")}
        stale = [
            row.uuid
            for name, row in ports.items()
            if row.mapping("external_ids").get(OWNER) == self._owner and name not in wanted
        ]
        if stale:
            txn.remove_elements(bridge, "ports", stale)
        for name, link in wanted.items():
            if name not in ports:
                self._plug(txn, bridge, link)
        txn.increment(self._idl.rows("Open_vSwitch")[0], "next_cfg")
        await self._database.commit(txn)

    def _plug(self, txn: Transaction, bridge: Row, link: Link) -> None:
        interface = txn.insert("Interface")
        txn.set(interface, "name", link.outer)
        txn.put_pairs(
            interface,
            "external_ids",
            {"attached-mac": link.mac, "iface-id": link.port_id, "iface-status": "active"},
        )
        port = txn.insert("Port")
        txn.set(port, "name", link.outer)
        txn.set(port, "interfaces", (interface.uuid,))
        txn.put_pairs(port, "external_ids", {OWNER: self._owner})
        txn.add_elements(bridge, "ports", (port.uuid,))
