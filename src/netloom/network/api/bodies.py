"""From a request's body to values: shape, names, types, defaults, by the resource table."""

from __future__ import annotations

from typing import Any

from netloom.network.errors import bad_request, refusal
from netloom.network.model.attribute import Missing, Resource


def read_body(row: Resource, content: Any, *, create: bool) -> tuple[list[dict[str, Any]], bool]:
    """The things that the body describes, checked and converted; whether there may be many."""
    if not isinstance(content, dict):
        raise bad_request(
            "Resource body required" if content is None else "Body contains invalid data"
        )
    if create and row.collection in content and row.name not in content:
        things = content[row.collection]
        if not isinstance(things, list) or not things:
            raise bad_request("Resources required")
        return [_checked(row, _unwrapped(row, thing), create=True) for thing in things], True
    if row.name not in content:
        raise bad_request(f"Unable to find '{row.name}' in request body")
    return [_checked(row, content[row.name], create=create)], False


def _unwrapped(row: Resource, thing: Any) -> Any:
    """Members of a bulk request may be wrapped once more."""
    if isinstance(thing, dict) and thing.keys() == {row.name}:
        return thing[row.name]
    return thing


def _checked(row: Resource, thing: Any, *, create: bool) -> dict[str, Any]:
    if not isinstance(thing, dict):
        raise bad_request("Invalid input. Reason: the resource must be an object.")
    unknown = [name for name in thing if name not in row.by_name]
    if unknown:
        raise bad_request(f"Unrecognized attribute(s) '{', '.join(unknown)}'")
    for name in thing:
        attribute = row.by_name[name]
        if create and not attribute.post:
            raise bad_request(f"Attribute '{name}' not allowed in POST")
        if not create and not attribute.put:
            raise bad_request(f"Cannot update read-only attribute {name}")
    if create:
        for attribute in row.attributes:
            if attribute.default is Missing.REQUIRED and attribute.name not in thing:
                raise bad_request(
                    f"Failed to parse request. Required attribute '{attribute.name}' not specified"
                )
    return {name: _value(row, name, value) for name, value in thing.items()}


def _value(row: Resource, name: str, value: Any) -> Any:
    try:
        return row.by_name[name].kind.check(value)
    except ValueError as error:
        raise refusal(name, error) from None
