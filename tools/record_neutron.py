"""Ask a real Neutron what tests/interop/neutron_requests.txt asks, and keep its answers as facts.

Installs Neutron (PyPI) into the private cache of the peers and serves its API from there, on
loopback, with ML2, SQLite and no agents; who asks is told by headers, as behind keystone's
middleware. Writes tests/interop/neutron_answers.json, which the tests compare our answers with.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from tests.support.neutron_walk import ANSWERS, walk  # noqa: E402

from fetch_peers import cache_dir, run  # noqa: E402

VERSION = "29.0.0"
START_S = 120

CONFIGURATION = """
[DEFAULT]
core_plugin = ml2
service_plugins = router,port_forwarding,segments,auto_allocate
auth_strategy = keystone
transport_url = fake:/
dns_domain = example.org.
api_paste_config = {folder}/paste.ini
state_path = {folder}
[database]
connection = sqlite:///{folder}/neutron.db
[oslo_concurrency]
lock_path = {folder}
[ml2]
type_drivers = local,flat,vlan,vxlan,gre
tenant_network_types = vxlan
mechanism_drivers = openvswitch,l2population
extension_drivers = port_security,dns_domain_ports
[ml2_type_flat]
flat_networks = *
[ml2_type_vlan]
network_vlan_ranges = physnet1:100:102
[ml2_type_vxlan]
vni_ranges = 1:1000
[ml2_type_gre]
tunnel_id_ranges = 1:1000
"""

#: Runs inside Neutron's environment: makes the tables and serves on a free port of loopback.
SERVER = """
import os, sys, uuid
from wsgiref.simple_server import WSGIRequestHandler, make_server

import sqlalchemy
from neutron import server
from neutron.db.migration.models import head
from neutron.server import api
from neutron_lib.db import model_base

folder = sys.argv.pop()
os.environ.update(OS_NEUTRON_CONFIG_DIR=folder, OS_NEUTRON_CONFIG_FILES="neutron.conf")

def boot():
    engine = sqlalchemy.create_engine(f"sqlite:///{folder}/neutron.db")
    model_base.BASEV2.metadata.create_all(engine)
    # What a migration puts in: the rules that security groups begin with.
    rules = model_base.BASEV2.metadata.tables["securitygroupdefaultrules"]
    egress = [dict(direction="egress", remote_group_id=None, used_in_non_default_sg=True)]
    ingress = [dict(direction="ingress", remote_group_id="PARENT", used_in_non_default_sg=False)]
    rows = [
        dict(rule, id=str(uuid.uuid4()), ethertype=ethertype, used_in_default_sg=True)
        for ethertype in ("IPv4", "IPv6")
        for rule in egress + ingress
    ]
    standard = model_base.BASEV2.metadata.tables["standardattributes"]
    with engine.begin() as connection:
        for number, row in enumerate(rows, 1):
            connection.execute(standard.insert(), dict(id=number, resource_type=rules.name))
            connection.execute(rules.insert(), dict(row, standard_attr_id=number))
    return api.api_server()

class Quiet(WSGIRequestHandler):
    def log_message(self, *words):
        return None

service = make_server("127.0.0.1", 0, server.boot_server(boot), handler_class=Quiet)
open(f"{folder}/port", "w").write(f"{service.server_port}\\n")
service.serve_forever()
"""


def install(target: Path) -> Path:
    """The interpreter of an environment that has Neutron."""
    python = target / "bin/python"
    if not python.exists():
        print(f"record_neutron: installing neutron {VERSION}", file=sys.stderr)
        run(sys.executable, "-m", "venv", str(target), cwd=target.parent)
        run(str(python), "-m", "pip", "install", "-qq", f"neutron=={VERSION}", cwd=target)
    return python


def configure(folder: Path, environment: Path) -> None:
    paste = (environment / "etc/neutron/api-paste.ini").read_text()
    # Nobody has tokens here: the headers that keystone's middleware would set come as they are.
    paste = paste.replace(" authtoken keystonecontext", " keystonecontext")
    (folder / "paste.ini").write_text(paste)
    (folder / "neutron.conf").write_text(CONFIGURATION.format(folder=folder))


def wait_for_port(process: subprocess.Popen[bytes], folder: Path) -> int:
    give_up = time.monotonic() + START_S
    while time.monotonic() < give_up and process.poll() is None:
        port = folder / "port"
        if port.exists() and (text := port.read_text()).endswith("\n"):
            return int(text)
        time.sleep(0.2)
    process.kill()
    log = (folder / "log").read_text()[-2000:]
    sys.exit(f"record_neutron: Neutron does not start:\n{log}")


def send_to(port: int) -> Any:
    def send(method: str, path: str, body: Any, project: str, role: str) -> tuple[int, Any]:
        headers = {
            "Content-Type": "application/json",
            "X-User-Id": "someone",
            "X-Project-Id": project or "admin",
            "X-Roles": role if project else "admin,member,reader",
        }
        if role == "member" and project:
            headers["X-Roles"] = "member,reader"
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        data = None if body is None else json.dumps(body)
        connection.request(method, f"/v2.0{path}", data, headers)
        answer = connection.getresponse()
        content = answer.read()
        try:
            return answer.status, json.loads(content) if content else None
        except ValueError:
            return answer.status, content.decode()

    return send


def main() -> int:
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    python = install(cache / "neutron")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        configure(folder, cache / "neutron")
        (folder / "serve.py").write_text(SERVER)
        with (folder / "log").open("wb") as log:
            argv = [str(python), str(folder / "serve.py"), scratch]
            process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=scratch)
        try:
            answers = list(walk(send_to(wait_for_port(process, folder))))
        finally:
            process.kill()
            process.wait()
    lines = [json.dumps([one.line, one.status, one.content]) for one in answers]
    ANSWERS.write_text("[\n" + ",\n".join(lines) + "\n]\n")
    print(f"record_neutron: {len(lines)} answers of neutron {VERSION}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
