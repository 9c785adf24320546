"""NetFlow of a bridge: what its IPv4 flows count goes to `telemetry.netflow`, and out.

A translation names the flow that its packets belong to, by bits that the data path's flow is made
to match then; whatever that counts is credited to a `NetflowCredit` as to anybody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from netloom.base.log import get_logger
from netloom.base.record import replace
from netloom.flow.fields import SLOT
from netloom.flow.hashes import hash_bytes
from netloom.ofproto.export_host import Audience
from netloom.packet.headers import ETH_TYPE_IP
from netloom.telemetry.netflow import NOWHERE, FlowName, Netflow, NetflowSettings

if TYPE_CHECKING:
    from netloom.ofproto.bridge import Ofproto

log: Final = get_logger("bridge")

_IN_PORT: Final = SLOT["in_port"]
_DL_TYPE: Final = SLOT["dl_type"]
_NW_SRC, _NW_DST, _NW_TOS = SLOT["nw_src"], SLOT["nw_dst"], SLOT["nw_tos"]
_NW_PROTO, _TP_SRC, _TP_DST = SLOT["nw_proto"], SLOT["tp_src"], SLOT["tp_dst"]
_DSCP: Final = 0xFC
_PORTS: Final = _TP_SRC.mask | _TP_DST.mask
_NAME_MASK: Final = (
    _NW_SRC.mask | _NW_DST.mask | _NW_PROTO.mask | _PORTS | _DSCP << _NW_TOS.shift
)  # fmt: skip
#: There are seven bits for the engine and nine for the port if both stand in one number.
_MOST_PORTS: Final = 508
_MOST_ENGINES: Final = 0x7F


class NetflowExport:
    """The NetFlow exporter of one bridge."""

    def __init__(self, bridge: Ofproto, settings: NetflowSettings) -> None:
        self._bridge = bridge
        self._audience = Audience(bridge.backer.export_host, 0)
        self._netflow = Netflow(settings, bridge.backer.clock.now_ms())
        bridge.backer.n_netflows += 1
        self.configure(settings)

    def configure(self, settings: NetflowSettings) -> None:
        number = hash_bytes(f"ovs-{self._bridge.backer.type}".encode(), 0)
        if settings.engine_type < 0:
            settings = replace(settings, engine_type=number >> 8 & 0xFF)
        if settings.engine_id < 0:
            settings = replace(settings, engine_id=number & 0xFF)
        self._netflow.configure(settings)
        name = self._bridge.name
        if settings.add_id_to_interface and settings.engine_id > _MOST_ENGINES:
            log.warn(
                "bridge %s: NetFlow port mangling may conflict with another vswitch, choose an "
                "engine id less than 128",
                name,
            )
        if settings.add_id_to_interface and len(self._bridge.ports_by_number) > _MOST_PORTS:
            log.warn(
                "bridge %s: NetFlow port mangling will conflict with another port when more than "
                "508 ports are used",
                name,
            )
        self._audience.follow(settings.targets)

    def now(self) -> tuple[int, int]:
        """Monotonic and wall time."""
        clock = self._bridge.backer.clock
        return clock.now_ms(), clock.wall_ms()

    def mask_of(self, key: int) -> int:
        """What of a packet says which flow it belongs to."""
        return _NAME_MASK if _DL_TYPE.get(key) == ETH_TYPE_IP else 0

    def credit_for(self, key: int) -> NetflowCredit | None:
        """Where what is known of packets of this key goes; None if they are of no flow."""
        if _DL_TYPE.get(key) != ETH_TYPE_IP:
            return None
        name = FlowName(
            _IN_PORT.get(key) & 0xFFFF, _NW_SRC.get(key), _NW_DST.get(key),
            _NW_TOS.get(key) & _DSCP, _NW_PROTO.get(key), _TP_SRC.get(key), _TP_DST.get(key),
        )  # fmt: skip
        return NetflowCredit(self, name)

    def update(self, credit: NetflowCredit, n_packets: int, n_bytes: int, used_ms: int) -> None:
        counts = (n_packets, n_bytes, credit.tcp_flags)
        self._netflow.update(credit.name, credit.output, counts, used_ms, self.now())

    def end(self, name: FlowName) -> None:
        """The data path has forgotten a flow."""
        self._netflow.end(name, self.now())

    def run(self, now_ms: int) -> None:
        """Tell what has to be told."""
        self._netflow.run(self.now())
        for datagram in self._netflow.take():
            self._audience.send(datagram)

    def deadline(self) -> int | None:
        return self._netflow.deadline()

    def close(self) -> None:
        self._audience.close()
        self._bridge.backer.n_netflows -= 1


class NetflowCredit:
    """Whom the packets of a data path's flow are credited to; `output` is known when the
    translation is done, `tcp_flags` are set before each credit."""

    __slots__ = ("export", "name", "output", "tcp_flags")

    def __init__(self, export: NetflowExport, name: FlowName) -> None:
        self.export = export
        self.name = name
        self.output = NOWHERE
        self.tcp_flags = 0

    def credit(self, n_packets: int, n_bytes: int, used_ms: int) -> None:
        self.export.update(self, n_packets, n_bytes, used_ms)


def end_flow(credits_: Sequence[object]) -> None:
    """A flow of the data path, whose packets were credited to these, is gone."""
    for credit in credits_:
        if type(credit) is NetflowCredit:
            credit.export.end(credit.name)
