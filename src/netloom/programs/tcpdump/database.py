"""What `ovs-tcpdump` asks the database and changes in it: bridges, their ports, one mirror."""

from __future__ import annotations

import time

from netloom.programs.outcome import Fatal
from netloom.programs.ovsdb_link import Link, LinkError, open_link
from netloom.rpc.jsonrpc import Error, Reply, Request
from netloom.transport.sync_stream import Deadline
from netloom.transport.tls_settings import TlsSettings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DATABASE = "Open_vSwitch"
#: How long the switch may take to set up the mirror.
_PATIENCE_S = 10
_POLL_S = 0.02


def _uuids(value: Any) -> list[str]:
    """The members of a column of references: a set, or one of them."""
    if value[0] == "set":
        return [member[1] for member in value[1]]
    return [value[1]]


def _set(uuids: list[str]) -> list[Any]:
    return ["set", [["uuid", uuid] for uuid in uuids]]


class Port:
    """A port of a bridge, by the rows' identities."""

    def __init__(self, bridge: str, uuid: str) -> None:
        self.bridge = bridge
        self.uuid = uuid


class MirrorDatabase:
    """A connection to the database server at `remote`; `Fatal` if there is none."""

    def __init__(self, remote: str) -> None:
        self._next_id = 0
        try:
            self._link: Link = open_link(remote, Deadline(), TlsSettings())
        except LinkError:
            raise Fatal(f"Unable to connect to {remote}") from None

    def close(self) -> None:
        self._link.close()

    def _transact(self, *operations: dict[str, Any]) -> list[Any]:
        number, self._next_id = self._next_id, self._next_id + 1
        try:
            self._link.send(Request("transact", [DATABASE, *operations], number))
            while True:
                message = self._link.next_event()
                if isinstance(message, Reply | Error) and message.id == number:
                    break
        except LinkError as error:
            raise Fatal(f"Error: lost the database ({error})") from None
        if isinstance(message, Error):
            raise Fatal(f"Error: the database refuses: {message.error}")
        for result in message.result:
            if result and "error" in result:
                raise Fatal(f"Error: {result['error']}: {result.get('details', '')}")
        return list(message.result)

    def _select(self, table: str, *columns: str, **where: Any) -> list[dict[str, Any]]:
        conditions = [[column, "==", value] for column, value in where.items()]
        select = {"op": "select", "table": table, "where": conditions, "columns": list(columns)}
        rows: list[dict[str, Any]] = self._transact(select)[0]["rows"]
        return rows

    # Questions

    def find_port(self, name: str) -> Port | None:
        """The port of that name, and its bridge."""
        rows = self._select("Port", "_uuid", name=name)
        if not rows:
            return None
        uuid = rows[0]["_uuid"][1]
        for bridge in self._select("Bridge", "_uuid", "ports"):
            if uuid in _uuids(bridge["ports"]):
                return Port(bridge["_uuid"][1], uuid)
        return None

    def mtu(self, name: str) -> int | None:
        """The MTU of an interface, if the switch has told."""
        for row in self._select("Interface", "mtu", name=name):
            if isinstance(row["mtu"], int):
                return row["mtu"]
        return None

    def is_output(self, port: Port) -> bool:
        """Does a mirror send packets to the port?"""
        rows = self._select("Mirror", "output_port")
        return any(port.uuid in _uuids(row["output_port"]) for row in rows)

    # Changes

    def add_port(self, bridge: str, name: str) -> None:
        """Have the device `name` be a port of the bridge."""
        self._transact(
            {"op": "insert", "table": "Interface", "uuid-name": "i", "row": {"name": name}},
            {
                "op": "insert", "table": "Port", "uuid-name": "p",
                "row": {"name": name, "interfaces": ["named-uuid", "i"]},
            },
            {
                "op": "mutate", "table": "Bridge", "where": [["_uuid", "==", ["uuid", bridge]]],
                "mutations": [["ports", "insert", ["set", [["named-uuid", "p"]]]]],
            },
            self._next_configuration(),
        )  # fmt: skip

    def add_mirror(
        self, port: Port, name: str, to: str, *, spans: bool, filter_text: str | None
    ) -> None:
        """Have all packets of the port, or of all ports, sent to the port `to` as well."""
        target = self.find_port(to)
        if target is None:
            raise Fatal(f"Error: {to} is no port")
        selected = _set([port.uuid])
        row: dict[str, Any] = {
            "name": name,
            "select_all": spans,
            "select_src_port": selected,
            "select_dst_port": selected,
            "output_port": ["uuid", target.uuid],
        }
        if filter_text is not None:
            row["filter"] = filter_text
        self._transact(
            {"op": "insert", "table": "Mirror", "uuid-name": "m", "row": row},
            {
                "op": "mutate", "table": "Bridge",
                "where": [["_uuid", "==", ["uuid", port.bridge]]],
                "mutations": [["mirrors", "insert", ["set", [["named-uuid", "m"]]]]],
            },
            self._next_configuration(),
        )  # fmt: skip

    def remove_mirror(self, bridge: str, name: str, to: str) -> None:
        """Have the bridge no longer mirror to the port `to` by that name."""
        target = self.find_port(to)
        rows = self._select("Mirror", "_uuid", "output_port", name=name)
        ours = [
            row["_uuid"][1]
            for row in rows
            if target is not None and target.uuid in _uuids(row["output_port"])
        ]
        self._remove(bridge, "mirrors", ours)

    def remove_port(self, bridge: str, name: str) -> None:
        """Have the bridge no longer use the device."""
        rows = self._select("Port", "_uuid", name=name)
        self._remove(bridge, "ports", [row["_uuid"][1] for row in rows])

    def _remove(self, bridge: str, column: str, uuids: list[str]) -> None:
        self._transact(
            {
                "op": "mutate", "table": "Bridge", "where": [["_uuid", "==", ["uuid", bridge]]],
                "mutations": [[column, "delete", _set(uuids)]],
            },
            self._next_configuration(),
        )  # fmt: skip

    def _next_configuration(self) -> dict[str, Any]:
        """Asks the switch to say when it has caught up."""
        return {
            "op": "mutate", "table": "Open_vSwitch", "where": [],
            "mutations": [["next_cfg", "+=", 1]],
        }  # fmt: skip

    def wait_for_switch(self) -> bool:
        """Wait until the switch has done what was asked for; False if it takes too long."""
        (row,) = self._select("Open_vSwitch", "next_cfg")
        give_up = time.monotonic() + _PATIENCE_S
        while time.monotonic() < give_up:
            if self._select("Open_vSwitch", "cur_cfg")[0]["cur_cfg"] >= row["next_cfg"]:
                return True
            time.sleep(_POLL_S)
        return False
