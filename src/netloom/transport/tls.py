"""TLS for `ssl:` and `pssl:` streams: settings, contexts, bootstrap of the CA certificate.

A private key, a certificate and a CA certificate must be given (`--private-key`, `--certificate`,
`--ca-cert`); both sides prove who they are. Names in certificates are not compared with host names:
whoever holds a certificate of the CA is trusted, as in Open vSwitch. `--ca-cert=none` switches off
verification. Contexts are made anew for each connection, so that replaced files take effect.

`--bootstrap-ca-cert=FILE` trusts the first peer: if FILE does not exist, the last certificate of
its chain, if self-signed, is written to FILE, and the connection is dropped to be made again with
verification.
"""

from __future__ import annotations

import _socket
import errno
import os
import socket
import ssl

from netloom.base.errors import Unsupported
from netloom.base.getopt import REQUIRED, Option
from netloom.base.log import get_logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .address import Address
    from .sync import Deadline, TlsStream

log = get_logger("stream_ssl")

TLS_OPTIONS = (
    Option("private-key", REQUIRED, "p"),
    Option("certificate", REQUIRED, "c"),
    Option("ca-cert", REQUIRED, "C"),
    Option("bootstrap-ca-cert", REQUIRED),
    Option("peer-ca-cert", REQUIRED),
    Option("ssl-protocols", REQUIRED),
    Option("ssl-ciphers", REQUIRED),
    Option("ssl-ciphersuites", REQUIRED),
    Option("ssl-server-name", REQUIRED),
)

_VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


class TlsSettings:
    """What the TLS options and the SSL table say; empty strings are unset."""

    __slots__ = (
        "bootstrap_ca_cert",
        "ca_cert",
        "certificate",
        "ciphers",
        "ciphersuites",
        "peer_ca_cert",
        "private_key",
        "protocols",
        "server_name",
    )

    def __init__(self) -> None:
        self.private_key = ""
        self.certificate = ""
        self.ca_cert = ""
        self.bootstrap_ca_cert = False
        self.peer_ca_cert = ""
        self.protocols = ""
        self.ciphers = ""
        self.ciphersuites = ""
        self.server_name = ""

    def apply(self, option: str, value: str) -> bool:
        """Take one option of `TLS_OPTIONS`; False if it is none of them."""
        if option in ("ca-cert", "bootstrap-ca-cert"):
            self.ca_cert = value
            self.bootstrap_ca_cert = option == "bootstrap-ca-cert"
            return True
        name = option.removeprefix("ssl-").replace("-", "_")
        if name not in self.__slots__:
            return False
        setattr(self, name, value)
        return True

    def check(self) -> None:
        """Raise OSError(ENOPROTOOPT), after logging why, if a connection cannot even be tried."""
        missing = [
            what
            for what, value in (
                ("Private key", self.private_key),
                ("Certificate", self.certificate),
                ("CA certificate", self.ca_cert),
            )
            if not value
        ]
        for what in missing:
            log.err("%s must be configured to use SSL", what)
        if missing:
            raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))

    @property
    def must_bootstrap(self) -> bool:
        """The CA certificate is still to be learned from the peer."""
        return self.bootstrap_ca_cert and not os.path.exists(self.ca_cert)

    def context(self, *, server: bool) -> ssl.SSLContext:
        """A context of these settings; OSError (ssl.SSLError is one) if a file is bad."""
        self.check()
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        made.check_hostname = False
        low, high = parse_protocols(self.protocols)
        made.minimum_version, made.maximum_version = low, high
        made.set_ciphers(self.ciphers or "DEFAULT:@SECLEVEL=2")
        if self.ciphersuites:
            raise Unsupported("this Python cannot choose TLS 1.3 cipher suites", "ssl")
        self._load_chain(made)
        if self.ca_cert == "none" or self.must_bootstrap:
            made.verify_mode = ssl.CERT_NONE
        else:
            made.verify_mode = ssl.CERT_REQUIRED
            made.load_verify_locations(self.ca_cert)
        return made

    def _load_chain(self, context: ssl.SSLContext) -> None:
        if not self.peer_ca_cert:
            context.load_cert_chain(self.certificate, self.private_key)
            return
        # The library takes the extra certificates only from the file of the certificate itself.
        fd = os.memfd_create("chain", os.MFD_CLOEXEC)
        try:
            for name in (self.certificate, self.peer_ca_cert):
                with open(name, "rb") as file:
                    os.write(fd, file.read() + b"\n")
            context.load_cert_chain(f"/proc/self/fd/{fd}", self.private_key)
        finally:
            os.close(fd)


