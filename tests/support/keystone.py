"""A real keystone (PyPI) of a test's own: SQLite, one process, loopback."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from tests.support.peers import python_peer, wait_until

CONFIG = """\
[database]
connection = sqlite:///{folder}/keystone.db
[fernet_tokens]
key_repository = {folder}/fernet
[fernet_receipts]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
[identity]
password_hash_rounds = 4
"""
#: How long tokens live that are asked for below `/brief`, in seconds: a test sees them end. Others
#: live longer than any test, however busy the machine is.
BRIEF_S = 8
#: Runs inside keystone's environment; writes its port into a file, as what keystone says goes to
#: its output.
SERVER = """
import os, sys, threading
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

BRIEF_S = int(sys.argv.pop())
port, os.environ["OS_KEYSTONE_CONFIG_FILES"] = sys.argv.pop(), sys.argv.pop()
from keystone.conf import CONF
from keystone.wsgi.api import application
from sqlalchemy import Engine, event

@event.listens_for(Engine, "connect")
def do_not_wait_for_the_disk(connection, record):
    connection.execute("PRAGMA synchronous=OFF")

one_at_a_time = threading.Lock()
usual_s = CONF.token.expiration

def answer(environ, start_response):
    brief, path = environ["PATH_INFO"].startswith("/brief/"), environ["PATH_INFO"]
    environ["PATH_INFO"] = path.removeprefix("/brief")
    # SQLite refuses transactions that read before others wrote.
    with one_at_a_time:
        CONF.set_override("expiration", BRIEF_S if brief else usual_s, "token")
        return [b"".join(application(environ, start_response))]

class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass

class Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128

server = make_server("127.0.0.1", 0, answer, Threads, Quiet)
with open(port, "w") as file:
    print(server.server_port, file=file)
server.serve_forever()
"""
PASSWORD = "secret"
#: What each step of its start may take.
START_S = 100


class Identity:
    """A running keystone, and its administrator's way to make users."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.brief_url = f"{url}/brief"
        self.projects: dict[str, str] = {}
        self._http = httpx.Client(timeout=60, trust_env=False)
        self._http.headers["X-Auth-Token"] = self.token("admin", "admin")
        self._roles = {one["name"]: one["id"] for one in self._list("roles")}

    def token(
        self, user: str, project: str, password: str = PASSWORD, is_brief: bool = False
    ) -> str:
        """A token of a user for a project, both of the domain Default."""
        domain = {"name": "Default"}
        who = {"user": {"name": user, "password": password, "domain": domain}}
        scope = {"project": {"name": project, "domain": domain}}
        identity = {"methods": ["password"], "password": who}
        body = {"auth": {"identity": identity, "scope": scope}}
        url = self.brief_url if is_brief else self.url
        answer = self._http.post(f"{url}/v3/auth/tokens", json=body)
        answer.raise_for_status()
        return answer.headers["X-Subject-Token"]

    def revoke(self, token: str) -> None:
        """Have a token be good for nothing any more."""
        headers = {"X-Subject-Token": token}
        self._http.delete(f"{self.url}/v3/auth/tokens", headers=headers).raise_for_status()

    def add_user(self, name: str, project: str, *roles: str) -> None:
        """A user with these roles in a project, which is made if there is none."""
        if project not in self.projects:
            self.projects[project] = self._make("project", name=project)
        user = self._make("user", name=name, password=PASSWORD, domain_id="default")
        for role in roles:
            path = f"projects/{self.projects[project]}/users/{user}/roles/{self._roles[role]}"
            self._http.put(f"{self.url}/v3/{path}").raise_for_status()

    def add_endpoint(self, kind: str, url: str) -> None:
        """A service in the catalogue that tokens come with."""
        region = "RegionOne"
        self._http.put(f"{self.url}/v3/regions/{region}", json={"region": {}})
        service = self._make("service", type=kind, name=kind)
        self._make("endpoint", service_id=service, interface="public", region_id=region, url=url)

    def _make(self, kind: str, **attributes: str) -> str:
        answer = self._http.post(f"{self.url}/v3/{kind}s", json={kind: attributes})
        answer.raise_for_status()
        key: str = answer.json()[kind]["id"]
        return key

    def _list(self, kinds: str) -> list[dict[str, Any]]:
        answer = self._http.get(f"{self.url}/v3/{kinds}")
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()[kinds]
        return found


def _bootstrapped(binaries: Path) -> Path:
    """A folder with keys and the database of a keystone with nothing but its administrator. Made
    once for all tests, as it takes tens of seconds, and kept beside keystone itself."""
    kept = binaries.parent / "bootstrapped-1"
    if kept.exists():
        return kept
    folder = Path(tempfile.mkdtemp(prefix="bootstrapping-", dir=binaries.parent))
    try:
        for name in ("fernet", "credential"):
            (folder / name).mkdir(0o700)
        config = write_config(folder)
        owner = (f"--keystone-user={os.getuid()}", f"--keystone-group={os.getgid()}")
        commands = (
            ("db_sync",),
            ("fernet_setup", *owner),
            ("bootstrap", "--bootstrap-password", PASSWORD),
        )
        for words in commands:
            command = [str(binaries / "keystone-manage"), "--config-file", str(config), *words]
            subprocess.run(command, check=True, capture_output=True, timeout=START_S)
        try:
            folder.rename(kept)
        except OSError:
            # Somebody else was faster.
            assert kept.exists()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return kept


def write_config(folder: Path) -> Path:
    config = folder / "keystone.conf"
    config.write_text(CONFIG.format(folder=folder))
    return config


@contextmanager
def keystone(folder: Path) -> Iterator[Identity]:
    """A running keystone; skips the test without one."""
    binaries = python_peer("keystone", "keystone-manage").parent
    shutil.copytree(_bootstrapped(binaries), folder)
    config = write_config(folder)
    port = folder / "port"
    with (folder / "keystone.log").open("w") as log:
        words = [str(binaries / "python"), "-c", SERVER, str(config), str(port)]
        words.append(str(BRIEF_S))
        process = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        ready = wait_until(lambda: port.exists() and port.read_text().endswith("\n"), START_S)
        assert ready, (folder / "keystone.log").read_text()
        yield Identity(f"http://127.0.0.1:{port.read_text().strip()}")
    finally:
        process.terminate()
        process.wait(60)
