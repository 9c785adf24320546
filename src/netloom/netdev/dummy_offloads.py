"""What a dummy says of checksums, and leaves undone: its `options:ol_...`.

Of packets that come in it can say that the checksum of IP (`ol_ip_rx_csum_set_...`) or of the
transport header (`ol_l4_...`) is good, bad or partial, whatever it is, and leave TCP uncut
(`ol_tso_segsz`, bytes of payload of a segment). When it sends it fills the checksums of IP
(`ol_ip_tx_csum`), of TCP and UDP (`ol_l4_tx_csum`) and, in front of a tunnel, of IP and UDP
(`ol_out_ip_tx_csum`, `ol_out_udp_tx_csum`) itself, but only announces to do so with
`..._disabled`: then who looks at what was sent sees what was left to the device.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from netloom.base.numbers import decimal
from netloom.packet.marks import (
    IP_BAD,
    IP_GOOD,
    IP_PARTIAL,
    L4_BAD,
    L4_GOOD,
    L4_PARTIAL,
    TX_IP,
    TX_OUTER_IP,
    TX_OUTER_UDP,
    TX_SEGMENTS,
    TX_TCP,
    TX_UDP,
    describe,
    finish_marks,
)
from netloom.packet.offload import NO_OFFLOAD, Offload, segmentation

_RECEIVED: Final = (("ip", IP_GOOD, IP_BAD, IP_PARTIAL), ("l4", L4_GOOD, L4_BAD, L4_PARTIAL))
#: Option -> what the device fills.
_SENT: Final = {
    "ol_ip_tx_csum": TX_IP,
    "ol_l4_tx_csum": TX_TCP | TX_UDP,
    "ol_out_ip_tx_csum": TX_OUTER_IP,
    "ol_out_udp_tx_csum": TX_OUTER_UDP,
}
_SEGMENTS: Final = "ol_tso_segsz"


class DummyOffloads(NamedTuple):
    """See the module. `marks` is what is said of what comes in; `announced` what the device does
    when it sends, `withheld` what of that it does not do in truth; `segment_size` is 0 if TCP comes
    and leaves cut; `shown` are the options that say all this."""

    marks: int = 0
    announced: int = 0
    withheld: int = 0
    segment_size: int = 0
    shown: tuple[tuple[str, str], ...] = ()

    def of_received(self, data: bytes) -> Offload | None:
        """What is known of a packet that comes in, and left to do."""
        offload = segmentation(data, self.segment_size) if self.segment_size else None
        if not self.marks:
            return offload
        return (offload or NO_OFFLOAD)._replace(marks=self.marks)

    def finish(self, data: bytes, marks: int) -> bytes:
        """A packet as it is on the wire: first without the device, then what the device does."""
        data, marks = finish_marks(data, marks, self.announced)
        return finish_marks(data, marks, self.withheld)[0]


NO_OFFLOADS: Final = DummyOffloads()


def read_offloads(options: Mapping[str, str], leaves_segments: bool) -> DummyOffloads:
    """What the options of a dummy say; `leaves_segments`: TCP may be left uncut at all."""
    shown: list[tuple[str, str]] = []
    marks = 0
    for layer, good, bad, partial in _RECEIVED:
        states = (("good", good), ("bad", bad), ("partial", partial))
        said = [(f"ol_{layer}_rx_csum_set_{word}", bits) for word, bits in states]
        said = [(name, bits) for name, bits in said if _is_on(options, name)]
        # Of several, the first.
        marks |= said[0][1] if said else 0
        shown += [(name, "true") for name, _ in said]
    announced = withheld = 0
    for name, bits in _SENT.items():
        if not _is_on(options, name):
            continue
        announced |= bits
        shown.append((name, "true"))
        if _is_on(options, f"{name}_disabled"):
            withheld |= bits
            shown.append((f"{name}_disabled", "true"))
    size = (decimal(options.get(_SEGMENTS, "")) or 0) if leaves_segments else 0
    if size:
        announced |= TX_SEGMENTS | TX_TCP
        shown.append((_SEGMENTS, str(size)))
        if not _is_on(options, "ol_l4_tx_csum"):
            # Who can cut can fill; what of that is seen is the packet before.
            withheld |= TX_TCP
    if not shown:
        return NO_OFFLOADS
    return DummyOffloads(marks, announced, withheld, size, tuple(shown))


def _is_on(options: Mapping[str, str], name: str) -> bool:
    return options.get(name, "").lower() == "true"


def describe_received(offload: Offload | None) -> str:
    """A packet that came in, for the log."""
    ip, l4, *_ = describe(0 if offload is None else offload.marks)
    return f"packet with csum IP {ip}, L4 {l4}, segsz {0 if offload is None else offload.gso_size}"


def describe_sent(offload: Offload | None) -> str:
    """A packet that is sent, for the log."""
    ip, l4, tunnel, inner_ip, inner_l4 = describe(0 if offload is None else offload.marks)
    size = 0 if offload is None else offload.gso_size
    return (
        f"packet with csum IP {ip}, L4 {l4}, tunnel {tunnel}, inner csum IP {inner_ip}, "
        f"inner L4 {inner_l4}, segsz {size}"
    )
