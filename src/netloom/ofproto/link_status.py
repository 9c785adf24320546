"""What LACP, BFD and CFM say of an interface: the columns of its row, as values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netloom.base.record import Record

if TYPE_CHECKING:
    from netloom.ofproto.ports import OfPort
    from netloom.protocols.cfm import Cfm


class CfmStatus(Record):
    """The `cfm_*` columns. `health` -1: undefined; `remote_opup` None: not told."""

    faults: tuple[str, ...] = ()
    n_flaps: int = 0
    health: int = -1
    remote_mpids: tuple[int, ...] = ()
    remote_opup: bool | None = None


class LinkStatus(Record):
    """Each is None, or empty, where the protocol is not spoken."""

    lacp_current: bool | None = None
    bfd: tuple[tuple[str, str], ...] = ()
    cfm: CfmStatus | None = None


def link_status(port: OfPort) -> LinkStatus:
    """How a port's link is now."""
    bridge = port.bridge
    cfm = bridge.faults.machines.get(port.name)
    return LinkStatus(
        bridge.aggregation.is_current(port),
        tuple(sorted(bridge.monitoring.status(port.name).items())),
        None if cfm is None else _cfm_status(cfm),
    )


def _cfm_status(cfm: Cfm) -> CfmStatus:
    opup = cfm.remote_opup if cfm.settings.extended else None
    return CfmStatus(cfm.fault_words(), cfm.n_flaps, cfm.health, cfm.remote_mpids, opup)
