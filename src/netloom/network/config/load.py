"""From the texts of configuration files to `Settings`."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from netloom.base.errors import ConfigError
from netloom.network.config.ini import Value, expand, merge, parse_file
from netloom.network.config.options import BY_PLACE, KEYSTONE, WITHOUT_EFFECT
from netloom.network.identity import credentials
from netloom.network.settings import Settings


def load_settings(files: list[tuple[str, str]]) -> tuple[Settings, list[str]]:
    """The settings of (name, text) files, later ones first in right; and warnings.

    `ConfigError` names file and line of an option that is unknown or has a value that is wrong.
    """
    sections = merge([parse_file(text, name) for name, text in files])
    fields: dict[str, Any] = {}
    quotas: dict[str, int] = {}
    warnings: list[str] = []
    for section, options in sections.items():
        if section == KEYSTONE:
            for name, values in options.items():
                check_keystone(name, values[-1])
            found = {
                name: expand(sections, section, values[-1]) for name, values in options.items()
            }
            fields["keystone"] = MappingProxyType(found)
            continue
        for name, values in options.items():
            value = values[-1]
            option = BY_PLACE.get((section, name))
            if option is None:
                warnings.append(_without_effect(section, name, value))
                continue
            try:
                meant = option.kind(expand(sections, section, value))
            except ValueError as error:
                raise ConfigError(f"[{section}] {name}: {error}", value.where) from None
            if option.quota:
                quotas[option.quota] = meant
            else:
                fields[option.field] = meant
    settings = replace(Settings(), **fields)
    if quotas:
        settings = replace(settings, quotas=MappingProxyType({**settings.quotas, **quotas}))
    _check(settings)
    return settings, warnings


def _without_effect(section: str, name: str, value: Value) -> str:
    reason = WITHOUT_EFFECT.get((section, name)) or WITHOUT_EFFECT.get((section, "*"))
    if reason is not None:
        return f"{value.where}: [{section}] {name} has no effect: {reason}"
    names = [known for place, known in BY_PLACE if place == section]
    if not names:
        sections = sorted({place for place, _ in [*BY_PLACE, *WITHOUT_EFFECT]})
        near = get_close_matches(section, sections, 1)
        hint = f" (did you mean [{near[0]}]?)" if near else ""
        raise ConfigError(f"unknown section [{section}]{hint}", value.where)
    near = get_close_matches(name, names, 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise ConfigError(f"[{section}] has no option '{name}'{hint}", value.where)


def check_keystone(name: str, value: Value) -> None:
    """Raise `ConfigError` unless this is an option of `[keystone_authtoken]`."""
    known = credentials.OPTIONS.keys() | credentials.OF_OTHERS
    if name not in known and not name.startswith("memcache_"):
        near = get_close_matches(name, sorted(known), 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ConfigError(f"[{KEYSTONE}] has no option '{name}'{hint}", value.where)


def _check(settings: Settings) -> None:
    if settings.auth_strategy == "noauth" and not is_loopback(settings.bind_host):
        raise ConfigError(
            f"without authentication anyone who reaches {settings.bind_host} may do everything; "
            "listen on a loopback address, or set auth_strategy to keystone",
            "[DEFAULT] bind_host",
        )
    if settings.overlay_ip_version not in (4, 6):
        raise ConfigError("must be 4 or 6", "[ml2] overlay_ip_version")
    if settings.auth_strategy == "keystone":
        credentials.read_credentials(settings.keystone)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    return host in ("localhost", "::1") or host.startswith("127.")
