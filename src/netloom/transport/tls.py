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

import errno
import os
import ssl
from typing import Any, NoReturn

from netloom.base.log import get_logger

from .address import Address
from .tls_settings import TLS_OPTIONS, TlsSettings

log = get_logger("stream_ssl")

_VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
_NAMES = {version: name for name, version in _VERSIONS.items()}


def make_context(settings: TlsSettings, *, server: bool) -> ssl.SSLContext:
    """A context of these settings; OSError (ssl.SSLError is one) if a file is bad, or the log says
    what else is."""
    settings.check()
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    low, high = parse_protocols(settings.protocols)
    made.minimum_version, made.maximum_version = low, high
    log.dbg("Enabled protocol range: %s - %s", _NAMES[low], _NAMES[high])
    made.set_ciphers(settings.ciphers or "DEFAULT:@SECLEVEL=2")
    if settings.ciphersuites:
        _choose_suites(made, settings.ciphersuites)
    _load_chain(made, settings)
    if settings.ca_cert == "none" or settings.must_bootstrap:
        made.verify_mode = ssl.CERT_NONE
    else:
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(settings.ca_cert)
    if server and log.is_dbg_enabled:
        made.sni_callback = _note_server_name
    return made


def _note_server_name(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
    """Log whom a client wants to talk to; all names are served alike."""
    del connection, context
    if name is not None:
        log.dbg("connection indicated server name %s", name)


def _choose_suites(context: ssl.SSLContext, suites: str) -> None:
    """Have TLS 1.3 use these; without them, no connection is better than one of others."""
    choose = getattr(context, "set_ciphersuites", None)
    if choose is None:
        _refuse("this Python cannot choose TLS 1.3 cipher suites (3.15 can)")
    else:
        choose(suites)


def _refuse(text: str) -> NoReturn:
    log.err_rl("%s", text)
    raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))


def _load_chain(context: ssl.SSLContext, settings: TlsSettings) -> None:
    if not settings.peer_ca_cert:
        context.load_cert_chain(settings.certificate, settings.private_key)
        return
    # The library takes the extra certificates only from the file of the certificate itself.
    fd = os.memfd_create("chain", os.MFD_CLOEXEC)
    try:
        for name in (settings.certificate, settings.peer_ca_cert):
            with open(name, "rb") as file:
                os.write(fd, file.read() + b"\n")
        context.load_cert_chain(f"/proc/self/fd/{fd}", settings.private_key)
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
            _refuse(f"{word}: SSL/TLS protocol not recognized")
        versions.append(_VERSIONS[word])
    if not versions:
        _refuse(f"{text}: SSL/TLS protocol not recognized")
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


__all__ = [
    "TLS_OPTIONS",
    "TlsSettings",
    "bootstrap",
    "make_context",
    "parse_protocols",
    "server_hostname",
]


def common_name(ssl_object: ssl.SSLObject | None) -> str | None:
    """The common name in the certificate by which the peer proved who it is; None without one."""
    certificate = ssl_object.getpeercert() if ssl_object is not None else None
    subject: Any = (certificate or {}).get("subject", ())
    for part in subject:
        for name, value in part:
            if name == "commonName":
                return str(value)
    return None
