"""Our service answers as a real Neutron did, which tools/record_neutron.py asked the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.network_api import Api
from tests.support.neutron_walk import ANSWERS, REQUESTS, Answer, requests, walk

SETTINGS = {
    "tunnel_id_ranges": ((1, 1000),),
    "dns_domain": "example.org.",
    "extension_drivers": ("port_security", "dns_domain_ports"),
}

#: Where we answer otherwise on purpose: the request line, and why.
DIFFERENT = {
    'PUT /networks {"network": {"name": "x"}}': "a collection has no such method",
    "DELETE /networks": "a collection has no such method",
    'POST /ports {"port": {"network_id": "$pnet", "binding:profile": {"a": 1}}}': (
        "administrators may: there need not be a service role"
    ),
    'PUT /security-group-rules/$rule80 {"security_group_rule": {"description": "words"}}': (
        "Neutron fails inside"
    ),
    '@p2 POST /security-group-rules {"security_group_rule": {"security_group_id": "$web", '
    '"direction": "ingress"}}': "a stranger does not learn that the group is there",
    "DELETE /floatingips/$fip1": "it is still there, though its port is gone",
    'PUT /routers/$r1/add_router_interface {"port_id": "$rport"}': "either subnet may be first",
    'PUT /subnetpools/$sp {"subnetpool": {"prefixes": ["10.100.0.0/15"]}}': "all is shown",
    'PUT /subnetpools/$sp {"subnetpool": {"name": "renamed"}}': "all is shown",
    'PUT /subnetpools/$vsp {"subnetpool": {"default_prefixlen": "30"}}': "all is shown, as by GET",
    'PUT /subnetpools/$wsp {"subnetpool": {"default_prefixlen": 30}}': "all is shown, as by GET",
    '@p1 PUT /floatingips/$vf3 {"floatingip": {}}': "forwardings are shown as by GET",
    "GET /extensions/nothing": "errors have a type",
}


def our_answers() -> list[Answer]:
    api = Api(**SETTINGS)

    def send(method: str, path: str, body: Any, project: str, role: str) -> tuple[int, Any]:
        roles = {"member": "member,reader"}.get(role, role) if project else "admin,member,reader"
        return api.request(method, path, body, project or "admin", roles)

    return list(walk(send))


OURS = our_answers()
THEIRS = [Answer(*answer) for answer in json.loads(ANSWERS.read_text())]


def test_the_record_is_of_these_requests() -> None:
    asked = [one.line for one in requests()]
    assert asked == [one.line for one in THEIRS], f"run make record-neutron after {REQUESTS.name}"


@pytest.mark.parametrize("number", range(len(THEIRS)))
def test_an_answer_is_that_of_neutron(number: int) -> None:
    ours, theirs = OURS[number], THEIRS[number]
    if ours.line in DIFFERENT:
        assert ours.status < 500, ours.line
    else:
        assert ours == theirs, ours.line


def test_every_difference_is_one() -> None:
    different = {ours.line for ours, theirs in zip(OURS, THEIRS, strict=True) if ours != theirs}
    assert different >= DIFFERENT.keys()
