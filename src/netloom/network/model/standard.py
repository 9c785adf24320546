"""Attributes that many resources have: identity, owner, description, revision, times, tags."""

from __future__ import annotations

from netloom.network.model import kinds
from netloom.network.model.attribute import (
    ADMIN,
    ANYONE,
    OWNER,
    READER,
    Attribute,
    given,
    once,
    output,
)

ID = output("id", kinds.UUID)
#: `tenant_id` is the old name of `project_id`; both are always shown and either may be given.
PROJECT = (
    once("tenant_id", kinds.PROJECT, may_set=OWNER),
    once("project_id", kinds.PROJECT, extension="project-id", may_set=OWNER),
)
STANDARD: tuple[Attribute, ...] = (
    given("description", kinds.DESCRIPTION, "", extension="standard-attr-description"),
    output("created_at", kinds.OUTPUT, extension="standard-attr-timestamp"),
    output("updated_at", kinds.OUTPUT, extension="standard-attr-timestamp"),
    output("revision_number", kinds.integer(), extension="standard-attr-revisions"),
)
TAGS = output("tags", kinds.TAGS, extension="standard-attr-tag", sort=False, filter=False)

#: Rights of what tenants own.
OWNED = {"create": OWNER, "show": READER, "list": ANYONE, "update": OWNER, "delete": OWNER}
#: Rights of what administrators run.
ADMIN_ONLY = {"create": ADMIN, "show": ADMIN, "list": ADMIN, "update": ADMIN, "delete": ADMIN}


def name_attribute() -> Attribute:
    """The free name that most things have."""
    return given("name", kinds.NAME, "")
