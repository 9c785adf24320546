"""Port mirrors of a bridge: which packets are copied whereto (ovs-vswitchd.conf.db(5), Mirror).

A packet may be mirrored when it enters through a selected port and each time it leaves through one,
but only once to each destination. `translate.mirror` asks; this keeps what is configured and what
was counted.
"""

from __future__ import annotations

from collections.abc import Set

from netloom.ofproto.settings import MirrorSettings

#: A bridge's name, and the port or VLAN in it that copies go to.
Destination = tuple[str, str, int]


class Mirror:
    """One mirror with its counters."""

    __slots__ = ("n_bytes", "n_packets", "settings")

    def __init__(self, settings: MirrorSettings) -> None:
        self.settings = settings
        self.n_packets = 0
        self.n_bytes = 0

    @property
    def destination(self) -> tuple[str, int]:
        """Mirrors with the same destination send a packet once."""
        return self.settings.output_port, self.settings.output_vlan

    def credit(self, n_packets: int, n_bytes: int, used_ms: int) -> None:
        self.n_packets += n_packets
        self.n_bytes += n_bytes


class Mirrors:
    """The mirrors of one bridge, in the order in which they were configured."""

    def __init__(self) -> None:
        self._mirrors: dict[str, Mirror] = {}
        self._sources: dict[str, list[Mirror]] = {}
        self._targets: dict[str, list[Mirror]] = {}
        #: Bundles that mirrors send to, which carry nothing else.
        self.outputs: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self._mirrors)

    def configure(self, wanted: tuple[MirrorSettings, ...]) -> bool:
        """Have these mirrors; those that stay go on counting. Whether anything changed."""
        if wanted == tuple(mirror.settings for mirror in self._mirrors.values()):
            return False
        old, self._mirrors = self._mirrors, {}
        for settings in wanted:
            mirror = self._mirrors[settings.id] = old.get(settings.id) or Mirror(settings)
            mirror.settings = settings
        self._sources, self._targets = {}, {}
        for mirror in self._mirrors.values():
            for name in mirror.settings.sources:
                self._sources.setdefault(name, []).append(mirror)
            for name in mirror.settings.targets:
                self._targets.setdefault(name, []).append(mirror)
        outputs = (mirror.settings.output_port for mirror in self._mirrors.values())
        self.outputs = frozenset(name for name in outputs if name)
        return True

    def candidates(self, bundle: str, entering: bool) -> list[Mirror]:
        """The mirrors that select packets which enter or leave through a bundle."""
        return (self._sources if entering else self._targets).get(bundle, [])

    def bits_of(self, bridge: str, mirrored: Set[Destination]) -> int:
        """A bit for each mirror of this bridge that has sent the packet to its destination."""
        mirrors = enumerate(self._mirrors.values())
        return sum(1 << n for n, mirror in mirrors if (bridge, *mirror.destination) in mirrored)

    def of_bits(self, bridge: str, bits: int) -> frozenset[Destination]:
        """The destinations of the mirrors whose bits are set."""
        mirrors = enumerate(self._mirrors.values())
        return frozenset((bridge, *mirror.destination) for n, mirror in mirrors if bits >> n & 1)

    def stats(self, mirror_id: str) -> tuple[int, int] | None:
        """Packets and bytes; None if there is no such mirror."""
        mirror = self._mirrors.get(mirror_id)
        return None if mirror is None else (mirror.n_packets, mirror.n_bytes)
