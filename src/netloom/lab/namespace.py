"""A network namespace: the host of a lab, or one of its virtual machines."""

from __future__ import annotations

from netloom.lab.commands import Result, run


class Namespace:
    """A named network namespace with its loopback up."""

    def __init__(self, name: str) -> None:
        self.name = name

    def create(self) -> None:
        run("ip", "netns", "add", self.name)
        run("ip", "-n", self.name, "link", "set", "lo", "up")

    def delete(self) -> None:
        """Remove it, and with it every device inside."""
        run("ip", "netns", "del", self.name, check=False)

    def run(self, *argv: str, check: bool = True) -> Result:
        """Run a command inside."""
        return run("ip", "netns", "exec", self.name, *argv, check=check)

    def ip(self, *argv: str) -> Result:
        """Run ip(8) for the inside."""
        return run("ip", "-n", self.name, *argv)


class VirtualMachine(Namespace):
    """A namespace with one device, eth0, whose other end is a device of the lab's host."""

    def __init__(self, name: str, label: str, vif: str, address: str) -> None:
        super().__init__(name)
        #: Short name, as a person calls it.
        self.label = label
        #: The device on the host's side: what becomes a port of a bridge.
        self.vif = vif
        #: Address of eth0 with prefix length.
        self.address = address
        #: Where its default route leads; empty if it has none.
        self.gateway = ""

    @property
    def ip_address(self) -> str:
        return self.address.partition("/")[0]

    def connect(self, host: Namespace, mac: str) -> None:
        """Make the veth pair between this machine and `host`."""
        run(
            *("ip", "link", "add", self.vif, "netns", host.name, "type", "veth"),
            *("peer", "name", "eth0", "address", mac, "netns", self.name),
        )
        host.ip("link", "set", self.vif, "up")
        self.ip("addr", "add", self.address, "dev", "eth0")
        self.ip("link", "set", "eth0", "up")

    def ping(self, address: str, count: int = 1, wait_s: float = 1.0) -> bool:
        """Does `address` answer at least one of `count` echo requests?"""
        argv = ("ping", "-n", "-q", "-c", str(count), "-i", "0.2", "-W", f"{wait_s:g}", address)
        return self.run(*argv, check=False).ok
