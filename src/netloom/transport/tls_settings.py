"""The TLS options, and the settings that they make: no `ssl` here, so that tools can afford it.

See `netloom.transport.tls` for what is done with them.
"""

from __future__ import annotations

import errno
import posix

from netloom.base.getopt import REQUIRED, Option
from netloom.base.log import get_logger

log = get_logger("stream_ssl")

#: What every program that connects knows.
CLIENT_TLS_OPTIONS = (
    Option("private-key", REQUIRED, "p"),
    Option("certificate", REQUIRED, "c"),
    Option("ca-cert", REQUIRED, "C"),
    Option("ssl-protocols", REQUIRED),
    Option("ssl-ciphers", REQUIRED),
    Option("ssl-ciphersuites", REQUIRED),
    Option("ssl-server-name", REQUIRED),
)
TLS_OPTIONS = (
    *CLIENT_TLS_OPTIONS,
    Option("bootstrap-ca-cert", REQUIRED),
    Option("peer-ca-cert", REQUIRED),
)


#: Whose failures the log names, by what they load.
_LOADERS = {
    "private_key": "SSL_use_PrivateKey_file", "certificate": "SSL_use_certificate_file",
}  # fmt: skip
#: How OpenSSL numbers errors of the system.
_SYSTEM_ERROR = 0x80000000


def _is_there(path: str, failure: str) -> bool:
    """Can `path` be read? If not, the log says so, in OpenSSL's words."""
    try:
        posix.close(posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC))
    except OSError as error:
        number = _SYSTEM_ERROR | (error.errno or 0)
        log.err("%s: error:%08X:system library::%s", failure, number, error.strerror)
        return False
    return True


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
        """Take one option of `TLS_OPTIONS`; False if it is none of them. The log says which files
        are not there."""
        if option in ("ca-cert", "bootstrap-ca-cert"):
            self.ca_cert = value
            self.bootstrap_ca_cert = option == "bootstrap-ca-cert"
            if value == "none":
                log.warn("Peer certificate validation disabled (this is a security risk)")
            elif not self.bootstrap_ca_cert:
                _is_there(value, f"failed to load client certificates from {value}")
            return True
        name = option.removeprefix("ssl-").replace("-", "_")
        if name not in self.__slots__:
            return False
        if name in _LOADERS and not _is_there(value, _LOADERS[name]):
            value = ""
        setattr(self, name, value)
        return True

    def make_absolute(self) -> None:
        """Have the files stay the same in another working directory, as daemons take."""
        import os

        for name in ("private_key", "certificate", "ca_cert", "peer_ca_cert"):
            value = getattr(self, name)
            if value and value != "none":
                setattr(self, name, os.path.abspath(value))

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
            raise OSError(errno.ENOPROTOOPT, posix.strerror(errno.ENOPROTOOPT))

    @property
    def must_bootstrap(self) -> bool:
        """The CA certificate is still to be learned from the peer."""
        import os

        return self.bootstrap_ca_cert and not os.path.exists(self.ca_cert)
