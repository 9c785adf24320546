"""Bridges, ports and interfaces by name, with fake bridges taken apart.

A fake bridge is a port with `fake_bridge` and a VLAN: ports of its real bridge with the same VLAN
count as the fake bridge's. To most commands it is a bridge like any other.

Where the database breaks its own rules (two ports of one name), the first one counts, and the
user is warned.
"""

from __future__ import annotations

from netloom.base.errors import CommandError
from netloom.ovsdb.uuids import Uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.ovsdb.row import Row
    from netloom.programs.db_ctl.context import Context, Needs, Run


def need_model(needs: Needs) -> None:
    """What a `Model` reads."""
    needs.columns("Open_vSwitch", "bridges")
    needs.columns("Bridge", "name", "controller", "fail_mode", "ports")
    needs.columns("Port", "name", "fake_bridge", "tag", "interfaces")
    needs.columns("Interface", "name", "ofport", "error")


class BridgeNode:
    """A real bridge (`row` is in Bridge) or a fake one (`row` is its Port, `parent` is set)."""

    __slots__ = ("children", "name", "parent", "ports", "row", "vlan")

    def __init__(self, name: str, row: Row, parent: BridgeNode | None, vlan: int) -> None:
        self.name = name
        self.row = row
        self.parent = parent
        self.vlan = vlan
        #: Fake bridges on this one by VLAN.
        self.children: dict[int, BridgeNode] = {}
        self.ports: list[PortNode] = []

    @property
    def real(self) -> BridgeNode:
        return self.parent or self


class PortNode:
    __slots__ = ("bridge", "interfaces", "name", "row")

    def __init__(self, name: str, row: Row, bridge: BridgeNode) -> None:
        self.name = name
        self.row = row
        self.bridge = bridge
        self.interfaces: list[InterfaceNode] = []


class InterfaceNode:
    __slots__ = ("name", "port", "row")

    def __init__(self, name: str, row: Row, port: PortNode) -> None:
        self.name = name
        self.row = row
        self.port = port


