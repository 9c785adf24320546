"""Connectivity Fault Management (IEEE 802.1ag, continuity checks): one maintenance point.

Points of an association send continuity checks (CCM) at one interval. Every 3.5 intervals a point
looks whom it has heard: nobody at all is a fault, and it says so in its own checks (RDI).
A point that uses another interval is only warned about. *Extended* mode is Open vSwitch's own:
wider numbers, any interval, another group address. In its *demand* mode packets of any kind say
that a link works, as long as a CCM comes now and then.

Nothing here sends or looks at a clock: `receive` takes a CCM, `run` lets timers end, `packet` is
one to be sent, if any is due. All times are ms.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from netloom.base.log import get_logger
from netloom.base.record import Record
from netloom.flow.hashes import hash_bytes

log = get_logger("cfm")

ETH_TYPE = 0x8902
GROUP, EXTENDED_GROUP = 0x0180_C200_0030, 0x0123_2000_0030
#: Bit by bit, the reasons of a fault.
FAULTS = ("recv", "rdi", "maid", "loopback", "overflow", "override")
_RECV, _RDI, _MAID, _LOOPBACK, _OVERFLOW, _OVERRIDE = (1 << n for n in range(6))
_INTERVALS_MS = (0, 3, 10, 100, 1_000, 10_000, 60_000, 600_000)
_CCM = Struct("!BBBBIH48sHQB5x")
_END_TLV = b"\0"
_OPCODE, _TLV_OFFSET, _RDI_FLAG = 1, 70, 0x80
#: The association "ovs" of the domain "ovs", both as strings.
_NAME = (b"\x04\x03ovs\x02\x03ovs").ljust(48, b"\0")
_MAX_REMOTES = 256
_HEALTH_CHECKS = 6
#: In demand mode, checks look at most so often, as counters are read now and then only; and so many
#: intervals may pass without a CCM.
_DEMAND_MS, _DEMAND_INTERVALS = 500, 100


class CfmSettings(Record):
    """`cfm_mpid` and the `cfm_*` keys. `vlan` 0: none; -1: another one each time."""

    mpid: int
    interval_ms: int = 1_000
    extended: bool = False
    demand: bool = False
    opup: bool = True
    check_tunnel_key: bool = False
    vlan: int = 0
    pcp: int = 0


class Remote:
    """A point that was heard."""

    def __init__(self, mpid: int) -> None:
        self.mpid = mpid
        self.received = False
        self.opup = True
        self.sequence = 0
        self.n_healthy = 0
        self.heard_ms = 0


class Cfm:
    """The point of the interface called `name`; `count` tells how many packets came in there."""

    def __init__(
        self, name: str, settings: CfmSettings, count: Callable[[], int], now_ms: int
    ) -> None:
        self.name = name
        self._count = count
        self.settings = settings
        self.remotes: dict[int, Remote] = {}
        #: Those that the last check found.
        self.remote_mpids: tuple[int, ...] = ()
        self.remote_opup = True
        self.health = -1
        self.override: bool | None = None
        self.n_flaps = 0
        self.changes = 0
        self.next_tx_ms = self.next_check_ms = now_ms
        self._fault = self._found = 0
        self._booted = False
        self._n_checks = 0
        self._rx_packets = self._demand_due_ms = 0
        self._was_in_demand = False
        self._sequence = 0
        self._interval = (-1, 0)
        self.configure(settings, now_ms)

    # -- configuration -------------------------------------------------------------------

    def configure(self, settings: CfmSettings, now_ms: int) -> None:
        """Set what is wished; another interval starts anew."""
        self.settings = settings
        code = max(n for n, ms in enumerate(_INTERVALS_MS) if ms <= max(settings.interval_ms, 3))
        interval_ms = _INTERVALS_MS[code]
        if settings.extended and interval_ms != settings.interval_ms:
            code, interval_ms = 0, min(settings.interval_ms, 0xFFFF)
        if self.in_demand and not self._was_in_demand:
            self._rx_packets = self._count()
        self._was_in_demand = self.in_demand
        if (code, interval_ms) != self._interval:
            self._interval = code, interval_ms
            self.next_tx_ms = now_ms
            self.next_check_ms = now_ms + self._check_ms

    @property
    def in_demand(self) -> bool:
        return self.settings.extended and self.settings.demand

    @property
    def interval_ms(self) -> int:
        return self._interval[1]

    @property
    def _check_ms(self) -> int:
        least_ms = _DEMAND_MS if self.in_demand else 0
        return max(self.interval_ms, least_ms) * 7 // 2

    # -- what is -------------------------------------------------------------------------

    @property
    def fault(self) -> int:
        """Bits of FAULTS; 0 for none."""
        if self.override is not None:
            return _OVERRIDE if self.override else 0
        return self._fault

    @property
    def is_up(self) -> bool:
        """May packets use the interface?"""
        return not self.fault and (self.remote_opup or not self.settings.extended)

    def order(self, fault: bool | None) -> None:
        """Say that there is a fault, or none, whatever it finds; None: what it finds."""
        self.override = fault
        self.changes += 1

    def deadline(self) -> int:
        return min(self.next_tx_ms, self.next_check_ms)

    # -- running -------------------------------------------------------------------------

    def run(self, now_ms: int) -> None:
        """Let timers end."""
        if now_ms < self.next_check_ms:
            return
        before, self._fault, self._found = self._fault, self._found, 0
        self._judge_health()
        self._check_remotes(self.in_demand and self._is_heard(now_ms), now_ms)
        if not self.remotes:
            self._fault |= _RECV
        if before != self._fault:
            log.info_rl("%s: CFM faults changed from [%s] to [%s].", self.name,
                        _fault_text(before), _fault_text(self._fault))  # fmt: skip
            self.n_flaps += bool(before) != bool(self._fault)
        self._booted = True
        self.changes += 1
        self.next_check_ms = now_ms + self._check_ms

    def _is_heard(self, now_ms: int) -> bool:
        """Do packets of any kind show that the only remote point is there?"""
        before, self._rx_packets = self._rx_packets, self._count()
        is_live = self._rx_packets > before and now_ms < self._demand_due_ms
        return is_live and len(self.remotes) == 1

    def _judge_health(self) -> None:
        """Of one remote point: how much of what it should have sent was heard and was well."""
        if self._n_checks == _HEALTH_CHECKS:
            self._n_checks = 0
            remotes = list(self.remotes.values())
            if len(remotes) > 1:
                self.health = -1
            elif not remotes:
                self.health = 0
            else:
                expected = _HEALTH_CHECKS * 7 // 2
                self.health = min(remotes[0].n_healthy * 100 // expected, 100)
                remotes[0].n_healthy = 0
        self._n_checks += 1

    def _check_remotes(self, overridden: bool, now_ms: int) -> None:
        heard = []
        for mpid, remote in list(self.remotes.items()):
            if remote.received:
                remote.received = False
                heard.append(remote)
                continue
            log.info("%s: Received no CCM from RMP %d in the last %dms", self.name, mpid,
                     now_ms - remote.heard_ms)  # fmt: skip
            if not overridden:
                del self.remotes[mpid]
        self.remote_mpids = tuple(sorted(remote.mpid for remote in heard))
        if heard:
            self.remote_opup = all(remote.opup for remote in heard)

    # -- packets -------------------------------------------------------------------------

    def packet(self, now_ms: int) -> bytes | None:
        """A CCM, if one is due."""
        if now_ms < self.next_tx_ms:
            return None
        self.next_tx_ms = now_ms + self.interval_ms
        self._sequence += 1
        settings, (code, interval_ms) = self.settings, self._interval
        mpid, wide, down = settings.mpid, 0, 0
        if settings.extended:
            mpid = hash_bytes(mpid.to_bytes(8, "little"), 0) & 0xFFFF
            wide, down = settings.mpid, int(not settings.opup)
        flags = code | (_RDI_FLAG if self._booted and not self.remotes else 0)
        return _CCM.pack(
            0, _OPCODE, flags, _TLV_OFFSET, self._sequence & 0xFFFFFFFF, mpid, _NAME,
            0 if code else interval_ms, wide, down) + _END_TLV  # fmt: skip

    def vlan_tag(self) -> int:
        """Priority and VLAN of the next CCM; 0 for no tag."""
        vlan = self.settings.vlan
        if vlan < 0:
            vlan = hash_bytes(self._sequence.to_bytes(4, "big"), self.settings.mpid & 0xFFFF)
        return self.settings.pcp << 13 | vlan & 0xFFF

    def receive(self, data: bytes, now_ms: int) -> None:
        """A CCM came in."""
        if len(data) < _CCM.size:
            log.info_rl("%s: Received an unparseable 802.1ag CCM heartbeat.", self.name)
            return
        _, opcode, flags, _, sequence, mpid, name, interval, wide, down = _CCM.unpack_from(data)
        if opcode != _OPCODE:
            log.info_rl("%s: Received an unsupported 802.1ag message. (opcode %u)", self.name,
                        opcode)  # fmt: skip
            return
        if name != _NAME:
            self._found |= _MAID
            log.warn_rl("%s: Received unexpected remote MAID", self.name)
            return
        extended = self.settings.extended
        mpid = wide if extended else mpid
        self._look_at_interval(flags & 7, interval, mpid)
        fault = _RDI if flags & _RDI_FLAG else 0
        remote = self.remotes.get(mpid)
        if remote is None:
            if len(self.remotes) >= _MAX_REMOTES:
                self._found |= fault | _OVERFLOW
                log.warn_rl("%s: dropped CCM with MPID %d", self.name, mpid)
                return
            remote = self.remotes[mpid] = Remote(mpid)
        if mpid == self.settings.mpid:
            fault |= _LOOPBACK
            log.warn_rl("%s: received CCM with local MPID %d", self.name, mpid)
        if remote.sequence and sequence != remote.sequence + 1:
            log.warn_rl(
                "%s: (mpid %d) detected sequence numbers which indicate possible connectivity "
                "problems (previous %u) (current %u)", self.name, mpid, remote.sequence, sequence,
            )  # fmt: skip
        if not fault:
            remote.n_healthy += 1
            self._demand_due_ms = now_ms + _DEMAND_INTERVALS * self.interval_ms
        remote.received, remote.sequence, remote.heard_ms = True, sequence, now_ms
        remote.opup = not (extended and down)
        self._found |= fault

    def _look_at_interval(self, code: int, interval_ms: int, mpid: int) -> None:
        if code != self._interval[0]:
            log.warn_rl("%s: received a CCM with an unexpected interval (%d) from RMP %d",
                        self.name, code, mpid)  # fmt: skip
        if self.settings.extended and not code and interval_ms != self.interval_ms:
            log.warn_rl("%s: received a CCM with an unexpected extended interval (%dms) from "
                        "RMP %d", self.name, interval_ms, mpid)  # fmt: skip

    # -- what people see -----------------------------------------------------------------

    def fault_words(self) -> tuple[str, ...]:
        return tuple(word for bit, word in enumerate(FAULTS) if self.fault >> bit & 1)

    def show(self, now_ms: int) -> str:
        """The text of `cfm/show`."""
        extended = " extended" if self.settings.extended else ""
        override = " fault_override" if self.override is not None else ""
        lines = [f"---- {self.name} ----", f"MPID {self.settings.mpid}:{extended}{override}"]
        if self.fault:
            lines.append(f"  fault: {_fault_text(self.fault)}")
        lines += [
            f"  average health: {'undefined' if self.health < 0 else self.health}",
            f"  opstate: {_up(self.settings.opup)}",
            f"  remote_opstate: {_up(self.remote_opup)}",
            f"  interval: {self.interval_ms}ms",
            f"  next CCM tx: {self.next_tx_ms - now_ms}ms",
            f"  next fault check: {self.next_check_ms - now_ms}ms",
        ]
        for mpid, remote in sorted(self.remotes.items()):
            lines += [
                f"Remote MPID {mpid}",
                f"  recv since check: {str(remote.received).lower()}",
                f"  opstate: {_up(remote.opup)}",
            ]
        return "\n".join(lines) + "\n"


def _fault_text(fault: int) -> str:
    return " ".join(word for bit, word in enumerate(FAULTS) if fault >> bit & 1)


def _up(up: bool) -> str:
    return "up" if up else "down"
