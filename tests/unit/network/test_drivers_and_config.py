"""Third-party drivers, configuration files, migrations, keystone's tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from types import MappingProxyType

import httpx
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from tests.support.network_api import SETTINGS, Api

from netloom.base.clock import ManualClock
from netloom.base.errors import ConfigError
from netloom.network.config.load import load_settings
from netloom.network.document import Change, Document
from netloom.network.errors import ApiError, fail
from netloom.network.identity.keystone import Keystone
from netloom.network.ml2.drivers import GROUPS, Drivers, load_drivers
from netloom.network.ml2.interfaces import Binding, Segment
from netloom.network.settings import Settings
from netloom.network.store import upgrade
from netloom.network.store.database import Database
from netloom.network.store.schema import METADATA
from netloom.network.store.transaction import Transaction
from netloom.network.tasks import Chores


class Recorder:
    """A mechanism driver that vetoes names, records what it carries out, and fails when told."""

    name = "recorder"
    postcommit_kinds = frozenset({"network"})

    def __init__(self, settings: Settings) -> None:
        self.done: list[tuple[str, str]] = []
        self.broken = False

    def precommit(self, change: Change, tx: Transaction) -> None:
        if change.document.get("name") == "forbidden":
            raise fail("MechanismDriverError", message="not with me")

    def postcommit(self, change: Change) -> None:
        if self.broken:
            raise OSError("the other side is away")
        self.done.append((change.operation, change.document["name"]))

    def bind(
        self, port: Document, segments: Sequence[Segment], agents: Sequence[Document]
    ) -> Binding | None:
        if port["binding:host_id"] != "special":
            return None
        return Binding(0, "tap", MappingProxyType({"by": "recorder"}))


def with_recorder() -> tuple[Api, Recorder]:
    drivers = load_drivers(SETTINGS)
    recorder = Recorder(SETTINGS)
    mechanisms = (recorder, *drivers.mechanisms)
    api = Api(drivers=Drivers(drivers.types, mechanisms, drivers.extensions))
    return api, recorder


def test_a_veto_undoes_everything() -> None:
    api, recorder = with_recorder()
    body = {"networks": [{"name": "fine"}, {"name": "forbidden"}]}
    message = api.refused(409, "MechanismDriverError", "POST", "/networks", body)
    assert message == "not with me"
    for table in ("networks", "segment_allocations", "journal", "driver_tasks", "security_groups"):
        assert api.rows(table) == 0
    assert recorder.done == []


def test_what_a_driver_could_not_carry_out_is_tried_again_in_order() -> None:
    api, recorder = with_recorder()
    chores = Chores(api.database, api.service.parts)
    recorder.broken = True
    network = api.make("network", name="a")
    assert chores.run_tasks() == 0
    api.change("network", network["id"], name="b")
    recorder.broken = False
    assert chores.run_tasks() == 0, "the first failed just now, and nothing overtakes it"
    api.clock.advance(1_000)
    assert chores.run_tasks() == 2
    assert recorder.done == [("create", "a"), ("update", "b")]
    assert api.rows("driver_tasks") == 0


def test_the_first_driver_that_can_binds() -> None:
    api, _ = with_recorder()
    network = api.make("network", name="n")
    port = api.make("port", network_id=network["id"], **{"binding:host_id": "special"})
    assert (port["binding:vif_type"], port["binding:vif_details"]) == ("tap", {"by": "recorder"})


def test_drivers_come_by_entry_points() -> None:
    entry = EntryPoint(
        "mine",
        "netloom.network.ml2.mechanisms.l2population:L2populationDriver",
        GROUPS["mechanism_drivers"],
    )
    settings, _ = load_settings([("ml2_conf.ini", "[ml2]\nmechanism_drivers = mine\n")])
    assert len(load_drivers(settings, [entry]).mechanisms) == 1
    with pytest.raises(ConfigError, match="no driver 'mine'"):
        load_drivers(settings)


def test_a_tenant_type_must_be_among_the_types() -> None:
    settings, _ = load_settings(
        [("f", "[ml2]\ntype_drivers = vlan\ntenant_network_types = vxlan\n")]
    )
    with pytest.raises(ConfigError, match="tenant_network_types: 'vxlan' is not among"):
        load_drivers(settings)


def test_files_are_read_as_oslo_reads_them() -> None:
    ml2 = """\
# a comment
[ml2]
tenant_network_types = vlan,
    vxlan
