"""Threads of a data path that poll receive queues, for those who ask for them or look at them.

Only a data path in user space has any. Each has flows of its own: what a packet on one thread's
queue installs is a miss to another thread. `ofproto` has one flow for all of them, whose counters
are sums.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from netloom.datapath.dpif import Flow

#: The name of the thread that takes what no other polls; the others are named after their cores.
MAIN_THREAD: Final = -1


class Polling(Protocol):
    """What a data path with such threads offers besides (`Dpif.polling`)."""

    @property
    def has_threads(self) -> bool:
        """Is there any besides the main one?"""

    def set_config(self, values: Mapping[str, str]) -> None:
        """Take over the keys of `Open_vSwitch.other_config` that are about threads."""

    def set_port_config(self, number: int, values: Mapping[str, str]) -> None:
        """Take over those of `Interface.other_config`."""

    def serve(self, thread: int | None, n_upcalls: int = 0) -> None:
        """What follows is done for so many packets of this thread, until the next call; None: for
        nobody in particular."""

    def share(self, key: int, mask: int) -> None:
        """The thread that is served gets the flow with this key and mask, which others have."""

    def flows_by_thread(self) -> Iterator[tuple[int, Iterator[Flow]]]:
        """The flows of each thread, the main one first."""

    def deadline(self) -> int | None:
        """When `run` is to be called next, packets or not."""
