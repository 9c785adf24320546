"""Tags: free words on things."""

from __future__ import annotations

from typing import Any

from netloom.network.call import Call
from netloom.network.commit import updated
from netloom.network.document import Document
from netloom.network.errors import bad_request, fail, invalid_input, refusal
from netloom.network.model.kinds import TAGS

MAX_TAGS = 50


def checked(body: Any) -> list[str]:
    """The tags of a request's body."""
    given = body.get("tags") if isinstance(body, dict) else None
    if not isinstance(given, list):
        raise invalid_input("'tags' must be a list of strings")
    try:
        tags = TAGS.check(given)
    except ValueError as error:
        raise refusal("tags", error) from None
    return list(dict.fromkeys(tags))


def set_tags(call: Call, kind: str, document: Document, tags: list[str]) -> Document:
    """The document with these tags only."""
    if len(tags) > MAX_TAGS:
        raise bad_request(f"The number of tags exceed the per-resource limit of {MAX_TAGS}")
    return updated(call, kind, document, {**document, "tags": sorted(tags)})


def add_tag(call: Call, kind: str, document: Document, tag: str) -> Document:
    """The document with one more tag."""
    (checked_tag,) = checked({"tags": [tag]})
    if checked_tag in document["tags"]:
        return document
    return set_tags(call, kind, document, [*document["tags"], checked_tag])


def remove_tag(call: Call, kind: str, document: Document, tag: str) -> Document:
    """The document with one tag less."""
    if tag not in document["tags"]:
        raise fail("TagNotFound", tag=tag)
    return set_tags(call, kind, document, [one for one in document["tags"] if one != tag])
