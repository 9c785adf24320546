"""Ports and subnets: addresses, MACs, binding, port security, what tenants may."""

from __future__ import annotations

import pytest
from tests.support.network_api import Api


@pytest.fixture
def api() -> Api:
    return Api()


def test_a_port_gets_an_address_of_the_pool_and_gives_it_back(api: Api) -> None:
    subnet = api.subnet("10.0.0.0/29", allocation_pools=[{"start": "10.0.0.4", "end": "10.0.0.5"}])
    ports = [api.make("port", network_id=subnet["network_id"]) for _ in range(2)]
    found = {port["fixed_ips"][0]["ip_address"] for port in ports}
    assert found == {"10.0.0.4", "10.0.0.5"}
    body = {"port": {"network_id": subnet["network_id"]}}
    api.refused(409, "IpAddressGenerationFailure", "POST", "/ports", body)
    api.remove("port", ports[0]["id"])
    again = api.make("port", network_id=subnet["network_id"])
    assert again["fixed_ips"] == ports[0]["fixed_ips"]


def test_a_port_gets_an_address_of_each_version(api: Api) -> None:
    subnet = api.subnet()
    key = subnet["network_id"]
    api.subnet("2001:db8:1::/64", network_id=key)
    api.subnet("2001:db8:2::/64", network_id=key, ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
    port = api.make("port", network_id=key, mac_address="fa:16:3e:12:34:56")
    addresses = [one["ip_address"] for one in port["fixed_ips"]]
    assert len(addresses) == 3
    assert addresses[2] == "2001:db8:2:0:f816:3eff:fe12:3456"


def test_a_new_subnet_with_automatic_addresses_reaches_ports_that_are_there(api: Api) -> None:
    key = api.make("network")["id"]
    port = api.make("port", network_id=key)
    modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    subnet = api.subnet("2001:db8::/64", network_id=key, **modes)
    assert [one["subnet_id"] for one in api.show("port", port["id"])["fixed_ips"]] == [subnet["id"]]
    api.remove("subnet", subnet["id"])
    assert api.show("port", port["id"])["fixed_ips"] == []


@pytest.mark.parametrize(
    ("fixed", "status", "kind"),
    [
        ({"ip_address": "10.0.0.0"}, 400, "InvalidIpForNetwork"),
        ({"ip_address": "10.0.0.255"}, 400, "InvalidIpForNetwork"),
        ({"ip_address": "10.0.1.1"}, 400, "InvalidIpForNetwork"),
        ({"ip_address": "10.0.0.9"}, 409, "IpAddressAlreadyAllocated"),
        ({"ip_address": "not one"}, 400, "HTTPBadRequest"),
        ({"subnet_id": "00000000-0000-4000-8000-000000000000"}, 404, "SubnetNotFound"),
        ({"colour": "blue"}, 400, "HTTPBadRequest"),
        ({}, 400, "HTTPBadRequest"),
    ],
)
def test_addresses_that_cannot_be_are_refused(
    api: Api, fixed: dict[str, str], status: int, kind: str
) -> None:
    subnet = api.subnet()
    key = subnet["network_id"]
    api.make("port", network_id=key, fixed_ips=[{"ip_address": "10.0.0.9"}])
    body = {"port": {"network_id": key, "fixed_ips": [fixed]}}
    api.refused(status, kind, "POST", "/ports", body)
    assert (api.rows("ports"), api.rows("ip_allocations")) == (1, 1)


def test_changing_addresses_keeps_those_that_stay(api: Api) -> None:
    subnet = api.subnet()
    port = api.make("port", network_id=subnet["network_id"])
    held = port["fixed_ips"][0]
    wanted = [held, {"ip_address": "10.0.0.200"}]
    after = api.change("port", port["id"], fixed_ips=wanted)
    assert [one["ip_address"] for one in after["fixed_ips"]] == [held["ip_address"], "10.0.0.200"]
    assert api.rows("ip_allocations") == 2
    assert api.change("port", port["id"], fixed_ips=[])["fixed_ips"] == []
    assert api.rows("ip_allocations") == 0


def test_a_mac_address_is_unique_on_its_network(api: Api) -> None:
    first, second = api.make("network")["id"], api.make("network")["id"]
    mac = "fa:16:3e:00:00:01"
    api.make("port", network_id=first, mac_address=mac)
    body = {"port": {"network_id": first, "mac_address": mac.upper()}}
    api.refused(409, "MacAddressInUse", "POST", "/ports", body)
    assert api.make("port", network_id=second, mac_address=mac)["mac_address"] == mac


def test_a_port_is_bound_where_an_agent_reaches_its_network(api: Api) -> None:
    key = api.make("network")["id"]
    early = api.make("port", network_id=key, **{"binding:host_id": "h1"})
    assert early["binding:vif_type"] == "binding_failed"
    api.l2_agent("h1")
    bound = api.show("port", early["id"])
    assert (bound["binding:vif_type"], bound["status"]) == ("ovs", "DOWN")
    assert bound["binding:vif_details"]["bridge_name"] == "br-int"
    loose = api.make("port", network_id=key)
    assert loose["binding:vif_type"] == "unbound"
    late = api.change("port", loose["id"], **{"binding:host_id": "h1"})
    assert late["binding:vif_type"] == "ovs"


def test_a_port_is_not_bound_where_the_agent_has_gone_quiet(api: Api) -> None:
    key = api.make("network")["id"]
    api.l2_agent("h1")
    api.clock.advance(76_000)
    port = api.make("port", network_id=key, **{"binding:host_id": "h1"})
    assert port["binding:vif_type"] == "binding_failed"
    api.l2_agent("h1")
    assert api.show("port", port["id"])["binding:vif_type"] == "ovs"


def test_the_status_of_a_port_comes_from_its_own_host(api: Api) -> None:
    key = api.make("network")["id"]
    api.l2_agent("h1")
    port = api.make("port", network_id=key, **{"binding:host_id": "h1"})

    def says(host: str, status: str) -> str:
        body = [{"id": port["id"], "status": status, "host": host}]
        assert api.request("PUT", "/agent/v1/ports", body)[0] == 200
        return str(api.show("port", port["id"])["status"])

    assert says("h2", "ACTIVE") == "DOWN"
    assert says("h1", "ACTIVE") == "ACTIVE"
    assert says("h2", "DOWN") == "ACTIVE"


def test_port_security_and_groups_must_fit(api: Api) -> None:
    subnet = api.subnet()
    port = api.make("port", network_id=subnet["network_id"])
    path = f"/ports/{port['id']}"
    assert len(port["security_groups"]) == 1
    off = {"port": {"port_security_enabled": False}}
    api.refused(409, "PortSecurityPortHasSecurityGroup", "PUT", path, off)
    bare = api.change("port", port["id"], port_security_enabled=False, security_groups=[])
    assert (bare["port_security_enabled"], bare["security_groups"]) == (False, [])
    pairs = {"port": {"allowed_address_pairs": [{"ip_address": "10.0.0.99"}]}}
    api.refused(409, "AddressPairAndPortSecurityRequired", "PUT", path, pairs)


def test_a_networks_port_security_is_its_ports(api: Api) -> None:
    key = api.make("network", port_security_enabled=False)["id"]
    api.subnet(network_id=key)
    port = api.make("port", network_id=key)
    assert (port["port_security_enabled"], port["security_groups"]) == (False, [])


def test_address_pairs_default_to_the_ports_mac(api: Api) -> None:
    key = api.subnet()["network_id"]
    port = api.make("port", network_id=key, allowed_address_pairs=[{"ip_address": "10.1.0.0/16"}])
    assert port["allowed_address_pairs"] == [
        {"ip_address": "10.1.0.0/16", "mac_address": port["mac_address"]}
    ]
    twice = [{"ip_address": "10.1.0.1"}] * 2
    body = {"port": {"allowed_address_pairs": twice}}
    api.refused(400, "DuplicateAddressPairInRequest", "PUT", f"/ports/{port['id']}", body)


def test_dhcp_options_are_replaced_by_name_and_removed_by_null(api: Api) -> None:
    key = api.make("network")["id"]
    options = [{"opt_name": "tftp-server", "opt_value": "10.0.0.9"}]
    port = api.make("port", network_id=key, extra_dhcp_opts=options)
    more = [
        {"opt_name": "bootfile-name", "opt_value": "pxe"},
        {"opt_name": "tftp-server", "opt_value": None},
    ]
    after = api.change("port", port["id"], extra_dhcp_opts=more)
    assert after["extra_dhcp_opts"] == [
        {"opt_name": "bootfile-name", "opt_value": "pxe", "ip_version": 4}
    ]


def test_tenants_choose_addresses_only_on_their_own_networks(api: Api) -> None:
    shared = api.make("network", shared=True)["id"]
    api.subnet(network_id=shared)
    for body in (
        {"fixed_ips": [{"ip_address": "10.0.0.5"}]},
        {"mac_address": "fa:16:3e:00:00:01"},
        {"device_owner": "network:dhcp"},
        {"port_security_enabled": False},
        {"binding:host_id": "h1"},
    ):
        wanted = {"port": {"network_id": shared, **body}}
        api.refused(403, "PolicyNotAuthorized", "POST", "/ports", wanted, "p1")
    own = api.subnet(project="p1")["network_id"]
    port = api.make("port", "p1", network_id=own, fixed_ips=[{"ip_address": "10.0.0.5"}])
    assert "binding:host_id" not in port


def test_the_owner_of_a_network_sees_the_ports_on_it(api: Api) -> None:
    network = api.make("network", "p1")
    api.make("port", network_id=network["id"], project_id="p2", name="theirs")
    assert [one["name"] for one in api.list("/ports", "p1")] == ["theirs"]
    assert len(api.list("/ports", "p2")) == 1
    assert api.list("/ports", "p3") == []


def test_another_projects_network_does_not_exist(api: Api) -> None:
    network = api.make("network", "p1")
    for kind, body in (
        ("ports", {"port": {"network_id": network["id"]}}),
        ("subnets", {"subnet": {"network_id": network["id"], "ip_version": 4, "cidr": "10/8"}}),
    ):
        status, content = api.request("POST", f"/{kind}", body, "p2")
        assert status in (400, 403, 404), content
    assert api.rows("ports") + api.rows("subnets") == 0


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"cidr": "10.0.0.0/24", "gateway_ip": "10.0.0.0"}, 400, "InvalidInput"),
        ({"cidr": "10.0.0.0/24", "gateway_ip": "2001:db8::1"}, 400, "InvalidInput"),
        ({"cidr": "10.0.0.0/31"}, 400, "InvalidInput"),
        ({"cidr": "224.0.0.0/24"}, 400, "InvalidInput"),
        ({"cidr": "127.0.0.0/24"}, 400, "InvalidInput"),
        ({"cidr": "0.0.0.0/8"}, 400, "InvalidInput"),
        ({"cidr": "2001:db8::/64"}, 400, "InvalidInput"),
        ({}, 400, "BadRequest"),
        ({"cidr": "10.0.0.0/24", "prefixlen": 24}, 400, "BadRequest"),
        ({"cidr": "10.0.0.0/24", "ipv6_ra_mode": "slaac"}, 400, "InvalidInput"),
        ({"cidr": "10.0.0.0/24", "dns_nameservers": ["2001:db8::1"]}, 400, "InvalidInput"),
        ({"cidr": "10.0.0.0/24", "dns_nameservers": ["8.8.8.8"] * 2}, 400, "HTTPBadRequest"),
        (
            {"cidr": "10.0.0.0/24", "dns_nameservers": [f"8.8.8.{n}" for n in range(6)]},
            400,
            "DNSNameServersExhausted",
        ),
        (
            {"cidr": "10.0.0.0/24", "allocation_pools": [{"start": "10.0.0.9", "end": "10.0.0.2"}]},
            400,
            "InvalidAllocationPool",
        ),
        (
            {"cidr": "10.0.0.0/24", "allocation_pools": [{"start": "10.0.0.9", "end": "10.0.1.2"}]},
            400,
            "OutOfBoundsAllocationPool",
        ),
        (
            {"cidr": "10.0.0.0/24", "allocation_pools": [{"start": "10.0.0.1", "end": "10.0.0.2"}]},
            409,
            "GatewayConflictWithAllocationPools",
        ),
        (
            {
                "cidr": "10.0.0.0/24",
                "allocation_pools": [
                    {"start": "10.0.0.5", "end": "10.0.0.9"},
                    {"start": "10.0.0.9", "end": "10.0.0.12"},
                ],
            },
            409,
            "OverlappingAllocationPools",
        ),
    ],
)
def test_subnets_that_cannot_be_are_refused(
    api: Api, body: dict[str, object], status: int, kind: str
) -> None:
    wanted = {"network_id": api.make("network")["id"], "ip_version": 4, **body}
    api.refused(status, kind, "POST", "/subnets", {"subnet": wanted})
    assert api.rows("subnets") == 0


