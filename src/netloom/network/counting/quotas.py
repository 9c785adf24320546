"""Quotas: limits per project, defaults, usage."""

from __future__ import annotations

from typing import Any

from netloom.network.call import Call
from netloom.network.commit import quota_limit
from netloom.network.errors import bad_request, fail, refusal
from netloom.network.model.kinds import integer
from netloom.network.model.table import RESOURCES

_LIMIT = integer(-1, 0x7FFFFFFF)


def counted() -> list[str]:
    """The kinds that have quotas."""
    return [row.name for row in RESOURCES if row.quota]


def show(call: Call, project_id: str) -> dict[str, int]:
    """The project's limits."""
    return {kind: quota_limit(call, kind, project_id) for kind in counted()}


def defaults(call: Call) -> dict[str, int]:
    """The limits of projects without their own."""
    settings = call.settings
    return {kind: settings.quotas.get(kind, settings.default_quota) for kind in counted()}


def details(call: Call, project_id: str) -> dict[str, dict[str, int]]:
    """Limits and usage."""
    return {
        kind: {
            "limit": quota_limit(call, kind, project_id),
            "used": call.tx.count(kind, project_id),
            "reserved": 0,
        }
        for kind in counted()
    }


def update(call: Call, project_id: str, body: Any) -> dict[str, int]:
    """Set limits; the project's limits then."""
    wanted = body.get("quota") if isinstance(body, dict) else None
    if not isinstance(wanted, dict):
        raise bad_request("Unable to find 'quota' in request body")
    wanted = {key: value for key, value in wanted.items() if key not in ("tenant_id", "project_id")}
    # The default of the protocol: limits below what is in use are refused, unless forced.
    forced = wanted.pop("force", False) in (True, "true", "True")
    check = wanted.pop("check_limit", True) in (True, "true", "True") and not forced
    unknown = sorted(wanted.keys() - set(counted()))
    if unknown:
        raise bad_request(f"Unrecognized attribute(s) '{', '.join(unknown)}'")
    limits = {}
    for kind, value in wanted.items():
        try:
            limits[kind] = _LIMIT.check(value)
        except ValueError as error:
            raise refusal(kind, error) from None
    for kind, limit in limits.items() if check else ():
        used = call.tx.count(kind, project_id)
        if 0 <= limit < used:
            raise bad_request(
                f"Quota limit {limit} for {kind} must be greater than or equal to already used "
                f"{used}"
            )
    call.tx.relations.set_quotas(project_id, limits)
    return show(call, project_id)


def reset(call: Call, project_id: str) -> None:
    """Back to the defaults."""
    if not call.tx.relations.delete_quotas(project_id):
        raise fail("TenantQuotaNotFound", tenant_id=project_id)


def list_all(call: Call) -> list[dict[str, Any]]:
    """The limits of every project that has its own."""
    return [
        {**show(call, project), "tenant_id": project, "project_id": project}
        for project in call.tx.relations.quota_projects()
    ]
