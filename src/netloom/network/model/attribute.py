"""The shape of the resource table: attributes and resources as values.

An `Attribute` says everything about one attribute: its type, its default, whether requests may give
it on creation and on update and which right that takes, who sees it, and the extension that brings
it. A `Resource` has attributes, names, URL segments and rights per operation. Routing, validation,
serialisation, filters, the reference page and the OpenAPI document read these and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from netloom.network.model.kinds import Kind


class Missing(Enum):
    """Two ways of having no default."""

    REQUIRED = "required"
    #: Left out of the body; the plan decides.
    UNSET = "unset"


REQUIRED: Final = Missing.REQUIRED
UNSET: Final = Missing.UNSET

#: What a right means: see `netloom.network.identity.policy`.
ANYONE, OWNER, ADMIN = "anyone", "owner", "admin"
NETWORK_OWNER = "network owner"
OWNER_OR_NETWORK_OWNER = "owner, or network owner"
READER = "reader"
#: The owner, but with this value only an administrator (used for `shared`).
ADMIN_IF_TRUE = "admin if true"


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a resource; `post` and `put` tell where a request may give it."""

    name: str
    kind: Kind
    default: Any = UNSET
    post: bool = False
    put: bool = False
    #: Who may give it (a right); the resource's own right counts too.
    may_set: str = OWNER
    #: Who may change it later, if not the same.
    may_change: str = ""
    #: Who sees it in answers: OWNER means everyone who sees the resource.
    may_see: str = OWNER
    #: False for input only, like `prefixlen` of a subnet.
    shown: bool = True
    filter: bool = True
    sort: bool = True
    #: Alias of the extension that has it; empty for the core of the API.
    extension: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of thing: `name` in bodies, `collection` for many, `path` in URLs."""

    name: str
    collection: str
    attributes: tuple[Attribute, ...]
    path: str = ""
    #: The resource whose sub-resource it is (port forwardings of floating IPs).
    parent: str = ""
    parent_key: str = ""
    not_found: str = ""
    not_found_place: str = ""
    #: operation -> right; an operation that is missing here does not exist.
    rights: dict[str, str] = field(default_factory=dict)
    #: May be tagged, by this collection name.
    tagged: bool = False
    #: Has revision_number, created_at, updated_at and description.
    standard: bool = True
    quota: bool = False
    extension: str = ""
    text: str = ""
    by_name: dict[str, Attribute] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {entry.name: entry for entry in self.attributes})
        if not self.path:
            object.__setattr__(self, "path", self.collection.replace("_", "-"))


def given(name: str, kind: Kind, default: Any = UNSET, **more: Any) -> Attribute:
    """An attribute that creation and update may give."""
    return Attribute(name, kind, default, post=True, put=True, **more)


def once(name: str, kind: Kind, default: Any = UNSET, **more: Any) -> Attribute:
    """An attribute that only creation may give."""
    return Attribute(name, kind, default, post=True, **more)


def output(name: str, kind: Kind, **more: Any) -> Attribute:
    """An attribute that the server alone sets."""
    return Attribute(name, kind, **more)