def test_subnets_of_a_network_do_not_overlap(api: Api) -> None:
    key = api.subnet("10.0.0.0/24")["network_id"]
    body = {"subnet": {"network_id": key, "ip_version": 4, "cidr": "10.0.0.128/25"}}
    api.refused(400, "InvalidInput", "POST", "/subnets", body)
    assert api.show("network", key)["revision_number"] == 2


def test_a_subnet_in_use_stays(api: Api) -> None:
    subnet = api.subnet()
    port = api.make("port", network_id=subnet["network_id"])
    api.refused(409, "SubnetInUse", "DELETE", f"/subnets/{subnet['id']}")
    api.remove("port", port["id"])
    api.remove("subnet", subnet["id"])


def test_subnets_are_cut_from_pools_one_after_the_other(api: Api) -> None:
    pool = api.make("subnetpool", name="p", prefixes=["10.0.0.0/16"], default_prefixlen=24)
    more = {"ip_version": 4, "subnetpool_id": pool["id"]}
    cidrs = []
    for _ in range(2):
        key = api.make("network")["id"]
        cidrs.append(api.make("subnet", network_id=key, **more)["cidr"])
    assert cidrs == ["10.0.0.0/24", "10.0.1.0/24"]
    key = api.make("network")["id"]
    wide = {"subnet": {"network_id": key, **more, "prefixlen": 7}}
    api.refused(400, "MinPrefixSubnetAllocationError", "POST", "/subnets", wide)
    taken = {"subnet": {"network_id": key, **more, "cidr": "10.0.1.0/25"}}
    api.refused(500, "SubnetAllocationError", "POST", "/subnets", taken)
    api.refused(400, "SubnetPoolDeleteError", "DELETE", f"/subnetpools/{pool['id']}")
    path = f"/subnetpools/{pool['id']}"
    status, content = api.request("PUT", f"{path}/add_prefixes", {"prefixes": ["10.1.0.0/16"]})
    assert (status, content) == (200, {"prefixes": ["10.0.0.0/15"]})
    gone = {"prefixes": ["10.0.0.0/24"]}
    api.refused(400, "IllegalSubnetPoolPrefixUpdate", "PUT", f"{path}/remove_prefixes", gone)


def test_names_of_ports_become_records(api: Api) -> None:
    key = api.subnet()["network_id"]
    fixed = [{"ip_address": "10.0.0.7"}]
    port = api.make("port", network_id=key, dns_name="Web", fixed_ips=fixed)
    assert port["dns_assignment"] == [
        {"ip_address": "10.0.0.7", "hostname": "web", "fqdn": "web.openstacklocal."}
    ]
