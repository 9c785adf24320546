"""The shape of RSTP's state machines: tables of states."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from netloom.protocols.rstp import Rstp, RstpPort

Enter = Callable[["Rstp", "RstpPort"], None]
Leave = Callable[["Rstp", "RstpPort"], "str | None"]
Machine = dict[str, "State"]


class State(NamedTuple):
    """One state of a machine."""

    enter: Enter | None
    leave: Leave


def always(name: str) -> Leave:
    """Go there at once."""
    return lambda tree, port: name
