"""The network service as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.peers import SOURCE

CONFIG = """\
[DEFAULT]
api_workers = {workers}
[database]
connection = {url}
[quotas]
default_quota = -1
{quotas}
[ml2]
tenant_network_types = vxlan
[ml2_type_vlan]
network_vlan_ranges = physnet1:100:199
[ml2_type_vxlan]
vni_ranges = 1:10000
"""
COUNTED = (
    "network",
    "subnet",
    "port",
    "router",
    "floatingip",
    "security_group",
    "security_group_rule",
    "rbac_policy",
)
MAIN = "import sys; from netloom.programs.netloom import main; sys.exit(main())"


class Server:
    """A running service: its address and its process."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    def workers(self) -> list[int]:
        """Process ids of the workers."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(word) for word in path.read_text().split()]


def write_config(directory: Path, url: str, workers: int = 1, more: str = "") -> Path:
    """A configuration file without limits."""
    quotas = "\n".join(f"quota_{kind} = -1" for kind in COUNTED)
    path = directory / "neutron.conf"
    path.write_text(CONFIG.format(workers=workers, url=url, quotas=quotas) + more)
    return path


@contextmanager
def network_server(
    directory: Path, url: str = "", workers: int = 1, more: str = "", path: str = str(SOURCE)
) -> Iterator[Server]:
    """Serve on any port of the loopback interface; `url` names the database (default: SQLite),
    `more` is configuration, `path` is where Python looks first."""
    config = write_config(directory, url or f"sqlite:///{directory}/n.sqlite", workers, more)
    env = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-c", MAIN, "network"]
    files = ["--config-file", str(config)]
    subprocess.run([*command, "db", "upgrade", *files], check=True, env=env, capture_output=True)
    with (directory / "server.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "serve", "--port", "0", *files],
            env=env,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "http://" in line, (directory / "server.log").read_text()
        yield Server(process, line.split()[-1].rstrip("/"))
    finally:
        process.terminate()
        process.wait(60)
