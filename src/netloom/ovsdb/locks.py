"""The server's locks (RFC 7047 section 4.1.8): a name, its owner, and who waits for it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class LockClient(Protocol):
        """Whoever may own a lock and be told of it."""

        def lock_changed(self, method: str, name: str) -> None:
            """The lock came ("locked") or was taken away ("stolen")."""


class Locks:
    """All locks of one server; the first client in a queue owns the lock."""

    def __init__(self) -> None:
        self._queues: dict[str, list[LockClient]] = {}

    def is_waiting(self, client: LockClient, name: str) -> bool:
        """Whether the client owns the lock or waits for it."""
        return client in self._queues.get(name, ())

    def holds(self, client: LockClient, name: str) -> bool:
        queue = self._queues.get(name)
        return queue is not None and queue[0] is client

    def lock(self, client: LockClient, name: str) -> bool:
        """Queue up for a lock; whether the client owns it now."""
        queue = self._queues.setdefault(name, [])
        queue.append(client)
        return queue[0] is client

    def steal(self, client: LockClient, name: str) -> None:
        """Take a lock at once; its owner is told, and waits for it from now on."""
        queue = self._queues.setdefault(name, [])
        queue.insert(0, client)
        if len(queue) > 1:
            queue[1].lock_changed("stolen", name)

    def unlock(self, client: LockClient, name: str) -> None:
        """Give up a lock or the wait for it; the next in the queue is told."""
        queue = self._queues[name]
        owned = queue[0] is client
        queue.remove(client)
        if not queue:
            del self._queues[name]
        elif owned:
            queue[0].lock_changed("locked", name)

    def names_of(self, client: LockClient) -> tuple[list[str], list[str]]:
        """The names of the locks that a client owns, and of those that it waits for."""
        mine = [name for name in sorted(self._queues) if client in self._queues[name]]
        held = [name for name in mine if self.holds(client, name)]
        return held, [name for name in mine if name not in held]

    def drop_client(self, client: LockClient) -> None:
        """The client is gone."""
        for name in [name for name, queue in self._queues.items() if client in queue]:
            self.unlock(client, name)
