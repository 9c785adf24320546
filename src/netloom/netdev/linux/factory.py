"""Opens devices of the Linux kernel by Interface type."""

from __future__ import annotations

from collections.abc import Mapping

from netloom.base.errors import ConfigError
from netloom.netdev.device import Device
from netloom.netdev.errors import unknown_type
from netloom.netdev.linux.packet_socket import PacketSocketDevice
from netloom.netdev.linux.rtnl import Rtnl
from netloom.netdev.linux.tap import TapDevice

#: The kernel's limit (IFNAMSIZ), less the final zero.
NAME_BYTES = 15


class LinuxFactory:
    """System devices, and the TAPs behind internal and tap ports."""

    def __init__(self) -> None:
        self._rtnl = Rtnl()

    def types(self) -> frozenset[str]:
        return frozenset({"system", "internal", "tap"})

    def open(self, name: str, type_: str, options: Mapping[str, str]) -> Device:
        if len(name.encode()) > NAME_BYTES:
            raise ConfigError(f"could not open network device {name} (File name too long)")
        if type_ == "system":
            return PacketSocketDevice(name, self._rtnl)
        if type_ in ("internal", "tap"):
            return TapDevice(name, type_, self._rtnl)
        raise unknown_type(name, type_)

    def changes(self) -> int:
        return self._rtnl.changes()

    def poll_fds(self) -> list[int]:
        return [self._rtnl.fileno()]

    def close(self) -> None:
        self._rtnl.close()