class Model:
    """All of them; built from the transaction's view, and kept up to date by its own methods."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._txn = run.txn
        self._log = run.log
        self.bridges: dict[str, BridgeNode] = {}
        self.ports: dict[str, PortNode] = {}
        self.interfaces: dict[str, InterfaceNode] = {}
        real = self._load_bridges()
        taken: set[Uuid] = set()
        for bridge in real:
            self._load_ports(bridge, taken)

    # Loading.

    def _load_bridges(self) -> list[BridgeNode]:
        real: list[BridgeNode] = []
        for row in self._txn.refs(self._run.root(), "bridges"):
            name = row.text("name")
            if name in self.bridges:
                self._log.warn("%s: database contains duplicate bridge name", name)
                continue
            bridge = self.bridges[name] = BridgeNode(name, row, None, 0)
            real.append(bridge)
            for port in self._txn.refs(row, "ports"):
                if is_fake_bridge(port):
                    self._add_fake_bridge(port, bridge)
        return real

    def _add_fake_bridge(self, port: Row, parent: BridgeNode) -> None:
        name, vlan = port.text("name"), port.opt_int("tag")
        assert vlan is not None
        if name in self.bridges:
            self._log.warn("%s: database contains duplicate bridge name", name)
            return
        fake = self.bridges[name] = BridgeNode(name, port, parent, vlan)
        other = parent.children.get(vlan)
        if other is not None:
            self._log.warn(
                "%s: bridge has multiple VLAN bridges (%s and %s) for VLAN %d, but only one is "
                "allowed", parent.name, other.name, name, vlan
            )  # fmt: skip
        else:
            parent.children[vlan] = fake

    def _load_ports(self, bridge: BridgeNode, taken: set[Uuid]) -> None:
        for row in self._txn.refs(bridge.row, "ports"):
            name = row.text("name")
            known = self.ports.get(name)
            if known is not None:
                if known.row.uuid == row.uuid:
                    self._log.warn(
                        "%s: port is in multiple bridges (%s and %s)",
                        name, bridge.name, known.bridge.name,
                    )  # fmt: skip
                else:
                    self._log.err("%s: database contains duplicate port name", name)
                continue
            if is_fake_bridge(row):
                if row.uuid in taken:
                    continue
                taken.add(row.uuid)
            self._load_interfaces(self._add_port_node(row, bridge))

    def _add_port_node(self, row: Row, bridge: BridgeNode) -> PortNode:
        tag = row.opt_int("tag")
        if tag is not None:
            bridge = bridge.children.get(tag, bridge)
        port = self.ports[row.text("name")] = PortNode(row.text("name"), row, bridge)
        bridge.ports.append(port)
        return port

    def _load_interfaces(self, port: PortNode) -> None:
        for row in self._txn.refs(port.row, "interfaces"):
            name = row.text("name")
            known = self.interfaces.get(name)
            if known is None:
                self._add_interface_node(row, port)
            elif known.row.uuid == row.uuid:
                self._log.warn(
                    "%s: interface is in multiple ports (%s and %s)",
                    name, known.port.name, port.name,
                )  # fmt: skip
            else:
                self._log.err("%s: database contains duplicate interface name", name)

    def _add_interface_node(self, row: Row, port: PortNode) -> InterfaceNode:
        name = row.text("name")
        interface = self.interfaces[name] = InterfaceNode(name, row, port)
        port.interfaces.append(interface)
        return interface

    # Looking up.

    def bridge(self, name: str) -> BridgeNode:
        """The bridge of that name, real or fake; the commit depends on the set of bridges."""
        found = self.bridges.get(name)
        if found is None:
            raise CommandError(f"no bridge named {name}")
        self.verify_bridges()
        return found

    def real_bridge(self, name: str) -> BridgeNode:
        bridge = self.bridge(name)
        if bridge.parent is not None:
            raise CommandError(f"{name} is a fake bridge")
        return bridge

    def find_port(self, name: str) -> PortNode | None:
        """The port of that name, unless it is the local port of its bridge."""
        port = self.ports.get(name)
        if port is None or port.bridge.name == name:
            return None
        self.verify_ports()
        return port

    def port(self, name: str) -> PortNode:
        port = self.find_port(name)
        if port is None:
            raise CommandError(f"no port named {name}")
        return port

    def find_interface(self, name: str) -> InterfaceNode | None:
        """The interface of that name, unless it is the local one of its bridge."""
        interface = self.interfaces.get(name)
        if interface is None or interface.port.bridge.name == name:
            return None
        self.verify_ports()
        return interface

    def interface(self, name: str) -> InterfaceNode:
        interface = self.find_interface(name)
        if interface is None:
            raise CommandError(f"no interface named {name}")
        return interface

    def refuse_taken(self, name: str, what: str) -> None:
        """An error that begins with `what` if a bridge, port or interface is called `name`."""
        self.verify_ports()
        if name in self.bridges:
            raise CommandError(f"{what} because a bridge named {name} already exists")
        for kind, nodes in (("a port", self.ports), ("an interface", self.interfaces)):
            node = nodes.get(name)
            if node is not None:
                port = node.port if isinstance(node, InterfaceNode) else node
                assert isinstance(port, PortNode)
                raise CommandError(
                    f"{what} because {kind} named {name} already exists on bridge "
                    f"{port.bridge.name}"
                )

    # What the commit depends on.

    def verify_bridges(self) -> None:
        self._txn.verify(self._run.root(), "bridges")

    def verify_ports(self) -> None:
        """Depend on which ports each bridge and which interfaces each port has."""
        self.verify_bridges()
        for bridge in self.bridges.values():
            if bridge.parent is None:
                self._txn.verify(bridge.row, "ports")
        for port in self.ports.values():
            self._txn.verify(port.row, "interfaces")

    # Changes.

    def insert_interface(self, port: PortNode | None, name: str, kind: str = "") -> Row:
        """A new Interface row; its fate is reported after the commit."""
        txn = self._txn
        row = txn.insert("Interface")
        txn.set(row, "name", name)
        if kind:
            txn.set(row, "type", kind)
        self._run.new_interfaces.append(row.uuid)
        if port is not None:
            txn.add_elements(port.row, "interfaces", (row.uuid,))
            self._add_interface_node(row, port)
        return row

    def insert_port(
        self, bridge: BridgeNode, name: str, interfaces: list[Row], vlan: int | None = None
    ) -> PortNode:
        """A new Port row with these interfaces on the real bridge behind `bridge`."""
        txn = self._txn
        row = txn.insert("Port")
        txn.set(row, "name", name)
        txn.set(row, "interfaces", tuple(sorted(i.uuid for i in interfaces)))
        if vlan is not None:
            txn.set(row, "tag", (vlan,))
        txn.add_elements(bridge.real.row, "ports", (row.uuid,))
        port = self._add_port_node(row, bridge.real)
        for interface in interfaces:
            self._add_interface_node(interface, port)
        return port

    def insert_bridge(self, name: str) -> None:
        """A new real bridge with its local port."""
        txn, root = self._txn, self._run.root()
        row = txn.insert("Bridge")
        txn.set(row, "name", name)
        txn.set(row, "ports", ())
        bridge = self.bridges[name] = BridgeNode(name, row, None, 0)
        self.insert_port(bridge, name, [self.insert_interface(None, name, "internal")])
        txn.add_elements(root, "bridges", (row.uuid,))

    def insert_fake_bridge(self, name: str, parent: BridgeNode, vlan: int) -> None:
        """A new fake bridge on the real bridge `parent`."""
        interface = self.insert_interface(None, name, "internal")
        port = self.insert_port(parent, name, [interface], vlan)
        self._txn.set(port.row, "fake_bridge", True)
        self._run.model = None

    def delete_port(self, port: PortNode) -> None:
        """Take a port off its bridge; the database then drops its row and interfaces."""
        self._txn.remove_elements(port.bridge.real.row, "ports", (port.row.uuid,))
        for interface in port.interfaces:
            self._txn.delete(interface.row)
            self.interfaces.pop(interface.name, None)
        self._txn.delete(port.row)
        port.bridge.ports.remove(port)
        del self.ports[port.name]

    def delete_bridge(self, bridge: BridgeNode) -> None:
        """Delete a bridge, its fake bridges and all their ports."""
        for child in list(bridge.children.values()):
            self.delete_bridge(child)
        for port in list(bridge.ports):
            self.delete_port(port)
        del self.bridges[bridge.name]
        if bridge.parent is None:
            self._txn.remove_elements(self._run.root(), "bridges", (bridge.row.uuid,))
            self._txn.delete(bridge.row)
        else:
            bridge.parent.children.pop(bridge.vlan, None)

    def delete_interface(self, interface: InterfaceNode) -> None:
        """Take one interface off its port."""
        port = interface.port
        self._txn.remove_elements(port.row, "interfaces", (interface.row.uuid,))
        self._txn.delete(interface.row)
        port.interfaces.remove(interface)
        del self.interfaces[interface.name]


def model_of(context: Context) -> Model:
    """Bridges, ports and interfaces as the command must see them."""
    found = context.run.model
    if not isinstance(found, Model):
        found = context.run.model = Model(context.run)
    return found


def is_fake_bridge(port: Row) -> bool:
    tag = port.opt_int("tag")
    return port.flag("fake_bridge") and tag is not None and 0 <= tag <= 4095
