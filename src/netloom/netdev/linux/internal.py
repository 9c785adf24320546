"""An internal port of the kernel data path: a veth pair whose one end is the host's.

The end that has the port's name carries the host's addresses and may move to another namespace. The
other end, hidden behind a name made of this switch's run directory and the port's name, stays here
and is what programs are attached to. The pair belongs to the kernel: it outlives the daemon, which
finds it again by the hidden name, and traffic goes on meanwhile.

The hidden end takes frames of any length: what the visible end may send, its own MTU says.
"""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Callable, Mapping
from hashlib import blake2s
from pathlib import Path

from netloom.base.log import get_logger
from netloom.base.record import replace
from netloom.netdev.device import DeviceState, DeviceStats, Packet
from netloom.netdev.errors import cannot_open
from netloom.netdev.linux.link_device import LinkHandle
from netloom.netdev.linux.packet_socket import PacketSocketDevice
from netloom.netdev.linux.rtnl import Rtnl
from netloom.netdev.linux.shaper import LinuxShaper

log = get_logger("netdev_linux")

HIDDEN_PREFIX = "nl-"
_HIDDEN = re.compile(f"{HIDDEN_PREFIX}[0-9a-f]{{12}}")
_MAX_MTU = 65_535
#: What internal ports of Open vSwitch's kernel data path say.
_DRIVER = (("driver_name", "openvswitch"),)


def hidden_name(owner: str, name: str) -> str:
    """The name of the hidden end of `name`; `owner` tells switches of one machine apart."""
    return HIDDEN_PREFIX + blake2s(f"{owner}\0{name}".encode(), digest_size=6).hexdigest()


def is_hidden(name: str) -> bool:
    """Whether this is how hidden ends are called."""
    return _HIDDEN.fullmatch(name) is not None


class InternalDevice:
    """Both ends. `keeps` devices outlive `close`: the daemon ends, the port does not."""

    type = "internal"

    def __init__(self, name: str, owner: str, rtnl: Rtnl) -> None:
        self.name = name
        self._hidden = hidden_name(owner, name)
        self._rtnl = rtnl
        self.keeps = False
        self.shaper = LinuxShaper(name, self.state, rtnl)
        link = rtnl.link(name, fresh=True)
        hidden = rtnl.link(self._hidden, fresh=True)
        if hidden is None:
            if link is not None:
                raise cannot_open(name, errno.EBUSY)
            _make_pair(name, self._hidden, rtnl)
            link = rtnl.link(name, fresh=True)
        #: The visible end; None while it is in another namespace.
        self._visible = LinkHandle(link, rtnl) if link is not None else None
        self._ifindex = link.ifindex if link is not None else 0
        self._inner = PacketSocketDevice(self._hidden, rtnl)
        self._last = DeviceState(present=True, admin_up=True, link_up=True, mtu=1500, mac="")

    def _here(self) -> LinkHandle | None:
        """The visible end, unless it is in another namespace (if it were gone, so would be the
        other)."""
        if self._visible is None or self._visible.is_gone:
            link = self._rtnl.link(self.name)
            if link is None or (self._ifindex and link.ifindex != self._ifindex):
                return None
            self._visible, self._ifindex = LinkHandle(link, self._rtnl), link.ifindex
        return self._visible

    def state(self) -> DeviceState:
        visible = self._here()
        state = visible.state() if visible is not None else None
        if state is None or not state.present:
            inner = self._inner.state()
            if not inner.present:
                return inner
            up = inner.link_up
            return replace(self._last, driver=_DRIVER, ifindex=0, link_up=up, admin_up=up)
        self._last = state = replace(state, driver=_DRIVER, speed_bps=0, max_speed_bps=0)
        return state

    def stats(self) -> DeviceStats:
        """Seen from the host, as those of other internal ports."""
        visible = self._here()
        if visible is not None:
            stats = visible.stats()
            if not visible.is_gone:
                return stats
        inner = self._inner.stats()
        return replace(
            inner,
            rx_packets=inner.tx_packets,
            rx_bytes=inner.tx_bytes,
            tx_packets=inner.rx_packets,
            tx_bytes=inner.rx_bytes,
        )

    def receive(self, limit: int) -> list[Packet]:
        return self._inner.receive(limit)

    def send(self, packets: list[Packet]) -> None:
        self._inner.send(packets)

    def hand_over(self) -> int:
        """See `PacketSocketDevice.hand_over`; the device is the hidden end."""
        return self._inner.hand_over()

    def count_sent(self, count: Callable[[], tuple[int, int, int]]) -> None:
        """See `PacketSocketDevice.count_sent`."""
        self._inner.count_sent(count)

    def fileno(self) -> int | None:
        return self._inner.fileno()

    def set_options(self, options: Mapping[str, str]) -> None:
        """Internal devices have no options; unknown ones are ignored, as Open vSwitch does."""

    def set_mtu(self, mtu: int) -> None:
        if self._visible is not None:
            self._visible.set_mtu(mtu)

    def set_mac(self, mac: str) -> None:
        if self._visible is not None:
            self._visible.set_mac(mac)

    def set_admin_up(self, up: bool) -> None:
        if self._visible is not None:
            self._visible.set_admin_up(up)

    def close(self) -> None:
        self._inner.close()
        hidden = None if self.keeps else self._rtnl.link(self._hidden, fresh=True)
        if hidden is not None:
            self._rtnl.delete_link(hidden.ifindex)


def remove_internal_devices(owner: str) -> None:
    """Remove the internal devices of a switch that are in this namespace with both ends."""
    rtnl = Rtnl()
    try:
        for _, name in socket.if_nameindex():
            if name.startswith(HIDDEN_PREFIX):
                continue
            hidden = rtnl.link(hidden_name(owner, name), fresh=True)
            if hidden is not None:
                rtnl.delete_link(hidden.ifindex)
    finally:
        rtnl.close()


def _make_pair(name: str, hidden: str, rtnl: Rtnl) -> None:
    try:
        rtnl.create_veth(name, hidden)
        link = rtnl.link(hidden, fresh=True)
        if link is None:
            raise cannot_open(name)
        _silence(hidden)
        rtnl.set_link(link.ifindex, mtu=_MAX_MTU, up=True)
    except OSError as error:
        raise cannot_open(name, error.errno or errno.ENODEV) from error


def _silence(hidden: str) -> None:
    """Keep the host from speaking IPv6 through the hidden end."""
    setting = Path(f"/proc/sys/net/ipv6/conf/{hidden}/disable_ipv6")
    try:
        setting.write_text("1")
    except OSError as error:
        log.dbg("%s: %s", setting, error.strerror)
