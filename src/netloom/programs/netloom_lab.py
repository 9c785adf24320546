"""`netloom lab`, `netloom status` and `netloom doctor`."""

from __future__ import annotations

import signal
from pathlib import Path

import typer

from netloom.base.errors import NetloomError

lab_app = typer.Typer(
    help="Labs: hosts, switches, networks and machines of a lab.yml (docs/lab.md).",
    no_args_is_help=True,
)
_NAME = typer.Argument("", help="The lab; may be left out if only one stands.")
_FILE = typer.Argument(Path("lab.yml"), help="What the lab consists of.")
_COMMAND: list[str] = typer.Argument(help="The command and its words.")
_TO: list[str] = typer.Option([], help="Tunnel end to which the MTU is measured; repeatable.")
MARKS = {"ok": "ok  ", "warning": "warn", "failure": "FAIL"}


def end_in_order() -> None:
    """Have SIGTERM and a terminal that closes end a command as Ctrl-C does: with its lab."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


@lab_app.command("up")
def lab_up(
    file: Path = _FILE,
    check: bool = typer.Option(False, help="Only read the file and tell what is wrong with it."),
) -> None:
    """Make everything in the file and leave it standing."""
    from netloom.lab.plan import read_plan

    plan = read_plan(file)
    if check:
        print(f"{file}: {len(plan.hosts)} hosts, {len(plan.vms)} machines: all is well")
        return
    from netloom.lab.standing import raise_lab

    end_in_order()
    raise_lab(plan, lambda text: print(text, flush=True))
    print(f"lab {plan.name} stands: netloom lab inspect {plan.name}")


@lab_app.command("down")
def lab_down(name: str = _NAME) -> None:
    """Take a lab down, whatever state it is in."""
    from netloom.lab.standing import take_down

    print(f"lab {take_down(name)} is gone")


@lab_app.command(
    "exec", context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True}
)
def lab_exec(
    where: str = typer.Argument(help="A host or machine, as HOST or LAB/HOST."),
    command: list[str] = _COMMAND,
) -> None:
    """Run a command at a host (where the classic tools find its switch) or in a machine."""
    from netloom.lab.standing import run_inside

    name, _, place = where.rpartition("/")
    raise typer.Exit(run_inside(name, place, command))


@lab_app.command("inspect")
def lab_inspect(name: str = _NAME) -> None:
    """What the lab has, and whether it runs; status 1 if something does not."""
    from netloom.lab.standing import inspect_lab

    rows = inspect_lab(name)
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        print("  ".join([*cells, row[3]]).rstrip())
    raise typer.Exit(int(any(row[2] != "runs" for row in rows)))


@lab_app.command("graph")
def lab_graph(name: str = _NAME) -> None:
    """Print the lab as a graph for dot(1)."""
    from netloom.lab.standing import graph_of, state_of

    print(graph_of(state_of(name)), end="")


def status(
    url: str = typer.Option("http://127.0.0.1:9696", help="The network service; unix:PATH too."),
) -> None:
    """What of Netloom runs here: the switch, the network service and its agents, labs. Status 1
    if the switch does not run."""
    from netloom.base.paths import rundir
    from netloom.lab.rootless import seen_labs
    from netloom.lab.standing import standing_labs
    from netloom.lab.switch import DAEMONS, Switch

    switch = Switch(Path(rundir()))
    pids = {name: _pid(switch.rundir / f"{name}.pid") for name in reversed(DAEMONS)}
    for name, pid in pids.items():
        print(f"{name}: {f'running (pid {pid})' if pid else 'not running'}")
    print(f"network service: {_service(url)}")
    print(f"labs: {', '.join(standing_labs(seen_labs())) or 'none'}")
    raise typer.Exit(int(not all(pids.values())))


def _pid(pidfile: Path) -> int:
    try:
        pid = int(pidfile.read_text())
    except (OSError, ValueError):
        return 0
    return pid if Path(f"/proc/{pid}").exists() else 0


def _service(url: str) -> str:
    try:
        import httpx
    except ImportError:
        return "not installed (pip install netloom[network])"
    unix = url.startswith("unix:")
    transport = httpx.HTTPTransport(uds=url.removeprefix("unix:")) if unix else None
    base = "http://localhost" if unix else url
    try:
        with httpx.Client(transport=transport, timeout=5, trust_env=False) as client:
            answer = client.get(f"{base}/v2.0/agents")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"no answer at {url} ({str(error) or type(error).__name__})"
    if answer.status_code != 200:
        return f"running at {url}; it does not tell of agents ({answer.status_code})"
    agents = answer.json()["agents"]
    dead = [f"{one['binary']} at {one['host']}" for one in agents if not one["alive"]]
    health = f", silent: {', '.join(dead)}" if dead else ""
    return f"running at {url}, {len(agents)} agents{health}"


def _kernel_complaint() -> str:
    """Why the kernel data path cannot be; empty if its programs load. They are let go at once."""
    from netloom.base.errors import Unsupported
    from netloom.datapath.ebpf.loader import load

    try:
        load().close()
    except Unsupported as error:
        return str(error)
    return ""


def doctor(to: list[str] = _TO) -> None:
    """Look for what keeps Netloom from working here, and say the remedy. Status 1 on failures."""
    from ipaddress import ip_address

    from netloom.lab.doctor import examine
    from netloom.lab.rootless import seen_labs

    for target in to:
        try:
            ip_address(target)
        except ValueError:
            raise NetloomError(f"--to {target}: not an IP address") from None
    failures = 0
    for finding in examine(to, seen_labs(), _kernel_complaint):
        failures += finding.level == "failure"
        print(f"{MARKS[finding.level]}  {finding.topic:9}  {finding.text}")
        if finding.remedy:
            print(f"{'':17}-> {finding.remedy}")
    raise typer.Exit(int(failures > 0))
