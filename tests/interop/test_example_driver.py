"""The example of docs/drivers.md: installed as a package, found by its entry point, at work."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.support.network_server import MAIN, Server, network_server
from tests.support.peers import SOURCE, wait_until

pytestmark = pytest.mark.interop
EXAMPLE = Path(__file__).parents[2] / "examples/ml2-ledger"
#: A later section adds to an earlier one of the same name.
CONFIG = """\
[ml2]
mechanism_drivers = openvswitch,ledger
[ml2_ledger]
path = {ledger}
hosts = shelf1,shelf2
{more}
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package has been installed."""
    folder = tmp_path_factory.mktemp("driver")
    # A build leaves files beside the sources.
    source = shutil.copytree(EXAMPLE, folder / "source")
    target = folder / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps"]
    subprocess.run(
        [*pip, "--no-build-isolation", "--target", str(target), str(source)],
        check=True,
        capture_output=True,
        timeout=100,
    )
    return target


@pytest.fixture(scope="module")
def ledger(installed: Path) -> Path:
    return installed.parent / "ledger"


@pytest.fixture(scope="module")
def server(
    installed: Path, ledger: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    more = CONFIG.format(ledger=ledger, more="")
    path = os.pathsep.join([str(SOURCE), str(installed)])
    folder = tmp_path_factory.mktemp("network")
    with network_server(folder, more=more, path=path) as running:
        yield running


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.url}/v2.0", timeout=60) as client:
        yield client


def make(http: httpx.Client, kind: str, **body: object) -> dict[str, object]:
    answer = http.post(f"/{kind}s", json={kind: body})
    assert answer.status_code == 201, answer.text
    made: dict[str, object] = answer.json()[kind]
    return made


def test_what_is_committed_is_carried_out(http: httpx.Client, ledger: Path) -> None:
    network = make(http, "network", name="noted")
    assert http.delete(f"/networks/{network['id']}").status_code == 204

    def lines() -> list[str]:
        text = ledger.read_text() if ledger.exists() else ""
        return [line for line in text.splitlines() if str(network["id"]) in line]

    assert wait_until(lambda: len(lines()) == 2)
    assert [line.split()[1:3] for line in lines()] == [["create", "network"], ["delete", "network"]]


def test_a_veto_is_the_answer_and_nothing_is_stored(http: httpx.Client) -> None:
    answer = http.post("/networks", json={"network": {"name": "forbidden fruit"}})
    assert answer.status_code == 409
    assert answer.json()["NeutronError"] == {
        "type": "MechanismDriverError",
        "message": "the ledger has no line for that name",
        "detail": "",
    }
    assert http.get("/networks", params={"name": "forbidden fruit"}).json() == {"networks": []}


def test_the_driver_binds_ports_at_its_hosts(http: httpx.Client) -> None:
    provider = {"provider:network_type": "vlan", "provider:physical_network": "physnet1"}
    network = make(http, "network", **{**provider, "provider:segmentation_id": 123})
    port = make(http, "port", network_id=network["id"], **{"binding:host_id": "shelf2"})
    assert port["binding:vif_type"] == "other"
    assert port["binding:vif_details"] == {"device": "shelf", "vlan": 123}
    elsewhere = make(http, "port", network_id=network["id"], **{"binding:host_id": "h9"})
    assert elsewhere["binding:vif_type"] == "binding_failed"


def complaint(installed: Path, folder: Path, text: str) -> str:
    """What the service says before it does not start."""
    config = folder / "neutron.conf"
    config.write_text(f"[database]\nconnection = sqlite:///{folder}/n.sqlite\n{text}")
    command = [sys.executable, "-c", MAIN, "network", "serve", "--port", "0"]
    path = os.pathsep.join([str(SOURCE), str(installed)])
    done = subprocess.run(
        [*command, "--config-file", str(config)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    return done.stderr


def test_what_is_wrong_in_the_driver_s_section_is_named(installed: Path, tmp_path: Path) -> None:
    wrong = CONFIG.format(ledger="x", more="colour = red")
    assert "[ml2_ledger]: no such option: colour" in complaint(installed, tmp_path, wrong)
    without = "[ml2]\nmechanism_drivers = ledger\n"
    assert "[ml2_ledger] path: a ledger needs it" in complaint(installed, tmp_path, without)


def test_a_section_of_a_driver_that_is_not_asked_for_is_a_mistake(
    installed: Path, tmp_path: Path
) -> None:
    text = complaint(installed, tmp_path, "[ml2_ledger]\npath = x\n")
    assert "neutron.conf:4" in text and "unknown section [ml2_ledger]" in text
