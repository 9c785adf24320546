"""No authentication: whoever reaches the service may do everything.

For a service on the loopback interface, for labs and tests. `X-Project-Id` (or `X-Tenant-Id`) and
`X-Roles` make the request one of that project with these roles, so that what tenants may and may
not do can be tried without an identity service.
"""

from __future__ import annotations

from netloom.network.document import Caller

#: The project of requests that name none.
DEFAULT_PROJECT = "admin"


class NoAuth:
    """Believes what the headers say."""

    def answers_at_once(self, headers: dict[str, str]) -> bool:
        """It does: nobody is asked."""
        return True

    def may_go_on(self, headers: dict[str, str]) -> bool:
        """Whether it was an administrator who began."""
        return self.caller(headers).is_admin

    def caller(self, headers: dict[str, str]) -> Caller:
        """The project and roles of the headers, or the administrator."""
        project = headers.get("x-project-id") or headers.get("x-tenant-id") or DEFAULT_PROJECT
        roles = headers.get("x-roles", "")
        named = frozenset(word.strip().lower() for word in roles.split(",") if word.strip())
        return Caller(project, named or frozenset({"admin"}), headers.get("x-user-id", ""))