def parse_protocols(text: str) -> tuple[ssl.TLSVersion, ssl.TLSVersion]:
    """The lowest and highest version of a list (`TLSv1.2,TLSv1.3`), range (`TLSv1.2-TLSv1.3`) or
    open range (`TLSv1.2+`); empty for the default `TLSv1.2+`."""
    text = text or "TLSv1.2+"
    open_range = text.endswith("+")
    words = text.removesuffix("+").replace("-", ",").replace(" ", ",").split(",")
    versions = []
    for word in filter(None, words):
        if word not in _VERSIONS:
            raise Unsupported(f"{word}: SSL/TLS protocol not recognized", "ssl")
        versions.append(_VERSIONS[word])
    if not versions:
        raise Unsupported(f"{text}: SSL/TLS protocol not recognized", "ssl")
    return min(versions), ssl.TLSVersion.TLSv1_3 if open_range else max(versions)


def server_hostname(address: Address, settings: TlsSettings) -> str | None:
    """The name for SNI: the configured one, or the host unless that is a number."""
    if settings.server_name:
        return settings.server_name
    host = address.host
    numeric = ":" in host or host.replace(".", "").isdigit()
    return None if numeric else host


def bootstrap(peer: ssl.SSLObject | ssl.SSLSocket, settings: TlsSettings) -> None:
    """Save the peer's CA certificate, then raise OSError(EPROTO): the connection is to be made
    again with verification."""
    chain = peer._sslobj.get_unverified_chain() or []  # type: ignore[union-attr]
    if not chain:
        log.err("could not bootstrap CA cert: no certificate presented by peer")
        raise OSError(errno.EPROTO, os.strerror(errno.EPROTO))
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    last = x509.load_der_x509_certificate(chain[-1].public_bytes(ssl._ssl.ENCODING_DER))  # type: ignore[attr-defined]
    if last.issuer != last.subject:
        log.err(
            "could not bootstrap CA cert: obtained certificate is not self-signed (%s)",
            last.subject.rfc4514_string(),
        )
        raise OSError(errno.EPROTO, os.strerror(errno.EPROTO))
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        fd = os.open(settings.ca_cert, flags, 0o444)
    except OSError as error:
        log.err(
            "could not bootstrap CA cert: creating %s failed: %s", settings.ca_cert, error.strerror
        )
        raise
    try:
        os.write(fd, last.public_bytes(Encoding.PEM))
    finally:
        os.close(fd)
    log.info("successfully bootstrapped CA cert to %s", settings.ca_cert)
    raise OSError(errno.EPROTO, os.strerror(errno.EPROTO))


def wrap_client(
    sock: _socket.socket, address: Address, settings: TlsSettings, deadline: Deadline
) -> TlsStream:
    """A blocking tool's TLS stream on a connected socket."""
    from .sync import TlsStream

    plain = socket.socket(fileno=sock.detach())
    plain.setblocking(False)
    context = settings.context(server=False)
    wrapped = context.wrap_socket(
        plain,
        do_handshake_on_connect=False,
        server_hostname=server_hostname(address, settings),
    )
    stream = TlsStream(wrapped, address.text)
    try:
        stream.handshake(deadline)
        if settings.must_bootstrap:
            bootstrap(wrapped, settings)
    except ssl.SSLError as error:
        stream.close()
        log.warn("SSL_connect: %s", error.reason or error)
        raise OSError(errno.EPROTO, os.strerror(errno.EPROTO)) from None
    except OSError:
        stream.close()
        raise
    return stream
