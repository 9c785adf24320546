"""Our streams and JSON-RPC against Debian's ovsdb-server, in clear and over TLS."""

from __future__ import annotations

import datetime
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.support.peers import peer_environment
from tests.support.ports import reserved_ports

from netloom.rpc.fast_json import FastJson
from netloom.rpc.json_codec import LightJson
from netloom.rpc.jsonrpc import JsonRpc, Message, Reply, Request
from netloom.rpc.reconnect import Reconnect
from netloom.transport.address import parse_address
from netloom.transport.client import ReconnectingClient
from netloom.transport.driver import Connection
from netloom.transport.loop import MainLoop
from netloom.transport.server import Listener
from netloom.transport.sync import Deadline, Dialogue, connect
from netloom.transport.tls import TlsSettings

pytestmark = pytest.mark.interop


def write_identity(folder: Path) -> TlsSettings:
    """A self-signed key pair that is its own authority; both sides use it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "both")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    settings = TlsSettings()
    settings.private_key = str(folder / "key.pem")
    settings.certificate = settings.ca_cert = str(folder / "cert.pem")
    Path(settings.certificate).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    Path(settings.private_key).write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return settings


class Peer:
    """Debian's ovsdb-server without a database, listening in clear and with TLS."""

    def __init__(self, folder: Path, tcp_port: int, ssl_port: int) -> None:
        self.tls = write_identity(folder)
        self.env = peer_environment(folder)
        self.folder = folder
        self.tcp_port, self.ssl_port = tcp_port, ssl_port
        self.run(
            "ovsdb-server",
            "--no-db",
            "--detach",
            "--pidfile",
            "--log-file",
            "-vconsole:off",
            f"--remote=punix:{folder}/db.sock",
            f"--remote=ptcp:{self.tcp_port}:127.0.0.1",
            f"--remote=pssl:{self.ssl_port}:127.0.0.1",
            *self.tls_options(),
        )

    def tls_options(self) -> list[str]:
        return [
            f"--private-key={self.tls.private_key}",
            f"--certificate={self.tls.certificate}",
            f"--ca-cert={self.tls.ca_cert}",
        ]

    def run(self, *argv: str) -> str:
        return subprocess.run(
            argv, env=self.env, check=True, capture_output=True, text=True, timeout=60
        ).stdout

    def addresses(self) -> list[str]:
        return [
            f"unix:{self.folder}/db.sock",
            f"tcp:127.0.0.1:{self.tcp_port}",
            f"ssl:127.0.0.1:{self.ssl_port}",
        ]


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with reserved_ports(2) as ports:
        made = Peer(tmp_path_factory.mktemp("peer"), *ports)
        yield made
        made.run("ovs-appctl", "-t", "ovsdb-server", "exit")


@pytest.mark.parametrize("index", [0, 1, 2], ids=["unix", "tcp", "ssl"])
def test_tool_gets_answers_from_their_server(peer: Peer, index: int) -> None:
    address = parse_address(peer.addresses()[index])
    rpc = JsonRpc(LightJson())
    dialogue = Dialogue(connect(address, Deadline(60), peer.tls), rpc)
    rpc.request("list_dbs", [])
    assert dialogue.next_event(Deadline(60)) == Reply(["_Server"], 0)
    dialogue.close()


@pytest.mark.parametrize("index", [0, 1, 2], ids=["unix", "tcp", "ssl"])
def test_kept_connection_gets_answers_and_answers_probes(peer: Peer, index: int) -> None:
    loop = MainLoop()
    text = peer.addresses()[index]
    fsm = Reconnect(text, loop.clock.now_ms(), probe_interval_ms=1000)
    rpc = JsonRpc(FastJson())
    events: list[Message] = []
    kept = ReconnectingClient(
        loop,
        text,
        fsm,
        lambda: rpc,
        events.append,
        on_connect=lambda connection: rpc.send(Request("list_dbs", [], 0)),
        probe=lambda connection: rpc.send_echo(),
        tls=peer.tls,
    )
    fsm.enable(loop.clock.now_ms())
    loop.aio.call_later(2.5, loop.stop)
    loop.run()
    assert events == [Reply(["_Server"], 0)]
    assert kept.connection is not None
    assert (fsm.attempts, fsm.successes) == (1, 1)
    kept.close()
    loop.close()


def test_their_client_is_answered_by_our_listener_over_tls(peer: Peer) -> None:
    loop = MainLoop()

    def accept(name: str) -> Connection[Message]:
        rpc = JsonRpc(FastJson())

        def answer(message: Message) -> None:
            assert isinstance(message, Request)
            rpc.reply(message.id, ["made-up"])

        return Connection(loop, rpc, answer, lambda error: None, name)

    listener = Listener(loop, parse_address("pssl:0:127.0.0.1"), accept, peer.tls)
    client = subprocess.Popen(
        ["ovsdb-client", *peer.tls_options(), "list-dbs", f"ssl:127.0.0.1:{listener.port}"],
        env=peer.env,
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = Deadline(60)
    while client.poll() is None:
        assert not deadline.expired
        loop.aio.call_later(0.01, loop.wake)
        loop.step()
    assert client.stdout is not None
    assert client.stdout.read() == "made-up\n"
    client.stdout.close()
    listener.close()
    loop.close()
