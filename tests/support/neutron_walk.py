"""The requests of the comparison with Neutron, sent to anyone who answers; answers made comparable.

Ids become the names under which the requests know them, times, MACs and addresses that the server
chose become words. Of an error its status and type are kept: its words are each server's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

REQUESTS = Path(__file__).parents[1] / "interop" / "neutron_requests.txt"
ANSWERS = REQUESTS.with_name("neutron_answers.json")

#: Sends (method, path, body, project, role) and returns status and content. No project: an
#: administrator of the project "admin".
Send = Callable[[str, str, Any, str, str], tuple[int, Any]]

_LINE = re.compile(
    r"(?:@(?P<project>\w+)(?:/(?P<role>\w+))? )?(?P<method>[A-Z]+) (?P<path>\S+)"
    r"(?: (?P<body>[{\[\"].*?))?(?: > (?P<name>\w+))?$"
)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_CHOSEN = (
    ("time", re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")),
    ("link", re.compile(r"https?://.*")),
    ("address", re.compile(r"host(?:-[0-9a-f]+){4,}")),
    ("mac", re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")),
)
#: Attributes whose values the server may choose: shown only if the request line has them.
_ADDRESSES = frozenset({"ip_address", "fixed_ip_address", "floating_ip_address"})
_SEGMENT = "provider:segmentation_id"
#: How a server counts its own changes, and what belongs to extensions that ours does not announce.
_LEFT_OUT = frozenset({"revision_number", "segment_id", "router_route", "standard_attr_id"})
#: Of networks: if they are external; of others Neutron shows it when they are made.
_OF_DEFAULT_NETWORK = "is_default"


#: Projects are known by ids, as keystone makes them.
PROJECTS = {"p1": "1" * 32, "p2": "2" * 32}


class Asked(NamedTuple):
    line: str
    method: str
    path: str
    body: str
    project: str
    role: str
    name: str


class Answer(NamedTuple):
    line: str
    status: int
    content: Any


def requests() -> Iterator[Asked]:
    for line in REQUESTS.read_text().splitlines():
        if not line or line.startswith(("#", "==")):
            continue
        found = _LINE.match(line)
        assert found is not None, line
        words = found.groupdict("")
        role = words["role"] or "member"
        yield Asked(
            line, words["method"], words["path"], words["body"], words["project"], role,
            words["name"],
        )  # fmt: skip


class _Names:
    """Ids by name, and back."""

    def __init__(self, literal: str) -> None:
        self._ids = dict(PROJECTS)
        self._names = {found: found for found in _UUID.findall(literal)}

    def add(self, name: str, content: Any) -> None:
        made = next(iter(content.values())) if isinstance(content, dict) and content else None
        if isinstance(made, dict) and "id" in made:
            self._ids[name] = made["id"]
            self._names[made["id"]] = f"${name}"

    def fill(self, text: str) -> str:
        """The text with ids in place of names; nobody's id for what could not be made."""
        nobody = "00000000-0000-4000-8000-000000000000"
        return re.sub(r"\$(\w+)", lambda found: str(self._ids.get(found[1], nobody)), text)

    def of(self, found: re.Match[str]) -> str:
        return str(self._names.get(found[0], "<id>"))


def _comparable(value: Any, names: _Names, line: str, key: str = "") -> Any:
    if isinstance(value, dict):
        shown = {name: _comparable(one, names, line, name) for name, one in value.items()}
        if not shown.get("router:external", True):
            shown.pop(_OF_DEFAULT_NETWORK, None)
        if "normalized_cidr" in shown and key:
            shown.pop("tags", None)
        return {name: one for name, one in sorted(shown.items()) if name not in _LEFT_OUT}
    if isinstance(value, list):
        each = [_comparable(one, names, line, key) for one in value]
        return each if "sort_key" in line else sorted(each, key=json.dumps)
    if key in _ADDRESSES and value is not None and value not in line:
        return "<address>"
    if key == "description" and "/extensions/" in line:
        return "<words>"
    if key == _SEGMENT and value is not None and _SEGMENT not in line:
        return "<segment>"
    if not isinstance(value, str):
        return value
    for word, pattern in _CHOSEN:
        if value not in line:
            value = pattern.sub(f"<{word}>", value)
    return _UUID.sub(names.of, value)


def walk(send: Send) -> Iterator[Answer]:
    """Send every request in turn."""
    names = _Names(REQUESTS.read_text())
    for asked in requests():
        body = json.loads(names.fill(asked.body)) if asked.body else None
        path = names.fill(asked.path)
        project = PROJECTS.get(asked.project, "")
        status, content = send(asked.method, path, body, project, asked.role)
        if asked.name:
            names.add(asked.name, content)
        yield Answer(asked.line, status, _shown(status, content, names, asked.line))


def _shown(status: int, content: Any, names: _Names, line: str) -> Any:
    if status < 400:
        return _comparable(content, names, line)
    error = content.get("NeutronError") if isinstance(content, dict) else None
    return error["type"] if isinstance(error, dict) and "type" in error else ""
