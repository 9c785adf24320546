"""What a program says to keystone to be somebody: a name and a password, and for which project.

The names of the options are those of keystoneauth's password plugin, as `[keystone_authtoken]`
has them in everybody's files. Domains and projects are named by `_id` or by `_name`; `system_scope
= all` asks for a token of the whole installation instead of one of a project's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from netloom.base.errors import ConfigError

DEFAULT_DOMAIN = "Default"
#: Ways to authenticate; both are this one.
PASSWORD_TYPES = ("password", "v3password")
#: Options that others read in the same section, and that change nothing here.
OF_OTHERS = frozenset(
    {
        "auth_section",
        "auth_uri",
        "auth_version",
        "delay_auth_decision",
        "include_service_catalog",
        "memcached_servers",
        "region_name",
        "service_token_roles",
        "service_token_roles_required",
        "service_type",
        "token_cache_time",
        "www_authenticate_uri",
    }
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Options of `[keystone_authtoken]`, each named as there."""

    auth_url: str = ""
    auth_type: str = "password"
    username: str = ""
    user_id: str = ""
    user_domain_name: str = ""
    user_domain_id: str = ""
    password: str = ""
    project_name: str = ""
    project_id: str = ""
    project_domain_name: str = ""
    project_domain_id: str = ""
    system_scope: str = ""
    cafile: str = ""
    insecure: str = "false"

    @property
    def tokens_url(self) -> str:
        """Where tokens are asked for."""
        url = self.auth_url.rstrip("/")
        return f"{url if url.endswith('/v3') else f'{url}/v3'}/auth/tokens"

    @property
    def trusts_anybody(self) -> bool:
        """Whether keystone's certificate is not checked."""
        return self.insecure.lower() in ("true", "1", "yes", "on")

    def request_body(self) -> dict[str, Any]:
        """The body that asks for a token."""
        user = self._reference(self.user_id, self.username, "user")
        user["password"] = self.password
        identity = {"methods": ["password"], "password": {"user": user}}
        scope: dict[str, Any] = {"system": {"all": True}}
        if not self.system_scope:
            scope = {
                "project": self._reference(
                    self.project_id, self.project_name or "service", "project"
                )
            }
        return {"auth": {"identity": identity, "scope": scope}}

    def _reference(self, key: str, name: str, kind: str) -> dict[str, Any]:
        if key:
            return {"id": key}
        domain = getattr(self, f"{kind}_domain_id")
        if domain:
            return {"name": name, "domain": {"id": domain}}
        named = getattr(self, f"{kind}_domain_name") or DEFAULT_DOMAIN
        return {"name": name, "domain": {"name": named}}


OPTIONS = MappingProxyType({field.name: field for field in fields(Credentials)})


def read_credentials(options: Mapping[str, str]) -> Credentials:
    """The credentials among the options of a section; what is not one of them is for others.

    `ConfigError` if something is missing or cannot be done.
    """
    found = Credentials(**{name: options[name] for name in OPTIONS.keys() & options.keys()})
    where = "[keystone_authtoken]"
    if found.auth_type not in PASSWORD_TYPES:
        known = ", ".join(PASSWORD_TYPES)
        raise ConfigError(f"'{found.auth_type}' is not one of {known}", f"{where} auth_type")
    if not found.auth_url:
        raise ConfigError("tokens need it", f"{where} auth_url")
    if not found.username and not found.user_id:
        raise ConfigError("tokens need it", f"{where} username")
    if found.system_scope not in ("", "all"):
        raise ConfigError("only 'all' is possible", f"{where} system_scope")
    return found
