"""Private keys, requests and self-signed certificates of whoever wants to be certified."""

from __future__ import annotations

from base64 import b64decode, b64encode
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from netloom.base.errors import NetloomError

PrivateKey = rsa.RSAPrivateKey | dsa.DSAPrivateKey
#: How long all certificates are good.
VALID_DAYS = 3650
#: What all names begin with.
_COUNTRY, _STATE, _PLACE, ORGANIZATION = "US", "CA", "Palo Alto", "Open vSwitch"
_RSA_EXPONENT = 65_537
_BEGIN, _END = "-----BEGIN DSA PARAMETERS-----", "-----END DSA PARAMETERS-----"
_SEQUENCE, _INTEGER = 0x30, 0x02


class PkiError(NetloomError):
    """Ends the program with exit status 1; the text goes to the user."""


def make_name(unit: str, common_name: str) -> x509.Name:
    """The name of a certificate's subject."""
    parts = (
        (NameOID.COUNTRY_NAME, _COUNTRY),
        (NameOID.STATE_OR_PROVINCE_NAME, _STATE),
        (NameOID.LOCALITY_NAME, _PLACE),
        (NameOID.ORGANIZATION_NAME, ORGANIZATION),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
        (NameOID.COMMON_NAME, common_name),
    )
    try:
        return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])
    except ValueError as error:
        raise PkiError(f"{common_name}: bad name for a certificate ({error})") from None


def make_rsa_key(bits: int) -> PrivateKey:
    return rsa.generate_private_key(_RSA_EXPONENT, bits)


def private_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_private_key(data: bytes, where: str) -> PrivateKey:
    """The key in the PEM text of a file."""
    try:
        key = load_pem_private_key(data, None)
    except (ValueError, TypeError):
        raise PkiError(f"{where}: no private key can be read from it") from None
    if not isinstance(key, rsa.RSAPrivateKey | dsa.DSAPrivateKey):
        raise PkiError(f"{where}: neither an RSA nor a DSA key")
    return key


def read_request(data: bytes, where: str) -> x509.CertificateSigningRequest:
    """The request in the PEM text of a file, whose signature is right."""
    try:
        request = x509.load_pem_x509_csr(data)
    except ValueError:
        raise PkiError(f"{where}: no certificate request can be read from it") from None
    if not request.is_signature_valid:
        raise PkiError(f"{where}: the signature of the request does not match it")
    return request


def make_request(
    key: PrivateKey, name: x509.Name, alternative: str | None = None
) -> x509.CertificateSigningRequest:
    """A request for a certificate of `name`, which is also called `alternative`."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    if alternative is not None:
        try:
            names = x509.SubjectAlternativeName([x509.DNSName(alternative)])
        except ValueError as error:
            raise PkiError(f"{alternative}: bad name for a certificate ({error})") from None
        builder = builder.add_extension(names, critical=False)
    return builder.sign(key, hashes.SHA256())


def self_signed(
    request: x509.CertificateSigningRequest, key: PrivateKey, now: datetime
) -> x509.Certificate:
    """The certificate that `request` asks for, signed with its own key."""
    public_key = key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(request.subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=VALID_DAYS))
    )
    for extension in request.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    identifier = x509.SubjectKeyIdentifier.from_public_key(public_key)
    return builder.add_extension(identifier, critical=False).sign(key, hashes.SHA256())


# DSA's parameters, which the keys of one infrastructure share


def _encode(kind: int, body: bytes) -> bytes:
    """One value of DER (ITU-T X.690, 8.1)."""
    size = len(body)
    if size < 0x80:
        return bytes((kind, size)) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((kind, 0x80 | len(length))) + length + body


def _decode(data: bytes, pos: int, kind: int) -> tuple[bytes, int]:
    """The body of the value at `pos`, and where the next one is."""
    if data[pos] != kind:
        raise ValueError("another kind of value")
    size, pos = data[pos + 1], pos + 2
    if size & 0x80:
        n_bytes = size & 0x7F
        size, pos = int.from_bytes(data[pos : pos + n_bytes], "big"), pos + n_bytes
    if pos + size > len(data):
        raise ValueError("the value is cut off")
    return data[pos : pos + size], pos + size


def make_dsa_parameters(bits: int) -> str:
    """New parameters, as PEM text. That takes seconds."""
    numbers = dsa.generate_parameters(bits).parameter_numbers()
    body = b"".join(
        _encode(_INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))
        for number in (numbers.p, numbers.q, numbers.g)
    )
    text = b64encode(_encode(_SEQUENCE, body)).decode()
    lines = [text[pos : pos + 64] for pos in range(0, len(text), 64)]
    return "\n".join((_BEGIN, *lines, _END)) + "\n"


def make_dsa_key(parameters: str, where: str) -> PrivateKey:
    """A key of parameters in PEM text."""
    text = parameters.partition(_BEGIN)[2].partition(_END)[0]
    try:
        body, _ = _decode(b64decode(text), 0, _SEQUENCE)
        numbers, pos = [], 0
        for _ in range(3):
            number, pos = _decode(body, pos, _INTEGER)
            numbers.append(int.from_bytes(number, "big"))
        return dsa.DSAParameterNumbers(*numbers).parameters().generate_private_key()
    except (ValueError, IndexError):
        raise PkiError(f"{where}: no DSA parameters can be read from it") from None
