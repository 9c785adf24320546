"""Flows that devices run by themselves ("offload to hardware"), as far as all data paths share it.

What can be offloaded to is a *provider*: a kind of hardware, which has ports of one data path and
flows of them. Of the ports of a data path each is of the first provider that takes its device, in
the order of `other_config:hw-offload-priority` of Open_vSwitch, or of the Interface for that one
(ovs-vswitchd.conf.db(5)). Here only dummies are such devices (`userspace.dummy_offload`): there are
no providers for the kernel's devices (Open vSwitch's "tc") or DPDK's.

Open vSwitch never switches offloading off again before it ends, and reads the order once only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final, Protocol

from netloom.base.log import get_logger
from netloom.base.record import Record

log: Final = get_logger("dpif_offload")

#: Kinds of providers, in the order in which they are tried unless somebody says otherwise, and the
#: type of data paths that each is for.
CLASSES: Final = {"dummy": "dummy", "dummy_x": "dummy"}
#: In an order: none of those that follow.
_NONE: Final = "none"


class OffloadSettings(Record):
    """What the database says of offloading: whether, in which order of providers (None for the
    usual), and that of single interfaces, by name."""

    enabled: bool = False
    order: str | None = None
    port_orders: tuple[tuple[str, str], ...] = ()


class OffloadPolicy:
    """The same, as it holds for all data paths of a process."""

    def __init__(self) -> None:
        self.enabled = False
        self._order = ",".join(CLASSES)
        self._port_orders: dict[str, str] = {}
        self._is_configured = self._is_told = False

    def configure(self, settings: OffloadSettings) -> None:
        """Take over what the database says, as far as it may still change."""
        self._set_order(settings.order)
        if settings.enabled and not self.enabled:
            self.enabled = True
            log.info("Flow HW offload is enabled")
        self._port_orders = dict(settings.port_orders)

    def _set_order(self, order: str | None) -> None:
        is_first, self._is_configured = not self._is_configured, True
        if order is None:
            return
        if is_first:
            self._order = order
            for name in _words(order):
                if name not in CLASSES:
                    log.warn("hw-offload-priority configuration has an unknown type; %s", name)
        elif order != self._order and not self._is_told:
            self._is_told = True
            log.info("hw-offload-priority configuration changed; restart required")

    def in_order(self, types: Collection[str]) -> list[str]:
        """Those kinds of providers, first the first to be tried."""
        named = [name for name in dict.fromkeys(_words(self._order)) if name in types]
        return [*named, *(name for name in types if name not in named)]

    def order_of(self, device: str, types: Sequence[str]) -> Sequence[str]:
        """The providers of `types` that a device is offered to."""
        order = self._port_orders.get(device)
        if order is None:
            return types
        log.dbg("for netdev %s using port priority %s", device, order)
        words = _words(order)
        chosen = words[: words.index(_NONE)] if _NONE in words else words
        return [name for name in chosen if name in types]


def _words(order: str) -> list[str]:
    return [word for word in order.split(",") if word]


class OffloadedPort(Protocol):
    """A port of a provider, with what its hardware has done: packets that it `recognised` (whose
    flow need not be looked up), that it carried all the way, that it had no flow for, and that it
    began with and could not finish."""

    number: int
    name: str
    recognised: int
    carried: int
    missed: int
    aborted: int


class Provider(Protocol):
    """A provider of one data path."""

    type: str

    def ports(self) -> Iterable[OffloadedPort]:
        """Its ports, by number."""


class Hardware(Protocol):
    """The hardware of a data path's devices."""

    policy: OffloadPolicy

    @property
    def providers(self) -> Sequence[Provider]:
        """In the order in which they are tried."""
