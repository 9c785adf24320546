"""How many connections a zone may have, for the programs and for Python: `ZoneLimits` in a map.

The programs count what is in the kernel's table; Python adds what only it has.
"""

from __future__ import annotations

from struct import Struct

from netloom.datapath.ebpf.loader import Loaded
from netloom.datapath.ebpf.maps import SharedArray
from netloom.datapath.ebpf.spec import MAPS, MAX_ZONES, TRACKER
from netloom.datapath.userspace.conntrack.limits import ZoneLimits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_SPEC: Final = next(spec for spec in MAPS if spec.name == "zones")
_DEFAULT_AT: Final = TRACKER.offsets["default_limit"]
_U32: Final = Struct("<I")
_LIMIT: Final = Struct("<II")
_COUNT_AT: Final = 8


class KernelLimits(ZoneLimits):
    """See the module. Limits of an earlier daemon are gone: the configuration says them anew."""

    __slots__ = ("_tracker", "_zones")

    def __init__(self, loaded: Loaded, tracker: SharedArray) -> None:
        self._zones = SharedArray(loaded.maps["zones"], _SPEC)
        self._tracker = tracker
        super().__init__()
        words = self._zones.view.cast("I")
        step = self._zones.stride // 4
        for zone, has_limit in enumerate(words[::step].tolist()):
            if has_limit:
                self._write(zone, 0, 0)
        words.release()

    def close(self) -> None:
        self._zones.close()

    def _write(self, zone: int, has_limit: int, limit: int) -> None:
        _LIMIT.pack_into(self._zones.view, zone * self._zones.stride, has_limit, limit)

    @property
    def default(self) -> int:
        return int(_U32.unpack_from(self._tracker.view, _DEFAULT_AT)[0])

    @default.setter
    def default(self, limit: int) -> None:
        _U32.pack_into(self._tracker.view, _DEFAULT_AT, limit)

    def set(self, zone: int, limit: int) -> None:
        super().set(zone, limit)
        if 0 <= zone < MAX_ZONES:
            self._write(zone, 1, limit)

    def delete(self, zone: int) -> None:
        super().delete(zone)
        if 0 <= zone < MAX_ZONES:
            self._write(zone, 0, 0)

    def count(self, zone: int) -> int:
        at = zone * self._zones.stride + _COUNT_AT
        return super().count(zone) + int(_U32.unpack_from(self._zones.view, at)[0])
