"""A certificate authority in a directory, laid out for openssl-ca(1).

    ca.cnf           how openssl is to use it
    private/cakey.pem, careq.pem, cacert.pem
    serial           the number of the next certificate
    index.txt        one line for each certificate
    newcerts/NN.pem  the certificates themselves

The files that are changed have predecessors, which end in `.old`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from netloom.programs.pki.keys import (
    VALID_DAYS,
    PkiError,
    PrivateKey,
    make_name,
    make_request,
    private_pem,
    read_private_key,
    read_request,
)
from netloom.programs.pki.text import (
    ATTRIBUTES,
    format_certificate,
    format_extensions,
    format_index_name,
    format_time,
)

#: The settings of openssl-ca(1); `{unit}` is the authority's name, `{common_name}` its subject's.
CONFIGURATION = """\
[ req ]
prompt = no
distinguished_name = req_distinguished_name

[ req_distinguished_name ]
C = US
ST = CA
L = Palo Alto
O = Open vSwitch
OU = {unit}
CN = {common_name}

[ ca ]
default_ca = the_ca

[ the_ca ]
dir            = .
database       = $dir/index.txt
new_certs_dir  = $dir/newcerts
certificate    = $dir/cacert.pem
serial         = $dir/serial
private_key    = $dir/private/cakey.pem
RANDFILE       = $dir/private/.rand
default_days   = 3650
default_crl_days= 30
default_md     = sha512
policy         = policy
email_in_dn    = no
name_opt       = ca_default
cert_opt       = ca_default
copy_extensions = copy
unique_subject = no

[ policy ]
countryName             = optional
stateOrProvinceName     = optional
organizationName        = match
organizationalUnitName  = optional
commonName              = supplied
emailAddress            = optional

[ ca_cert ]
basicConstraints=CA:true

