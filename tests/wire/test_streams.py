"""Machines on real sockets: listeners, kept connections, blocking tools, TLS."""

from __future__ import annotations

import datetime
import errno
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from netloom.base.clock import WarpClock
from netloom.base.log import CONSOLE, DBG, INFO, vlog
from netloom.rpc.fast_json import FastJson
from netloom.rpc.json_codec import LightJson
from netloom.rpc.jsonrpc import JsonRpc, Message, Reply, Request
from netloom.rpc.reconnect import Reconnect
from netloom.rpc.unixctl import CommandRegistry, Deferred, UnixctlSession
from netloom.transport import driver
from netloom.transport.address import parse_address
from netloom.transport.client import ReconnectingClient
from netloom.transport.driver import Connection
from netloom.transport.loop import MainLoop, Warp
from netloom.transport.server import Listener
from netloom.transport.sync import Deadline, Dialogue, connect
from netloom.transport.tls import TlsSettings, parse_protocols


@pytest.fixture
def loop() -> Iterator[MainLoop]:
    made = MainLoop()
    yield made
    made.close()


def run_until(loop: MainLoop, condition: Callable[[], Any], seconds: float = 10) -> None:
    deadline = Deadline(seconds)
    while not condition():
        assert not deadline.expired, "nothing happened"
        loop.aio.call_later(0.005, loop.wake)
        loop.step()


class EchoServer:
    """Answers each request with its parameters."""

    def __init__(self, loop: MainLoop, text: str, tls: TlsSettings | None = None) -> None:
        self.loop = loop
        self.closed: list[int] = []
        self.connections: list[Connection[Message]] = []
        self.listener = Listener(loop, parse_address(text), self.accept, tls)

    def accept(self, name: str) -> Connection[Message]:
        rpc = JsonRpc(FastJson())

        def answer(message: Message) -> None:
            assert isinstance(message, Request)
            rpc.reply(message.id, [name, *message.params])

        connection = Connection(self.loop, rpc, answer, self.closed.append, name)
        self.connections.append(connection)
        return connection


class Client:
    """A kept JSON-RPC connection that sends one request whenever it is up."""

    def __init__(self, loop: MainLoop, text: str, tls: TlsSettings | None = None) -> None:
        self.loop = loop
        self.events: list[Message] = []
        self.losses: list[int] = []
        self.fsm = Reconnect(text, loop.clock.now_ms(), probe_interval_ms=1000)
        self.rpc = JsonRpc(FastJson())
        self.kept = ReconnectingClient(
            loop,
            text,
            self.fsm,
            self.make,
            self.events.append,
            on_connect=lambda connection: self.send(),
            on_disconnect=self.losses.append,
            probe=lambda connection: self.rpc.send_echo(),
            tls=tls,
        )
        self.fsm.enable(loop.clock.now_ms())

    def make(self) -> JsonRpc:
        self.rpc = JsonRpc(FastJson())
        return self.rpc

    def send(self) -> None:
        self.rpc.request("hello", [1])


def ask(text: str, tls: TlsSettings | None = None) -> Message:
    """What a blocking tool gets for one request."""
    rpc = JsonRpc(LightJson())
    dialogue = Dialogue(connect(parse_address(text), Deadline(10), tls), rpc)
    rpc.request("hello", [2])
    try:
        return dialogue.next_event(Deadline(10))
    finally:
        dialogue.close()


def ask_in_thread(loop: MainLoop, text: str, tls: TlsSettings | None = None) -> Message:
    answers: list[Message | Exception] = []

    def work() -> None:
        try:
            answers.append(ask(text, tls))
        except OSError as error:
            answers.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    run_until(loop, lambda: answers)
    thread.join()
    if isinstance(answers[0], Exception):
        raise answers[0]
    return answers[0]


def test_kept_connection_talks_to_a_listener_over_a_unix_socket(
    loop: MainLoop, tmp_path: Path
) -> None:
    server = EchoServer(loop, f"punix:{tmp_path}/s")
    client = Client(loop, f"unix:{tmp_path}/s")
    run_until(loop, lambda: client.events)
    assert client.events == [Reply(["unix#1", 1], 0)]
    server.listener.close()
    assert not (tmp_path / "s").exists()


def test_tcp_listener_on_port_zero_takes_any_port(loop: MainLoop) -> None:
    server = EchoServer(loop, "ptcp:0:127.0.0.1")
    client = Client(loop, f"tcp:127.0.0.1:{server.listener.port}")
    run_until(loop, lambda: client.events)
    assert isinstance(client.events[0], Reply)
    assert client.events[0].result[0].startswith("tcp:127.0.0.1:")
    server.listener.close()


