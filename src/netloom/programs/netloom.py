"""`netloom`: the command for what the classic tools do not have."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

import netloom
from netloom.base.errors import ConfigError, NetloomError
from netloom.programs.netloom_lab import doctor, end_in_order, lab_app, status

app = typer.Typer(
    help="Open vSwitch and Neutron's ML2 in Python, with an eBPF data path.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


network_app = typer.Typer(
    help="The network service: OpenStack Networking API v2.0.", no_args_is_help=True
)
database_app = typer.Typer(help="The service's database.", no_args_is_help=True)
network_app.add_typer(database_app, name="db")
app.add_typer(network_app, name="network")
app.add_typer(lab_app, name="lab")
app.command()(status)
app.command()(doctor)
_CONFIG_FILES = typer.Option(
    [],
    "--config-file",
    help="neutron.conf, ml2_conf.ini; later files override. Default: those in /etc/neutron.",
)
_UNIX = typer.Option(None, help="Listen on this Unix socket as well.")


@app.command()
def version() -> None:
    """Print the versions of Netloom and of the Open vSwitch that it stands in for."""
    print(f"netloom {netloom.__version__} (Open vSwitch {netloom.OVS_VERSION})")


@app.command()
def demo(
    story: str = typer.Argument("networks", help="networks (three hosts) or vlan (one switch)."),
    keep: bool = typer.Option(False, help="Leave the lab in place at the end."),
) -> None:
    """Bring up a lab with real packets, show what it does, and take it down."""
    if story not in ("networks", "vlan"):
        raise ConfigError(f"no story '{story}': networks or vlan")
    if story == "vlan":
        from netloom.lab.demo import run_demo as run
    else:
        from netloom.lab.story import run_story as run

    end_in_order()
    raise typer.Exit(0 if run(keep) else 1)


@app.command("clean-host")
def clean_host() -> None:
    """Remove what labs left behind that were killed or kept."""
    from netloom.lab.lab import remove_leftovers

    removed = remove_leftovers()
    print(f"removed: {', '.join(removed)}" if removed else "nothing to remove")


@network_app.command("serve")
def network_serve(
    config_file: list[Path] = _CONFIG_FILES,
    host: str = typer.Option("", help="Listen on this address instead of bind_host."),
    port: int = typer.Option(-1, help="Listen on this port instead of bind_port; 0: any."),
    workers: int = typer.Option(0, help="Processes, instead of api_workers."),
    unix: Path | None = _UNIX,
) -> None:
    """Serve the Networking API until a signal ends it."""
    from netloom.programs.network_service import read_settings, serve, with_options

    settings = with_options(read_settings(config_file), host, port, workers)
    raise typer.Exit(serve(settings, unix))


@network_app.command("l2-agent")
def network_l2_agent(config_file: list[Path] = _CONFIG_FILES) -> None:
    """Plug in this host's ports: the agent of br-int, br-tun and provider bridges."""
    from netloom.programs.network_agents import read_l2_settings, run_l2_agent

    raise typer.Exit(run_l2_agent(read_l2_settings(config_file)))


@network_app.command("l3-agent")
def network_l3_agent(config_file: list[Path] = _CONFIG_FILES) -> None:
    """Route: this host's routers, floating addresses and port forwardings."""
    from netloom.programs.network_agents import run_l3_agent

    raise typer.Exit(run_l3_agent(config_file))


@network_app.command("dhcp-agent")
def network_dhcp_agent(config_file: list[Path] = _CONFIG_FILES) -> None:
    """Serve addresses: one dnsmasq for each network of this host."""
    from netloom.programs.network_agents import run_dhcp_agent

    raise typer.Exit(run_dhcp_agent(config_file))


@database_app.command("upgrade")
def network_db_upgrade(config_file: list[Path] = _CONFIG_FILES) -> None:
    """Bring the database to the tables of this version."""
    from netloom.programs.network_service import read_settings, upgrade_database

    before, after = upgrade_database(read_settings(config_file))
    print(f"database: {before or 'empty'} -> {after}" if before != after else f"database: {after}")


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (the first word is the program's name); the exit status."""
    words = (sys.argv if argv is None else argv)[1:]
    try:
        from netloom.lab import rootless

        if rootless.is_needed(words):
            return rootless.run(words)
        app(words, prog_name="netloom")
    except SystemExit as leave:
        # Typer's only way to end.
        return leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    except (NetloomError, OSError) as error:
        print(f"netloom: {error}", file=sys.stderr)
        return 1
    return 0
