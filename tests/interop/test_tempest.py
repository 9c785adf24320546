"""A small part of Neutron's API test-suites (`make test-tempest` runs all), and bindings."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tests.interop.tempest_runs import expected, run_modules, surprises
from tests.support.network_server import network_server
from tests.support.peers import python_peer
from tests.support.tempest_site import tempest_site

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]
WALK = Path(__file__).with_name("neutronclient_walk.py")
PART = (
    "tempest.api.network.test_networks",
    "neutron_tempest_plugin.api.test_revisions",
)


def test_a_part_of_neutron_s_api_tests_passes(tmp_path: Path) -> None:
    python_peer("tempest", "tempest")
    with tempest_site(tmp_path / "site") as site:
        results = run_modules(site, tmp_path, PART)
        wrong = surprises(results, site.extensions)
    assert not wrong, "\n".join(f"{one.name}: {one.text[-1500:]}" for one in wrong)
    assert sum(one.outcome == "passed" for one in results) > 60


def test_every_expected_failure_has_a_reason() -> None:
    assert all(reason.strip() for reason in expected().values())


def test_the_bindings_of_neutronclient_know_our_answers(tmp_path: Path) -> None:
    python = python_peer("tempest")
    with network_server(tmp_path) as server:
        done = subprocess.run(
            [str(python), str(WALK)],
            env={"OS_ENDPOINT": server.url, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=100,
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "extensions": True,
        "ports": 7,
        "pages": [2, 2, 2, 1],
        "tags": ["b"],
        "missing": "NetworkNotFoundClient",
        "address": "IpAddressAlreadyAllocatedClient",
        "in use": "NetworkInUseClient",
        "bad": "BadRequest",
        "router in use": "Conflict",
    }