def test_listener_for_all_addresses_takes_ipv4(loop: MainLoop) -> None:
    server = EchoServer(loop, "ptcp:0")
    client = Client(loop, f"tcp:127.0.0.1:{server.listener.port}")
    run_until(loop, lambda: client.events)
    assert server.connections[0].name.startswith("tcp:127.0.0.1:")
    server.listener.close()


def test_socket_file_is_for_owner_and_group_and_replaces_a_stale_one(
    loop: MainLoop, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    before = os.umask(0o022)
    try:
        server = EchoServer(loop, f"punix:{path}")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o750
    server.listener.close()


def test_file_that_is_no_socket_is_not_replaced(loop: MainLoop, tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(OSError) as caught:
        EchoServer(loop, f"punix:{path}")
    assert caught.value.errno == errno.EADDRINUSE
    assert path.read_text() == "precious"


def test_names_longer_than_the_kernel_takes_work(loop: MainLoop, tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 100)
    folder.mkdir()
    server = EchoServer(loop, f"punix:{folder}/s")
    client = Client(loop, f"unix:{folder}/s")
    run_until(loop, lambda: client.events)
    assert ask_in_thread(loop, f"unix:{folder}/s") == Reply(["unix#2", 2], 0)
    server.listener.close()
    assert not (folder / "s").exists()


def test_name_too_long_even_so_is_refused(loop: MainLoop, tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught:
        EchoServer(loop, f"punix:{tmp_path}/{'n' * 100}")
    assert caught.value.errno == errno.ENAMETOOLONG


def test_client_comes_back_after_the_server_did(loop: MainLoop, tmp_path: Path) -> None:
    text = f"{tmp_path}/s"
    client = Client(loop, f"unix:{text}")
    run_until(loop, lambda: client.kept.last_error == errno.ENOENT)
    server = EchoServer(loop, f"punix:{text}")
    run_until(loop, lambda: len(client.events) == 1)
    server.listener.close()
    server.connections[0].close()
    run_until(loop, lambda: client.losses)
    server = EchoServer(loop, f"punix:{text}")
    run_until(loop, lambda: len(client.events) == 2)
    server.listener.close()


def test_silent_peer_is_probed_and_its_answer_keeps_the_connection(
    loop: MainLoop, tmp_path: Path
) -> None:
    server = EchoServer(loop, f"punix:{tmp_path}/s")
    client = Client(loop, f"unix:{tmp_path}/s")
    run_until(loop, lambda: client.events)
    loop.clock.stop()
    for _ in range(5):
        loop.clock.warp(1000)
        loop.step()
        assert client.fsm.state == "IDLE"
        run_until(loop, lambda: client.fsm.state == "ACTIVE")
    assert not client.losses
    assert len(client.events) == 1
    server.listener.close()


def test_peer_that_does_not_answer_the_probe_is_dropped(loop: MainLoop, tmp_path: Path) -> None:
    mute = socket.socket(socket.AF_UNIX)
    mute.bind(f"{tmp_path}/s")
    mute.listen()
    client = Client(loop, f"unix:{tmp_path}/s")
    run_until(loop, lambda: client.kept.connection)
    loop.clock.stop()
    loop.clock.warp(1000)
    run_until(loop, lambda: client.fsm.state == "IDLE")
    loop.clock.warp(1000)
    run_until(loop, lambda: client.losses)
    assert client.kept.connection is None
    mute.close()


def test_garbage_closes_that_connection_only(loop: MainLoop, tmp_path: Path) -> None:
    server = EchoServer(loop, f"punix:{tmp_path}/s")
    client = Client(loop, f"unix:{tmp_path}/s")
    run_until(loop, lambda: client.events)
    bad = socket.socket(socket.AF_UNIX)
    bad.connect(f"{tmp_path}/s")
    bad.send(b'{"id":0,"method":"x","params":[]} garbage')
    run_until(loop, lambda: server.closed)
    assert server.closed == [errno.EPROTO]
    assert bad.recv(100) == b'{"id":0,"result":["unix#2"],"error":null}'
    assert bad.recv(100) == b""
    bad.close()
    client.send()
    run_until(loop, lambda: len(client.events) == 2)
    server.listener.close()


def test_peer_that_stops_reading_is_cut_off(
    loop: MainLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "SEND_BACKLOG_BYTES", 1 << 20)
    server = EchoServer(loop, f"punix:{tmp_path}/s")
    slow = socket.socket(socket.AF_UNIX)
    slow.connect(f"{tmp_path}/s")
    run_until(loop, lambda: server.connections and server.connections[0].is_open)
    rpc = server.connections[0].machine
    assert isinstance(rpc, JsonRpc)
    rpc.notify("flood", ["x" * 2_000_000])
    run_until(loop, lambda: server.closed)
    assert server.closed == [errno.ENOBUFS]
    slow.close()
    server.listener.close()


def test_peer_that_does_not_take_answers_is_not_read_from(loop: MainLoop, tmp_path: Path) -> None:
    server = EchoServer(loop, f"punix:{tmp_path}/s")
    slow = socket.socket(socket.AF_UNIX)
    slow.connect(f"{tmp_path}/s")
    slow.setblocking(False)
    request = b'{"id":0,"method":"x","params":["' + b"y" * 60_000 + b'"]}'
    sent = 0
    for _ in range(400):
        try:
            sent += slow.send(request[sent % len(request) :])
        except BlockingIOError:
            loop.step()
    run_until(loop, lambda: server.connections[0].backlog() > 0)
    for _ in range(50):
        loop.step()
    assert server.connections[0].backlog() < 4 * 1024 * 1024
    assert sent < 400 * len(request)
    slow.close()
    run_until(loop, lambda: server.closed)
    server.listener.close()


def test_command_behind_a_deferred_one_is_run_when_that_is_answered(
    loop: MainLoop, tmp_path: Path
) -> None:
    registry = CommandRegistry("x")
    deferred = Deferred()
    registry.register("later", "", 0, 0, lambda args: deferred)
    codec = FastJson()

    def accept(name: str) -> Connection[None]:
        session = UnixctlSession(registry, codec, name)
        return Connection(loop, session, lambda event: None, lambda error: None, name)

    listener = Listener(loop, parse_address(f"punix:{tmp_path}/s"), accept)
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(f"{tmp_path}/s")
    for request_id, command in enumerate((b"later", b"version")):
        peer.send(b'{"id":%d,"method":"%s","params":[]}' % (request_id, command))
    loop.aio.call_later(0.05, deferred.reply, "done")
    loop.aio.call_later(0.06, loop.wake)
    loop.aio.call_later(0.2, loop.stop)
    loop.run()
    assert peer.recv(1000) == (
        b'{"id":0,"result":"done\\n","error":null}{"id":1,"result":"x\\n","error":null}'
    )
    peer.close()
    listener.close()


class Ticker:
    """Records the times at which it ran, and wants to run each 100 ms."""

    def __init__(self, clock: WarpClock) -> None:
        self.clock = clock
        self.due_ms = clock.now_ms() + 100
        self.times: list[int] = []

    def run(self) -> None:
        if self.clock.now_ms() >= self.due_ms:
            self.times.append(self.clock.now_ms())
            self.due_ms = self.clock.now_ms() + 100

    def deadline(self) -> int:
        return self.due_ms


def test_warp_takes_a_turn_after_each_step(loop: MainLoop) -> None:
    loop.clock.stop()
    ticker = Ticker(loop.clock)
    loop.register(ticker)
    start_ms = loop.clock.now_ms()
    warp = Warp(loop, 450, 50, lambda: None)
    warp.advance()
    run_until(loop, lambda: warp.finished)
    assert [time - start_ms for time in ticker.times] == [100, 200, 300, 400]
    assert loop.clock.now_ms() == start_ms + 450


def test_loop_sleeps_until_the_earliest_deadline(loop: MainLoop) -> None:
    ticker = Ticker(loop.clock)
    loop.register(ticker)
    loop.aio.call_later(0.25, loop.stop, 7)
    assert loop.run() == 7
    assert len(ticker.times) == 2


def test_bug_in_a_runnable_ends_the_loop_with_its_exception(loop: MainLoop) -> None:
    class Broken:
        def run(self) -> None:
            raise ZeroDivisionError

        def deadline(self) -> None:
            return None

    loop.register(Broken())
    with pytest.raises(ZeroDivisionError):
        loop.run()


def test_bug_in_a_handler_ends_the_loop_even_if_it_looks_like_a_socket_error(
    loop: MainLoop, tmp_path: Path
) -> None:
    def accept(name: str) -> Connection[Message]:
        def broken(message: Message) -> None:
            raise FileNotFoundError(name)

        return Connection(loop, JsonRpc(FastJson()), broken, lambda error: None, name)

    Listener(loop, parse_address(f"punix:{tmp_path}/s"), accept)
    Client(loop, f"unix:{tmp_path}/s")
    with pytest.raises(FileNotFoundError):
        loop.run()


# TLS.


class Authority:
    """A certificate authority and files of certificates that it signed."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.path = folder / f"{name}.pem"
        self.certificate = self.sign(self.name, self.key, True)
        self.path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, ca: bool) -> Any:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    def settings(self, who: str) -> TlsSettings:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, who)])
        certificate = self.sign(subject, key, False)
        made = TlsSettings()
        made.private_key = str(self.folder / f"{who}-key.pem")
        made.certificate = str(self.folder / f"{who}.pem")
        made.ca_cert = str(self.path)
        Path(made.private_key).write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        Path(made.certificate).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return made


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ca")


def test_tls_works_for_kept_connections_and_for_tools(loop: MainLoop, authority: Authority) -> None:
    server = EchoServer(loop, "pssl:0:127.0.0.1", authority.settings("server"))
    settings = authority.settings("client")
    client = Client(loop, f"ssl:127.0.0.1:{server.listener.port}", settings)
    run_until(loop, lambda: client.events)
    answer = ask_in_thread(loop, f"ssl:127.0.0.1:{server.listener.port}", settings)
    assert isinstance(answer, Reply) and answer.result[1] == 2
    server.listener.close()


def test_name_that_a_client_asks_for_is_logged(
    loop: MainLoop, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    vlog.set_level(DBG, "stream_ssl", CONSOLE)
    try:
        server = EchoServer(loop, "pssl:0:127.0.0.1", authority.settings("server"))
        settings = authority.settings("client")
        settings.server_name = "db.example"
        ask_in_thread(loop, f"ssl:127.0.0.1:{server.listener.port}", settings)
    finally:
        vlog.set_level(INFO, "stream_ssl", CONSOLE)
    assert "|connection indicated server name db.example\n" in capsys.readouterr().err
    server.listener.close()


def test_peer_of_another_authority_is_refused(
    loop: MainLoop, authority: Authority, tmp_path: Path
) -> None:
    server = EchoServer(loop, "pssl:0:127.0.0.1", authority.settings("server"))
    stranger = Authority(tmp_path, "other").settings("stranger")
    with pytest.raises(OSError) as caught:
        ask_in_thread(loop, f"ssl:127.0.0.1:{server.listener.port}", stranger)
    assert caught.value.errno == errno.EPROTO
    client = Client(loop, f"ssl:127.0.0.1:{server.listener.port}", stranger)
    run_until(loop, lambda: client.kept.last_error == errno.EPROTO)
    assert not client.events
    server.listener.close()


def test_tls_without_key_certificate_and_ca_is_not_tried(
    loop: MainLoop, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OSError) as caught:
        ask("ssl:127.0.0.1:1")
    assert caught.value.errno == errno.ENOPROTOOPT
    logged = capsys.readouterr().err
    assert "stream_ssl|ERR|Private key must be configured to use SSL" in logged
    assert "stream_ssl|ERR|CA certificate must be configured to use SSL" in logged


def test_bootstrap_learns_the_authority_and_then_verifies(
    loop: MainLoop, authority: Authority, tmp_path: Path
) -> None:
    serving = authority.settings("server")
    serving.peer_ca_cert = serving.ca_cert
    server = EchoServer(loop, "pssl:0:127.0.0.1", serving)
    settings = authority.settings("client")
    settings.apply("bootstrap-ca-cert", str(tmp_path / "learned.pem"))
    client = Client(loop, f"ssl:127.0.0.1:{server.listener.port}", settings)
    run_until(loop, lambda: client.events)
    assert (tmp_path / "learned.pem").read_bytes() == authority.path.read_bytes()
    assert client.fsm.attempts == 2
    server.listener.close()


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("", "TLSv1_2", "TLSv1_3"),
        ("TLSv1.2", "TLSv1_2", "TLSv1_2"),
        ("TLSv1.2,TLSv1.3", "TLSv1_2", "TLSv1_3"),
        ("TLSv1.2-TLSv1.3", "TLSv1_2", "TLSv1_3"),
        ("TLSv1.3+", "TLSv1_3", "TLSv1_3"),
    ],
)
def test_protocol_lists_and_ranges_are_read(text: str, low: str, high: str) -> None:
    assert [version.name for version in parse_protocols(text)] == [low, high]


def test_tls_is_listened_for_before_there_is_a_key(
    loop: MainLoop, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    server = EchoServer(loop, "pssl:0:127.0.0.1", TlsSettings())
    with pytest.raises(OSError):
        ask_in_thread(loop, f"ssl:127.0.0.1:{server.listener.port}", authority.settings("client"))
    assert "stream_ssl|ERR|Private key must be configured to use SSL" in capsys.readouterr().err
    server.listener.close()


@pytest.mark.parametrize(
    ("option", "value"), [("ssl-protocols", "TLSv9"), ("ssl-ciphersuites", "TLS_NO_SUCH_SUITE")]
)
def test_what_tls_cannot_be_told_fails_the_connection_and_not_the_server(
    loop: MainLoop, authority: Authority, option: str, value: str
) -> None:
    settings = authority.settings("server")
    settings.apply(option, value)
    server = EchoServer(loop, "pssl:0:127.0.0.1", settings)
    for _ in range(2):
        with pytest.raises(OSError):
            ask_in_thread(
                loop, f"ssl:127.0.0.1:{server.listener.port}", authority.settings("client")
            )
    server.listener.close()