[ usr_cert ]
basicConstraints=CA:false
"""
#: What the subject of a certificate has of the request's, in this order.
_KEPT = (
    NameOID.COUNTRY_NAME, NameOID.STATE_OR_PROVINCE_NAME, NameOID.ORGANIZATION_NAME,
    NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.COMMON_NAME,
)  # fmt: skip
_ATTRIBUTES = "unique_subject = no\n"
_FOLDERS = (("certs", 0o755), ("crl", 0o755), ("newcerts", 0o755), ("private", 0o700))

#: Takes a line for the log.
Report = Callable[[str], None]


class NoAuthority(PkiError):
    """There is none where it was looked for; the exit status is 2."""


class Authority:
    """The authority in the directory `path`, whose name is its purpose."""

    def __init__(self, path: Path, report: Report) -> None:
        self.path = path
        self._report = report

    # Making one

    def create(self, make_key: Callable[[], PrivateKey], now: datetime) -> None:
        """Make it what it is: key, request, and the certificate that it signs for itself. What it
        has signed before stays known."""
        unit = self.path.name
        self._make_folders()
        common_name = f"OVS {unit} CA Certificate ({now:%Y %b %d %H:%M:%S})"
        self._write("ca.cnf", CONFIGURATION.format(unit=unit, common_name=common_name))
        key = make_key()
        write_private(self.path / "private/cakey.pem", private_pem(key), 0o700)
        request = make_request(key, make_name(unit, common_name))
        self._write("careq.pem", request.public_bytes(Encoding.PEM).decode())
        self._write("cacert.pem", self._issue(request, key, None, now))

    def _make_folders(self) -> None:
        self.path.mkdir(exist_ok=True)
        for name, mode in _FOLDERS:
            (self.path / name).mkdir(mode, exist_ok=True)
        for name, text in (("index.txt", ""), ("serial", "01\n"), ("crlnumber", "01\n")):
            if not (self.path / name).exists():
                self._write(name, text)

    # Signing

    def sign(self, data: bytes, where: str, now: datetime) -> str:
        """The certificate for the request in `data`, the content of the file `where`."""
        if not (self.path / "ca.cnf").exists():
            raise NoAuthority(f"{self.path} has no certificate authority")
        key = read_private_key(self._read("private/cakey.pem"), f"{self.path}/private/cakey.pem")
        certificate = self.certificate()
        request = read_request(data, where)
        self._report("Check that the request matches the signature\nSignature ok\n")
        theirs = request.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        ours = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        if [part.value for part in theirs] != [part.value for part in ours]:
            raise PkiError(f"{where}: the organizationName is not the authority's")
        if not request.subject.get_attributes_for_oid(NameOID.COMMON_NAME):
            raise PkiError(f"{where}: the request has no commonName")
        return self._issue(request, key, certificate, now)

    def certificate(self) -> x509.Certificate:
        """Its own."""
        try:
            return x509.load_pem_x509_certificate(self._read("cacert.pem"))
        except ValueError:
            raise PkiError(f"{self.path}/cacert.pem: no certificate can be read from it") from None

    def _issue(
        self,
        request: x509.CertificateSigningRequest,
        key: PrivateKey,
        issuer: x509.Certificate | None,
        now: datetime,
    ) -> str:
        """A certificate with the next number, as text; without an issuer, it is the authority's."""
        number = self._next_number()
        parts = [part for oid in _KEPT for part in request.subject.get_attributes_for_oid(oid)]
        subject = x509.Name(parts)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if issuer is None else issuer.subject)
            .public_key(request.public_key())
            .serial_number(number)
            .not_valid_before(now)
            .not_valid_after(now + timedelta(days=VALID_DAYS))
        )
        for value, critical in _extensions(request, issuer):
            builder = builder.add_extension(value, critical)
        # Nobody can check signatures of DSA with the longer hash, OpenSSL no more than others.
        digest = hashes.SHA512() if isinstance(key, rsa.RSAPrivateKey) else hashes.SHA256()
        certificate = builder.sign(key, digest)
        text = format_certificate(certificate, "=")
        self._record(certificate, number, text)
        return text

    def _next_number(self) -> int:
        try:
            return int(self._read("serial"), 16)
        except ValueError:
            raise PkiError(f"{self.path}/serial: no number can be read from it") from None

    def _record(self, certificate: x509.Certificate, number: int, text: str) -> None:
        for line in _describe(certificate):
            self._report(line + "\n")
        end = certificate.not_valid_after_utc
        name = _serial_text(number)
        line = (
            f"V\t{end:%y%m%d%H%M%SZ}\t\t{name}\tunknown\t{format_index_name(certificate.subject)}"
        )
        self._write(f"newcerts/{name}.pem", text)
        index = self._read("index.txt").decode()
        self._replace("index.txt", f"{index}{line}\n")
        self._replace("index.txt.attr", _ATTRIBUTES)
        self._replace("serial", f"{_serial_text(number + 1)}\n")
        self._report("\nWrite out database with 1 new entries\nDatabase updated\n")

    # Files

    def _read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def _write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text)

    def _replace(self, name: str, text: str) -> None:
        path = self.path / name
        if path.exists():
            path.replace(f"{path}.old")
        path.write_text(text)


def write_private(path: Path, data: bytes, mode: int) -> None:
    """Write a file that only its owner may read, at any time."""
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as file:
        file.write(data)


def _extensions(
    request: x509.CertificateSigningRequest, issuer: x509.Certificate | None
) -> Iterator[tuple[x509.ExtensionType, bool]]:
    yield x509.BasicConstraints(issuer is None, None), False
    for extension in request.extensions:
        if not isinstance(extension.value, x509.BasicConstraints):
            yield extension.value, extension.critical
    yield x509.SubjectKeyIdentifier.from_public_key(request.public_key()), False
    if issuer is not None:
        identifier = x509.SubjectKeyIdentifier.from_public_key(issuer.public_key())
        known = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
        yield known, False


def _serial_text(number: int) -> str:
    text = f"{number:X}"
    return text.zfill(len(text) + len(text) % 2)


def _describe(certificate: x509.Certificate) -> Iterator[str]:
    """What the log says of a new certificate."""
    number = certificate.serial_number
    yield "Certificate Details:"
    yield f"        Serial Number: {number} (0x{number:x})"
    yield "        Validity"
    yield f"            Not Before: {format_time(certificate.not_valid_before_utc)}"
    yield f"            Not After : {format_time(certificate.not_valid_after_utc)}"
    yield "        Subject:"
    for part in certificate.subject:
        yield f"            {ATTRIBUTES[part.oid][1]:<25} = {part.value!s}"
    yield "        X509v3 extensions:"
    yield from format_extensions(certificate.extensions, " " * 12)
    end = format_time(certificate.not_valid_after_utc)
    yield f"Certificate is to be certified until {end} ({VALID_DAYS} days)"
