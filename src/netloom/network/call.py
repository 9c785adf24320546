"""What a plan is handed: the transaction, the caller, and the service's parts.

Plans are functions of a `Call` and documents. They read and write through `call.tx`, take choices
from `call.parts.choose` and names from `call.parts.new_id`, and raise `ApiError`. They keep
nothing: the same call may run again after a lost race.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netloom.network.document import Caller, Document
from netloom.network.errors import ApiError, fail
from netloom.network.model.table import resource
from netloom.network.settings import Settings

if TYPE_CHECKING:
    from netloom.network.ml2.drivers import Drivers
    from netloom.network.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Parts:
    """What a service is made of. `choose(n)` gives a number below n; `wall_ms` the time."""

    settings: Settings
    drivers: Drivers
    choose: Callable[[int], int]
    new_id: Callable[[], str]
    wall_ms: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Call:
    """One request (or one step of a bulk request) while it runs."""

    tx: Transaction
    caller: Caller
    parts: Parts

    @property
    def settings(self) -> Settings:
        return self.parts.settings

    def as_service(self) -> Call:
        """The same call with the service's own rights, for what follows from a request."""
        return Call(self.tx, Caller(self.caller.project_id, frozenset({"admin"})), self.parts)

    def require(self, kind: str, key: str) -> Document:
        """The document, or the API's error for this kind that it does not exist."""
        found = self.tx.get(kind, key)
        if found is None:
            raise not_found(kind, key)
        return found


def not_found(kind: str, key: str) -> ApiError:
    """The error that says that there is no such thing."""
    row = resource(kind)
    places = {row.not_found_place: key}
    if kind == "rbac_policy":
        places["object_type"] = "network"
    return fail(row.not_found, **places)
