"""`netloom`: the command for what the classic tools do not have."""

from __future__ import annotations

import sys

import typer

import netloom
from netloom.base.errors import NetloomError

app = typer.Typer(
    help="Open vSwitch and Neutron's ML2 in Python, with an eBPF data path.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command()
def version() -> None:
    """Print the versions of Netloom and of the Open vSwitch that it stands in for."""
    print(f"netloom {netloom.__version__} (Open vSwitch {netloom.OVS_VERSION})")


@app.command()
def demo(
    keep: bool = typer.Option(False, help="Leave the lab in place at the end."),
) -> None:
    """Bring up a lab with real packets, show what it does, and take it down. Needs root."""
    from netloom.lab.demo import run_demo

    raise typer.Exit(0 if run_demo(keep) else 1)


@app.command("clean-host")
def clean_host() -> None:
    """Remove what labs left behind that were killed or kept. Needs root."""
    from netloom.lab.lab import remove_leftovers

    removed = remove_leftovers()
    print(f"removed: {', '.join(removed)}" if removed else "nothing to remove")


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (the first word is the program's name); the exit status."""
    words = (sys.argv if argv is None else argv)[1:]
    try:
        app(words, prog_name="netloom")
    except SystemExit as leave:
        # Typer's only way to end.
        return leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    except (NetloomError, OSError) as error:
        print(f"netloom: {error}", file=sys.stderr)
        return 1
    return 0
