"""The file of `--config-file`: what it may say, and what is said of what it may not."""

from __future__ import annotations

from typing import Any

import pytest

from netloom.base.errors import ConfigError
from netloom.ovsdb.remote_config import RemoteOptions, default_options
from netloom.ovsdb.server_config import (
    DatabaseConfig,
    ServerConfig,
    can_become,
    parse_config,
    source_of,
    tables_of,
)

SOURCE = {"tcp:10.0.0.1:6640": None}


def database(**members: Any) -> dict[str, Any]:
    named = {name.replace("_", "-"): value for name, value in members.items()}
    return {"remotes": None, "databases": {"x.db": named}}


def test_nothing_is_a_configuration() -> None:
    assert parse_config({"remotes": None, "databases": {}}) == ServerConfig({}, {})


def test_remotes_have_options() -> None:
    options = {
        "max-backoff": 2000,
        "inactivity-probe": 0,
        "read-only": True,
        "role": "ovn-controller",
        "dscp": 46,
    }
    remotes = {"ptcp:6640": options, "punix:db.sock": None, "pssl:6641": {}}
    expected = RemoteOptions(2000, 0, read_only=True, role="ovn-controller")
    expected.dscp = 46
    assert parse_config({"remotes": remotes, "databases": None}).remotes == {
        "ptcp:6640": expected,
        "punix:db.sock": default_options("punix:db.sock"),
        "pssl:6641": default_options("pssl:6641"),
    }


def test_databases_have_service_models() -> None:
    slow = {"tcp:10.0.0.1:6640,tcp:10.0.0.2:6640": {"inactivity-probe": 9000, "max-backoff": 1500}}
    databases = {
        "undecided.db": None,
        "also.db": {},
        "alone.db": {"service-model": "standalone"},
        "member.db": {"service-model": "clustered"},
        "active.db": {"service-model": "active-backup", "backup": False},
        "backup.db": {
            "service-model": "active-backup",
            "backup": True,
            "source": SOURCE,
            "exclude-tables": ["Own", "Other"],
        },
        "Net": {"service-model": "relay", "source": slow},
    }
    target = source_of(next(iter(SOURCE)))
    found = parse_config({"remotes": {}, "databases": databases}).databases
    relay = found.pop("Net").source
    assert found == {
        "undecided.db": DatabaseConfig(),
        "also.db": DatabaseConfig(),
        "alone.db": DatabaseConfig("standalone"),
        "member.db": DatabaseConfig("clustered"),
        "active.db": DatabaseConfig("active-backup"),
        "backup.db": DatabaseConfig("active-backup", target, True, ("Own", "Other")),
    }
    assert relay is not None
    assert relay.remotes == ["tcp:10.0.0.1:6640", "tcp:10.0.0.2:6640"]
    assert (relay.options.probe_interval_ms, relay.options.max_backoff_ms) == (9000, 1500)
    assert target.options.probe_interval_ms == 60_000


@pytest.mark.parametrize(
    ("json", "text"),
    [
        ([], "configuration in a file must be a JSON object"),
        ({"remotes": None}, "config: 'databases' is missing"),
        ({"remotes": [], "databases": {}}, "config: 'remotes' is not a JSON object or null"),
        ({"remotes": {}, "databases": 5}, "config: 'databases' is not a JSON object or null"),
        (
            {"remotes": {"ptcp:": 1}, "databases": {}},
            "ptcp:: JSON-RPC options are not a JSON object or null",
        ),
        (database(service_model="shared"), "'shared' is not a valid service model"),
        (database(service_model=5), "Type mismatch for member 'service-model'."),
        (database(service_model="standalone", source=SOURCE), "Member 'source' is present"),
        (database(service_model="standalone", backup=True), "Member 'backup' is present"),
        (database(service_model="active-backup"), "Required 'backup' member is missing."),
        (
            database(service_model="active-backup", backup=True),
            "Required 'source' member is missing.",
        ),
        (
            database(service_model="active-backup", backup=False, exclude_tables=[1]),
            "'exclude-tables' must contain strings",
        ),
        (database(service_model="relay"), "Required 'source' member is missing."),
        (
            database(service_model="relay", source={}),
            "'source' should be an object with exactly one element",
        ),
        (database(service_model="relay", source=SOURCE, backup=True), "Member 'backup' is"),
    ],
)
def test_what_is_wrong_is_said(json: Any, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(json)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("model", "wanted", "can"),
    [
        ("standalone", None, True),
        ("clustered", None, True),
        ("active-backup", None, False),
        ("relay", None, False),
        ("standalone", "active-backup", True),
        ("active-backup", "standalone", True),
        ("relay", "relay", True),
        ("relay", "standalone", False),
        ("clustered", "active-backup", False),
    ],
)
def test_service_models_that_change_without_closing(
    model: str, wanted: str | None, can: bool
) -> None:
    assert can_become(model, DatabaseConfig(wanted)) is can


def test_excluded_tables_of_other_databases_do_not_count() -> None:
    assert tables_of(("Own", "D:Kid", "E:Root", "D:"), "D") == {"Own", "Kid"}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"dscp": 64}, "Value of 'dscp' is out of range."),
        ({"inactivity-probe": -1}, "Value of 'inactivity-probe' is out of range."),
        ({"probe": 1}, "Member 'probe' is present but not allowed here."),
    ],
)
def test_options_of_a_connection_that_make_no_sense_are_logged_and_the_others_count(
    options: dict[str, Any], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = parse_config({"remotes": {"ptcp:": {"read-only": True, **options}}, "databases": {}})
    found = config.remotes["ptcp:"]
    assert found.read_only
    assert (found.max_backoff_ms, found.dscp) == (default_options("ptcp:").max_backoff_ms, None)
    assert f"Parsing JSON-RPC options failed: {text}" in capsys.readouterr().err


def test_an_error_tells_the_section_in_a_line_of_its_own() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({"remotes": {}, "databases": {"db": {"model": 1}}})
    assert str(caught.value).split("\n")[1:] == ["config: failed to parse 'databases'"]
