"""Facts -> columns: what the database is told about ports, bridges and controllers.

`*_columns` are pure: facts in, columns out, in the shape that `Row.data` has. What differs
from the rows is committed by `StatusWriter`, in one transaction at a time; whatever changed
meanwhile goes into the next one, since the comparison is made anew.

Facts that nobody waits for (counters) are written every `stats_interval_ms`; the others within
STATUS_INTERVAL_MS of their change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from netloom.base.log import get_logger
from netloom.netdev.device import UNKNOWN_COUNT, DeviceState, DeviceStats
from netloom.ofproto.link_status import LinkStatus
from netloom.ofproto.settings import ControllerStatus
from netloom.ofproto.trees import PortTreeStatus
from netloom.ovsdb.idl import Idl
from netloom.ovsdb.idl_txn import (
    ERROR,
    INCOMPLETE,
    NOT_LOCKED,
    SUCCESS,
    TRY_AGAIN,
    UNCHANGED,
    Transaction,
)
from netloom.ovsdb.row import Row
from netloom.packet.marks import TX_OFFLOADS

if TYPE_CHECKING:
    from netloom.ovsdb.types import Datum

log = get_logger("bridge")

#: Changes of state are written at most this often.
STATUS_INTERVAL_MS = 100
#: The columns of Interface that mean nothing without a device.
NO_DEVICE: dict[str, Datum] = {
    "admin_state": (),
    "link_state": (),
    "link_resets": (),
    "link_speed": (),
    "duplex": (),
    "mac_in_use": (),
    "mtu": (),
    "ifindex": (),
    "statistics": {},
    "status": {},
}
#: The counters of devices that are no kernel devices; the others have all of DeviceStats.
BASIC_COUNTERS = ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes")
KERNEL_COUNTERS = (
    "collisions",
    "rx_bytes",
    "rx_crc_err",
    "rx_dropped",
    "rx_errors",
    "rx_frame_err",
    "rx_over_err",
    "rx_packets",
    "tx_bytes",
    "tx_dropped",
    "tx_errors",
    "tx_packets",
)
BUILT_IN = "<built-in>"


class InterfaceFacts(Protocol):
    """A port as `apply` knows it."""

    ofport: int


# -- pure -------------------------------------------------------------------------------------


def failed_columns(error: str) -> dict[str, Datum]:
    """An interface that could not be had."""
    return NO_DEVICE | {"ofport": (-1,), "error": (error,) if error else ()}


def absent_columns() -> dict[str, Datum]:
    """An interface of a bridge that could not be had, about which nothing was decided."""
    return NO_DEVICE | {"ofport": (), "error": ()}


def state_columns(
    ofport: int, state: DeviceState, error: str = "", *, tells_offloads: bool = False
) -> dict[str, Datum]:
    """An interface with a device; `tells_offloads`: also what that does to packets by itself."""
    speed = state.speed_bps
    said = dict(state.driver) | (_tx_offloads(state) if tells_offloads else {})
    return {
        "ofport": (ofport,),
        "error": (error,) if error else (),
        "admin_state": (_up(state.admin_up),),
        "link_state": (_up(state.link_up),),
        "link_resets": (state.carrier_changes,),
        "link_speed": (speed,) if speed else (),
        "duplex": (("full" if state.full_duplex else "half"),) if speed else (),
        "mac_in_use": (state.mac,) if state.mac else (),
        "mtu": (state.mtu,) if state.mtu else (),
        "ifindex": (state.ifindex,),
        "status": dict(sorted(said.items())),
    }


def _tx_offloads(state: DeviceState) -> dict[str, str]:
    return {
        f"tx_{name}_offload": "true" if state.tx_offloads >> bit & 1 else "false"
        for bit, name in enumerate(TX_OFFLOADS)
    }


def patch_columns(ofport: int, mac: str, error: str) -> dict[str, Datum]:
    """A patch port: always up, with nothing behind it."""
    return {
        **{name: value for name, value in NO_DEVICE.items() if name != "statistics"},
        "ofport": (ofport,),
        "error": (error,) if error else (),
        "admin_state": ("up",),
        "link_state": ("up",),
        "link_resets": (0,),
        "mac_in_use": (mac,),
        "ifindex": (0,),
    }


def statistics_column(stats: DeviceStats, is_kernel_device: bool) -> dict[str, Datum]:
    """Interface.statistics: the counters that the device keeps."""
    names = KERNEL_COUNTERS if is_kernel_device else BASIC_COUNTERS
    counts = {name: getattr(stats, name) for name in sorted(names)}
    counts.update(stats.custom)
    return {"statistics": {name: n for name, n in counts.items() if n != UNKNOWN_COUNT}}


def link_columns(link: LinkStatus) -> dict[str, Datum]:
    """What LACP, BFD and CFM say of an interface; empty where they are not spoken."""
    current, cfm = link.lacp_current, link.cfm
    opup = None if cfm is None else cfm.remote_opup
    columns: dict[str, Datum] = {
        "lacp_current": () if current is None else (current,),
        "bfd_status": dict(link.bfd),
        "cfm_fault": () if cfm is None else (bool(cfm.faults),),
        "cfm_fault_status": () if cfm is None else tuple(sorted(cfm.faults)),
        "cfm_flap_count": () if cfm is None else (cfm.n_flaps,),
        "cfm_health": (cfm.health,) if cfm is not None and cfm.health >= 0 else (),
        "cfm_remote_mpids": () if cfm is None else cfm.remote_mpids,
        "cfm_remote_opstate": () if opup is None else (_up(opup),),
    }
    return columns


def mirror_columns(counts: tuple[int, int] | None) -> dict[str, Datum]:
    """Mirror.statistics: packets and bytes; None for a mirror that could not be had."""
    if counts is None:
        return {"statistics": {}}
    return {"statistics": {"tx_bytes": counts[1], "tx_packets": counts[0]}}


def bridge_columns(
    datapath_id: int, shortfall: str = "", trees: Mapping[str, str] | None = None
) -> dict[str, Datum]:
    """Bridge.datapath_id, datapath_version and status; the first two are empty for a bridge that
    could not be had. `shortfall` is what its data path lacks, `trees` what its
    spanning tree says."""
    said = {**({"datapath_error": shortfall} if shortfall else {}), **(trees or {})}
    shown: Datum = dict(sorted(said.items()))
    if not datapath_id:
        return {"datapath_id": (), "datapath_version": "", "status": shown}
    return {
        "datapath_id": (f"{datapath_id:016x}",),
        "datapath_version": BUILT_IN,
        "status": shown,
    }


def port_columns(tree: PortTreeStatus) -> dict[str, Datum]:
    """The columns of a Port row that tell how it fares in a spanning tree."""
    return {
        "status": dict(tree.status),
        "statistics": dict(tree.statistics),
        "rstp_status": dict(tree.rstp_status),
        "rstp_statistics": dict(tree.rstp_statistics),
    }


def controller_columns(status: ControllerStatus | None) -> dict[str, Datum]:
    """Controller.is_connected, role and status; None for one that was refused or only listens."""
    if status is None:
        return {"is_connected": False, "role": (), "status": {}}
    shown: dict[str, str] = {"state": status.state}
    if status.last_error:
        shown["last_error"] = status.last_error
    if status.sec_since_connect >= 0:
        shown["sec_since_connect"] = str(status.sec_since_connect)
    if status.sec_since_disconnect >= 0:
        shown["sec_since_disconnect"] = str(status.sec_since_disconnect)
    shown.update(status.packet_ins)
    return {
        "is_connected": status.is_connected,
        "role": (status.role,) if status.is_connected else (),
        "status": dict(sorted(shown.items())),
    }


def _up(up: bool) -> str:
    return "up" if up else "down"


def differing(row: Row, columns: Mapping[str, Datum]) -> dict[str, Datum]:
    """The columns whose values are not those of the row. Columns that the server's schema lacks
    are left out."""
    return {
        name: value for name, value in columns.items() if name in row.data and row[name] != value
    }


# -- writing ----------------------------------------------------------------------------------


class StatusWriter:
    """Commits differences; one transaction at a time."""

    def __init__(self, idl: Idl) -> None:
        self._idl = idl
        self._transaction: Transaction | None = None
        #: Grows with every transaction that the server has confirmed.
        self.commits = 0
        self.failed = False
        #: How often a transaction was found in each state.
        self.outcomes: dict[str, int] = {}

    @property
    def busy(self) -> bool:
        """Whether a transaction is on its way: look again when it is done."""
        self._settle()
        return self._transaction is not None

    def write(self, changes: Mapping[Row, Mapping[str, Datum]]) -> None:
        """Set columns of rows. Nothing is sent if all have these values already; what fails is to
        be found and written again by the next comparison."""
        assert not self.busy
        self.failed = False
        if not changes:
            self._count(UNCHANGED)
            return
        transaction = Transaction(self._idl)
        for row, columns in changes.items():
            for name, value in columns.items():
                transaction.set(row, name, value)
        self._transaction = transaction
        if transaction.commit() == INCOMPLETE:
            self._count(INCOMPLETE)
        self._settle()

    def _count(self, status: str) -> None:
        self.outcomes[status] = self.outcomes.get(status, 0) + 1

    def _settle(self) -> None:
        transaction = self._transaction
        if transaction is None:
            return
        if transaction.status == INCOMPLETE:
            return
        self._transaction = None
        self._count(transaction.status)
        if transaction.status in (SUCCESS, UNCHANGED):
            self.commits += 1
            return
        self.failed = True
        if transaction.status == ERROR:
            log.err_rl("writing status to the database failed: %s", transaction.error)
        elif transaction.status not in (TRY_AGAIN, NOT_LOCKED):
            log.err_rl("writing status to the database ended as %s", transaction.status)
