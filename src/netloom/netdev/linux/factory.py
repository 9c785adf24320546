"""Opens devices of the Linux kernel by Interface type."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

from netloom.base.errors import ConfigError
from netloom.base.paths import rundir
from netloom.netdev.device import Device
from netloom.netdev.errors import cannot_open, unknown_type
from netloom.netdev.linux.internal import InternalDevice, hidden_name, is_hidden
from netloom.netdev.linux.packet_socket import PacketSocketDevice
from netloom.netdev.linux.rtnl import Rtnl
from netloom.netdev.linux.shaped import ShapedDevices
from netloom.netdev.linux.tap import TapDevice
from netloom.netdev.linux.uplinks import UplinkHost

TUN = "/dev/net/tun"
#: The kernel's limit (IFNAMSIZ), less the final zero.
NAME_BYTES = 15


class LinuxFactory:
    """System devices, and what is behind internal and tap ports: TAPs, or pairs of devices where
    there are no TAPs, and for internal ports of the kernel data path (`use_kernel_ports`), where
    they outlive the daemon."""

    def __init__(self) -> None:
        self._rtnl = Rtnl()
        self._rtnl.shaped = ShapedDevices(rundir())
        self._owner = ""
        self._internal: list[InternalDevice] = []

    def use_kernel_ports(self, owner: str) -> None:
        """From now on, make internal devices for the kernel data path; `owner` tells the switches
        of one machine apart."""
        self._owner = owner

    def leave(self) -> None:
        """The daemon ends, its internal devices of the kernel data path do not."""
        for device in self._internal:
            device.keeps = True

    def types(self) -> frozenset[str]:
        return frozenset({"system", "internal", "tap"})

    def open(self, name: str, type_: str, options: Mapping[str, str]) -> Device:
        if len(name.encode()) > NAME_BYTES:
            raise ConfigError(f"could not open network device {name} (File name too long)")
        if type_ == "system":
            if is_hidden(name):
                # An end of an internal port: it is a port already.
                raise cannot_open(name, errno.EINVAL)
            return PacketSocketDevice(name, self._rtnl)
        if type_ == "internal" and self._owner:
            device = InternalDevice(name, self._owner, self._rtnl)
            self._internal.append(device)
            return device
        if type_ == "internal" and self._rtnl.link(hidden_name(rundir(), name), fresh=True):
            # What an earlier daemon had for the kernel, with the host's addresses.
            return InternalDevice(name, rundir(), self._rtnl)
        if type_ in ("internal", "tap"):
            if os.access(TUN, os.R_OK | os.W_OK):
                return TapDevice(name, type_, self._rtnl)
            # In a user namespace it is often out of reach; a veth pair is not.
            return InternalDevice(name, rundir(), self._rtnl)
        raise unknown_type(name, type_)

    def uplink_host(self) -> UplinkHost:
        """What tunnels need of the host that leave by devices of its own."""
        return UplinkHost(self._rtnl)

    def changes(self) -> int:
        return self._rtnl.changes()

    def poll_fds(self) -> list[int]:
        return [self._rtnl.fileno()]

    def close(self) -> None:
        self._rtnl.close()
