"""Certificates and requests as people read them: the text that stands before the encoded form in
the files of a public key infrastructure, as openssl-x509(1) prints it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID, NameOID

#: What names are made of, with their short and long names.
ATTRIBUTES = {
    NameOID.COUNTRY_NAME: ("C", "countryName"),
    NameOID.STATE_OR_PROVINCE_NAME: ("ST", "stateOrProvinceName"),
    NameOID.LOCALITY_NAME: ("L", "localityName"),
    NameOID.ORGANIZATION_NAME: ("O", "organizationName"),
    NameOID.ORGANIZATIONAL_UNIT_NAME: ("OU", "organizationalUnitName"),
    NameOID.COMMON_NAME: ("CN", "commonName"),
    NameOID.EMAIL_ADDRESS: ("emailAddress", "emailAddress"),
}
_ALGORITHMS = {
    "1.2.840.113549.1.1.11": "sha256WithRSAEncryption",
    "1.2.840.113549.1.1.13": "sha512WithRSAEncryption",
    "2.16.840.1.101.3.4.3.2": "dsa_with_SHA256",
}
_EXTENSIONS = {
    ExtensionOID.BASIC_CONSTRAINTS: "X509v3 Basic Constraints",
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME: "X509v3 Subject Alternative Name",
    ExtensionOID.SUBJECT_KEY_IDENTIFIER: "X509v3 Subject Key Identifier",
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER: "X509v3 Authority Key Identifier",
}
#: The greatest serial number that is written in decimal digits.
_MAX_DECIMAL = (1 << 63) - 1
_NUMBER_BYTES, _SIGNATURE_BYTES = 15, 18
#: Characters that have a value of a name put in quotation marks.
_SPECIAL = frozenset(',+"\\<>;')


def format_name(name: x509.Name, equals: str = " = ") -> str:
    """`C = US, O = Open vSwitch`; `equals` is what openssl-ca(1) does without the spaces of."""
    words = []
    for attribute in name:
        key = ATTRIBUTES.get(attribute.oid, (attribute.oid.dotted_string, ""))[0]
        value = str(attribute.value)
        if _SPECIAL & set(value):
            value = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        words.append(f"{key}{equals}{value}")
    return ", ".join(words)


def format_time(time: datetime) -> str:
    """`Nov 21 21:31:46 2026 GMT`; the day has two places."""
    return f"{time:%b} {time.day:2d} {time:%H:%M:%S %Y} GMT"


def format_index_name(name: x509.Name) -> str:
    """`/C=US/O=Open vSwitch`."""
    return "".join(
        f"/{ATTRIBUTES.get(part.oid, (part.oid.dotted_string,))[0]}={part.value!s}" for part in name
    )


def format_certificate(certificate: x509.Certificate, equals: str = " = ") -> str:
    """The text and, behind it, the PEM form."""
    serial = certificate.serial_number
    number = serial.to_bytes((serial.bit_length() + 7) // 8 or 1, "big")
    serial_lines = (
        [f"        Serial Number: {serial} (0x{serial:x})"]
        if serial <= _MAX_DECIMAL
        else ["        Serial Number:", "            " + number.hex(":")]
    )
    lines = [
        "Certificate:",
        "    Data:",
        "        Version: 3 (0x2)",
        *serial_lines,
        f"        Signature Algorithm: {_algorithm(certificate)}",
        f"        Issuer: {format_name(certificate.issuer, equals)}",
        "        Validity",
        f"            Not Before: {format_time(certificate.not_valid_before_utc)}",
        f"            Not After : {format_time(certificate.not_valid_after_utc)}",
        f"        Subject: {format_name(certificate.subject, equals)}",
        *_format_key(certificate.public_key()),
        "        X509v3 extensions:",
        *format_extensions(certificate.extensions, " " * 12),
        *_format_signature(certificate),
    ]
    return "\n".join(lines) + "\n" + certificate.public_bytes(Encoding.PEM).decode()


def format_request(request: x509.CertificateSigningRequest) -> str:
    """The text and, behind it, the PEM form."""
    lines = [
        "Certificate Request:",
        "    Data:",
        "        Version: 1 (0x0)",
        f"        Subject: {format_name(request.subject)}",
        *_format_key(request.public_key()),
        "        Attributes:",
        "            Requested Extensions:",
        *format_extensions(request.extensions, " " * 16),
        *_format_signature(request),
    ]
    return "\n".join(lines) + "\n" + request.public_bytes(Encoding.PEM).decode()


def _algorithm(signed: x509.Certificate | x509.CertificateSigningRequest) -> str:
    oid = signed.signature_algorithm_oid.dotted_string
    return _ALGORITHMS.get(oid, oid)


def _blocks(data: bytes, size: int, indent: str) -> Iterator[str]:
    """Bytes in lines of `size`, with colons between all of them."""
    for pos in range(0, len(data), size):
        more = ":" if pos + size < len(data) else ""
        yield indent + data[pos : pos + size].hex(":") + more


def _number(label: str, number: int, indent: str) -> Iterator[str]:
    yield indent + label
    # A first bit that is set would be a sign.
    data = number.to_bytes(number.bit_length() // 8 + 1, "big")
    yield from _blocks(data, _NUMBER_BYTES, indent + "    ")


def _format_key(key: object) -> Iterator[str]:
    indent = " " * 16
    yield "        Subject Public Key Info:"
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        yield "            Public Key Algorithm: rsaEncryption"
        yield f"{indent}Public-Key: ({key.key_size} bit)"
        yield from _number("Modulus:", numbers.n, indent)
        yield f"{indent}Exponent: {numbers.e} (0x{numbers.e:x})"
    elif isinstance(key, dsa.DSAPublicKey):
        public = key.public_numbers()
        shared = public.parameter_numbers
        yield "            Public Key Algorithm: dsaEncryption"
        yield f"{indent}Public-Key: ({key.key_size} bit)"
        pairs = (("pub: ", public.y), ("P:   ", shared.p), ("Q:   ", shared.q), ("G:   ", shared.g))
        for label, number in pairs:
            yield from _number(label, number, indent)
    else:
        yield f"            Public Key Algorithm: {type(key).__name__}"


def _format_extension(value: x509.ExtensionType) -> str:
    if isinstance(value, x509.BasicConstraints):
        length = "" if value.path_length is None else f", pathlen:{value.path_length}"
        return f"CA:{str(value.ca).upper()}{length}"
    if isinstance(value, x509.SubjectAlternativeName):
        return ", ".join(f"DNS:{name}" for name in value.get_values_for_type(x509.DNSName))
    if isinstance(value, x509.SubjectKeyIdentifier):
        return value.digest.hex(":").upper()
    if isinstance(value, x509.AuthorityKeyIdentifier):
        return (value.key_identifier or b"").hex(":").upper()
    return value.public_bytes().hex(":").upper()


def format_extensions(extensions: x509.Extensions, indent: str) -> Iterator[str]:
    """Two lines for each."""
    for extension in extensions:
        name = _EXTENSIONS.get(extension.oid, extension.oid.dotted_string)
        yield f"{indent}{name}: {'critical' if extension.critical else ''}"
        yield f"{indent}    {_format_extension(extension.value)}"


def _format_signature(signed: x509.Certificate | x509.CertificateSigningRequest) -> Iterator[str]:
    indent = " " * 8
    yield f"    Signature Algorithm: {_algorithm(signed)}"
    yield "    Signature Value:"
    if _algorithm(signed).startswith("dsa"):
        first, second = decode_dss_signature(signed.signature)
        yield from _number("r:   ", first, indent)
        yield from _number("s:   ", second, indent)
    else:
        yield from _blocks(signed.signature, _SIGNATURE_BYTES, indent)
