"""Documents, changes and who asks: the values that every plan handles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

#: A resource in the shape that the API shows, less `tenant_id`, plus keys that begin with `_`.
Document = dict[str, Any]
Operation = Literal["create", "update", "delete"]


@dataclass(frozen=True, slots=True)
class Change:
    """Something that a transaction did: `before` is None on creation, `after` on deletion."""

    kind: str
    operation: Operation
    before: Document | None
    after: Document | None

    @property
    def document(self) -> Document:
        """What it is about: the new state, or the last one of what was deleted."""
        found = self.after if self.after is not None else self.before
        assert found is not None
        return found


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a project with roles. `user_id` is for logs only."""

    project_id: str
    roles: frozenset[str]
    user_id: str = ""

    @property
    def is_admin(self) -> bool:
        return "admin" in self.roles
