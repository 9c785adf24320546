"""What all devices of the kernel share: the link behind them, watched and set over rtnetlink."""

from __future__ import annotations

import errno
import os

from netloom.base.errors import ConfigError
from netloom.netdev.device import DeviceState, DeviceStats
from netloom.netdev.linux.rtnl import Link, Rtnl

_GONE = DeviceState(present=False, admin_up=False, link_up=False, mtu=0, mac="")


class LinkHandle:
    """One link, for as long as it exists: another link of the same name is another device."""

    __slots__ = ("_ifindex", "_name", "_rtnl", "is_gone")

    def __init__(self, link: Link, rtnl: Rtnl) -> None:
        self._name = link.name
        self._ifindex = link.ifindex
        self._rtnl = rtnl
        self.is_gone = False

    @property
    def ifindex(self) -> int:
        return self._ifindex

    def _link(self, fresh: bool = False) -> Link | None:
        link = None if self.is_gone else self._rtnl.link(self._name, fresh)
        if link is None or link.ifindex != self._ifindex:
            self.is_gone = True
            return None
        return link

    def state(self) -> DeviceState:
        link = self._link()
        return link.state if link is not None else _GONE

    def stats(self) -> DeviceStats:
        """The kernel's counters: seen from the host, so what an internal port sends into the switch
        counts as its tx, as in Open vSwitch."""
        link = self._link(fresh=True)
        return link.stats if link is not None else DeviceStats()

    def set_mtu(self, mtu: int) -> None:
        self._set("MTU", mtu=mtu)

    def set_mac(self, mac: str) -> None:
        self._set("MAC address", mac=mac)

    def set_admin_up(self, up: bool) -> None:
        self._set("flags", up=up)

    def _set(self, what: str, **changes: int | str | bool) -> None:
        try:
            if self._link() is None:
                # Its index may be another device's by now.
                raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
            self._rtnl.set_link(self._ifindex, **changes)
        except OSError as error:
            where = f"{self._name}: setting {what} failed"
            raise ConfigError(error.strerror or str(error), where) from error
