"""Has a switch daemon that starts again wait for its flows: `other_config:flow-restore-wait`.

A daemon that finds this key when it starts leaves the flows in the kernel as its predecessor left
them, whatever killed that one, and holds what comes up, until the key goes. So the agent keeps
the key set for as long as it runs. Whenever a daemon has been given all flows of all bridges, the
agent takes the key away, waits until the daemon has seen that (`cur_cfg`), and sets it again: for
the next one.

What must hold: nobody waits for ever. An agent that ends in good order takes the key with it.
Behind one that was killed it stays, so that a daemon that starts then has the next agent finish
the work; if none comes, the daemon goes on by itself after `flow-restore-timeout` (seconds, a key
of this daemon). An agent that starts and cannot fill the switch within `LIMIT_S`, as after a start
of the machine with the service behind that very switch, takes the key away as well.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from netloom.ovsdb.idl import Idl
from netloom.ovsdb.idl_txn import Transaction
from netloom.ovsdb.row import Row

WAIT, TIMEOUT = "flow-restore-wait", "flow-restore-timeout"
LIMIT_S = 20

#: Carries out a transaction, or raises.
Commit = Callable[[Transaction], Awaitable[None]]
#: How often each bridge was given all of its flows.
Fills = tuple[tuple[str, int], ...]


class RestoreWait:
    """See the module. `released` are the fills at the last release."""

    def __init__(self, idl: Idl, commit: Commit) -> None:
        self._idl = idl
        self._commit = commit
        self._released: Fills = ()
        #: The configuration that the daemon must have seen before the key is set again.
        self._seen_cfg = 0
        self._has_left = False

    @property
    def has_filled(self) -> bool:
        """Has any switch been given all flows?"""
        return bool(self._released)

    async def follow(self, fills: Fills) -> None:
        """All flows of all bridges are in."""
        root = self._root()
        if root is None or self._has_left:
            return
        is_set = root.mapping("other_config").get(WAIT) == "true"
        if is_set and fills != self._released:
            await self.release()
        elif not is_set and root.integer("cur_cfg") >= min(
            self._seen_cfg, root.integer("next_cfg")
        ):
            txn = Transaction(self._idl)
            txn.put_pairs(root, "other_config", {WAIT: "true", TIMEOUT: str(LIMIT_S)})
            await self._commit(txn)
        self._released = fills

    async def leave(self) -> None:
        """The agent ends: have nobody wait for it."""
        self._has_left = True
        await self.release()

    async def release(self) -> None:
        """Have the daemon go on."""
        root = self._root()
        if root is None or WAIT not in root.mapping("other_config"):
            return
        txn = Transaction(self._idl)
        txn.remove_elements(root, "other_config", (WAIT, TIMEOUT))
        txn.increment(root, "next_cfg")
        await self._commit(txn)
        self._seen_cfg = txn.increment_value or 0

    def _root(self) -> Row | None:
        rows = self._idl.rows("Open_vSwitch") if self._idl.synced else []
        return rows[0] if rows else None
