"""A site for OpenStack's API tests (tempest): keystone, our service, agents that only report."""

from __future__ import annotations

import configparser
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from tests.support.keystone import PASSWORD, Identity, keystone
from tests.support.network_server import network_server

#: Of the service, after what every test's service has.
SERVICE = """\
[DEFAULT]
auth_strategy = keystone
dns_domain = example.org.
# The agents report once.
agent_down_time = 86400
[quotas]
quota_rbac_policy = 10
quota_security_group = 10
quota_security_group_rule = 100
[ml2]
extension_drivers = port_security,dns_domain_ports
[keystone_authtoken]
auth_url = {url}
username = admin
password = {password}
project_name = admin
user_domain_name = Default
project_domain_id = default
"""
AGENTS = (
    ("Open vSwitch agent", "neutron-openvswitch-agent"),
    ("DHCP agent", "neutron-dhcp-agent"),
    ("L3 agent", "neutron-l3-agent"),
)
HOSTS = ("host1", "host2")
PUBLIC = "public"


class Site:
    """Where the service and keystone are, and what a client's configuration has to say."""

    def __init__(self, identity: Identity, network_url: str) -> None:
        self.identity = identity
        self.network_url = network_url
        self._http = httpx.Client(base_url=network_url, timeout=60, trust_env=False)
        self._be_administrator()
        self.extensions = sorted(
            one["alias"] for one in self._get("/v2.0/extensions")["extensions"]
        )
        self._report_agents()
        self.public = self._make_public_network()

    def _be_administrator(self) -> None:
        self._http.headers["X-Auth-Token"] = self.identity.token("admin", "admin")
        self._has_ended = False

    def _get(self, path: str) -> Any:
        return self._http.get(path).raise_for_status().json()

    def _post(self, kind: str, **attributes: Any) -> str:
        answer = self._http.post(f"/v2.0/{kind}s", json={kind: attributes}).raise_for_status()
        key: str = answer.json()[kind]["id"]
        return key

    def _report_agents(self) -> None:
        for host in HOSTS:
            for kind, binary in AGENTS:
                says = {"bridge_mappings": {"physnet1": "br-ex"}, "tunnel_types": ["vxlan"]}
                says["agent_mode"] = "legacy"  # type: ignore[assignment]
                body = {"agent_type": kind, "binary": binary, "host": host, "topic": "N/A"}
                body |= {"configurations": says}  # type: ignore[dict-item]
                self._http.put("/agent/v1/report", json=body).raise_for_status()

    def try_to_plug_ports(self) -> None:
        """As agents do, try again later if the service cannot ask keystone just now, and get
        another token when the one they have ends."""
        try:
            if self._has_ended:
                self._be_administrator()
            self.plug_ports()
        except httpx.HTTPStatusError as error:
            self._has_ended = error.response.status_code == 401
        except httpx.TransportError as error:
            print(f"agents: {error!r}", file=sys.stderr)

    def plug_ports(self) -> None:
        """What the agents of the hosts would do: report ports that are bound there as plugged."""
        fields = "fields=id&fields=binding:host_id"
        ports = self._get(f"/v2.0/ports?status=DOWN&{fields}")["ports"]
        plugged = [
            {"id": port["id"], "status": "ACTIVE", "host": port["binding:host_id"]}
            for port in ports
            if port["binding:host_id"] in HOSTS
        ]
        if plugged:
            self._http.put("/agent/v1/ports", json=plugged).raise_for_status()

    def _make_public_network(self) -> str:
        external = {"name": PUBLIC, "router:external": True}
        network = self._post("network", **external)
        for version, cidr in ((4, "203.0.113.0/24"), (6, "2001:db8:1::/64")):
            self._post("subnet", network_id=network, ip_version=version, cidr=cidr)
        return network

    def write_tempest_conf(self, folder: Path) -> Path:
        """The configuration that tempest reads."""
        config = configparser.ConfigParser(interpolation=None)
        config.read_dict(
            {
                "DEFAULT": {"log_file": "tempest.log", "log_dir": str(folder)},
                "oslo_concurrency": {"lock_path": str(folder / "locks")},
                "auth": {
                    "admin_username": "admin",
                    "admin_password": PASSWORD,
                    "admin_project_name": "admin",
                    "admin_domain_name": "Default",
                    "tempest_roles": "member",
                    "use_dynamic_credentials": "True",
                    "create_isolated_networks": "False",
                },
                "identity": {"uri_v3": f"{self.identity.url}/v3", "auth_version": "v3"},
                "network": {"public_network_id": self.public, "floating_network_name": PUBLIC},
                "network-feature-enabled": {
                    "api_extensions": ",".join(self.extensions),
                    "ipv6_subnet_attributes": "True",
                    "port_security": "True",
                },
                "neutron_plugin_options": {
                    "available_type_drivers": "vxlan,vlan,gre,flat,local",
                    "provider_vlans": "physnet1",
                    "agent_availability_zone": "nova",
                    "max_networks_per_project": "20",
                    "l3_agent_mode": "legacy",
                },
                "service_available": dict.fromkeys(
                    ("cinder", "designate", "glance", "horizon", "nova", "swift"), "False"
                ),
            }
        )
        path = folder / "tempest.conf"
        with path.open("w") as file:
            config.write(file)
        return path

    def write_clouds(self, folder: Path) -> Path:
        """The clouds that the functional tests of openstacksdk and the client know by name."""
        users = {
            "devstack": ("demo", "demo"),
            "devstack-alt": ("alt_demo", "alt_demo"),
            "devstack-admin": ("admin", "admin"),
            "devstack-system-admin": ("admin", "admin"),
        }
        clouds = {}
        for cloud, (user, project) in users.items():
            auth = {"auth_url": f"{self.identity.url}/v3", "username": user, "password": PASSWORD}
            auth |= {"project_name": project}
            auth |= {"user_domain_id": "default", "project_domain_id": "default"}
            clouds[cloud] = {"auth": auth, "region_name": "RegionOne"}
        path = folder / "clouds.yaml"
        # What is JSON is YAML.
        path.write_text(json.dumps({"clouds": clouds}))
        return path


@contextmanager
def tempest_site(folder: Path) -> Iterator[Site]:
    """Everything that tempest's network tests want; skips the test without a keystone."""
    (folder / "network").mkdir(parents=True)
    with keystone(folder / "keystone") as identity:
        more = SERVICE.format(url=identity.url, password=PASSWORD)
        with network_server(folder / "network", more=more) as server:
            for user in ("demo", "alt_demo"):
                identity.add_user(user, user, "member")
            identity.add_endpoint("identity", f"{identity.url}/v3")
            identity.add_endpoint("network", server.url)
            site = Site(identity, server.url)
            done = threading.Event()
            agents = threading.Thread(target=_run_agents, args=(site, done))
            agents.start()
            try:
                yield site
            finally:
                done.set()
                agents.join()


def _run_agents(site: Site, done: threading.Event) -> None:
    while not done.wait(0.3):
        site.try_to_plug_ports()