physical_network_mtus = physnet1:4000, physnet2:1500
[ml2_type_vlan]
network_vlan_ranges = physnet1:100:199,physnet1:300:310,physnet2
[ml2_type_vxlan]
vni_ranges = 1:1000
[securitygroup]
firewall_driver = openvswitch
"""
    main = "[DEFAULT]\nstate_path = /var/x\n[database]\nconnection = sqlite:///$state_path/n.db\n"
    settings, warnings = load_settings([("neutron.conf", main), ("ml2_conf.ini", ml2)])
    assert settings.connection == "sqlite:////var/x/n.db"
    assert settings.tenant_network_types == ("vlan", "vxlan")
    assert settings.network_vlan_ranges == {
        "physnet1": ((100, 199), (300, 310)),
        "physnet2": (),
    }
    assert settings.physical_network_mtus == {"physnet1": 4000, "physnet2": 1500}
    assert [warning.partition(" has no effect")[0] for warning in warnings] == [
        "neutron.conf:2: [DEFAULT] state_path",
        "ml2_conf.ini:11: [securitygroup] firewall_driver",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "f:1: an option before any section: x = 1"),
        (
            "[DEFAULT]\nbind_prot = 1\n",
            "f:2: [DEFAULT] has no option 'bind_prot' (did you mean bind_port?)",
        ),
        ("[DEFAULT]\n\nbind_port = x\n", "f:3: [DEFAULT] bind_port: not an integer: 'x'"),
        ("[mI2]\nx = 1\n", "f:2: unknown section [mI2] (did you mean [ml2]?)"),
        (
            "[DEFAULT]\nallow_bulk = ja\n",
            "f:2: [DEFAULT] allow_bulk: Unexpected boolean value 'ja'",
        ),
        (
            "[ml2_type_vxlan]\nvni_ranges = 9:1\n",
            "f:2: [ml2_type_vxlan] vni_ranges: the range is empty: '9:1'",
        ),
        (
            "[ml2_type_vlan]\nnetwork_vlan_ranges = p:1:5000\n",
            "f:2: [ml2_type_vlan] network_vlan_ranges: VLAN ids end at 4094: 'p:1:5000'",
        ),
        ("[DEFAULT\n", "f:1: not a section: [DEFAULT"),
        ("[DEFAULT]\n  more\n", "f:2: a continued line without anything to continue"),
        ("[DEFAULT]\nnonsense\n", "f:2: neither a section nor an option: nonsense"),
        ("[DEFAULT]\nbase_mac = $base_mac\n", "f:2: options refer to each other in a circle"),
        ("[DEFAULT]\nbase_mac = $none\n", "f:2: $none refers to an option that is not given"),
        (
            "[DEFAULT]\nauth_strategy = maybe\n",
            "f:2: [DEFAULT] auth_strategy: 'maybe' is not one of noauth, keystone",
        ),
    ],
)
def test_a_wrong_option_is_named_with_file_and_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings([("f", text)])
    assert str(caught.value) == message


def test_without_authentication_only_loopback_is_served() -> None:
    with pytest.raises(ConfigError, match="may do everything"):
        load_settings([("f", "[DEFAULT]\nbind_host = 0.0.0.0\n")])
    text = "[DEFAULT]\nauth_strategy = keystone\n[keystone_authtoken]\nauth_url = http://k\n"
    text += "username = neutron\n"
    assert load_settings([("f", text)])[0].keystone["auth_url"] == "http://k"


def test_migrations_make_the_tables_that_the_store_uses() -> None:
    database = Database("sqlite://", ManualClock())
    assert upgrade.upgrade(database.engine) == (None, upgrade.newest())
    assert upgrade.upgrade(database.engine) == (upgrade.newest(), upgrade.newest())
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_a_database_of_another_kind_is_refused() -> None:
    for url in ("mysql://x", "nonsense"):
        with pytest.raises(ConfigError, match=r"\[database\] connection"):
            Database(url, ManualClock())


def keystone(answers: dict[str, object], calls: list[str]) -> Keystone:
    """A keystone that knows these tokens."""

    def handle(request: httpx.Request) -> httpx.Response:
        calls.append(request.method)
        if request.method == "POST":
            user = json.loads(request.content)["auth"]["identity"]["password"]["user"]
            if user["password"] != "secret":
                return httpx.Response(401)
            return httpx.Response(201, headers={"X-Subject-Token": "own"})
        token = answers.get(request.headers["X-Subject-Token"])
        return httpx.Response(200, json={"token": token}) if token else httpx.Response(404)

    options = {"auth_url": "http://keystone:5000", "username": "neutron", "password": "secret"}
    return Keystone(options, ManualClock(), httpx.MockTransport(handle))


def test_keystone_says_who_the_bearer_is() -> None:
    token = {
        "roles": [{"name": "Member"}, {"name": "reader"}],
        "project": {"id": "p1"},
        "user": {"id": "u1"},
    }
    calls: list[str] = []
    authenticator = keystone({"good": token}, calls)
    for _ in range(2):
        caller = authenticator.caller({"x-auth-token": "good"})
    assert (caller.project_id, caller.user_id, caller.is_admin) == ("p1", "u1", False)
    assert calls == ["POST", "GET"], "the second answer came from the cache"
    for headers in ({}, {"x-auth-token": "bad"}):
        with pytest.raises(ApiError) as caught:
            authenticator.caller(headers)
        assert caught.value.status == 401
