"""The command line of `ovs-pki`, and what its commands do with files."""

from __future__ import annotations

import os
import sys
import time
import uuid
from datetime import UTC, datetime
from hashlib import sha1
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from netloom.base import paths
from netloom.programs.help_text import version_text
from netloom.programs.outcome import outcome, report
from netloom.programs.pki.authority import Authority, NoAuthority, write_private
from netloom.programs.pki.keys import (
    PkiError,
    PrivateKey,
    make_dsa_key,
    make_dsa_parameters,
    make_name,
    make_request,
    make_rsa_key,
    private_pem,
    read_private_key,
    read_request,
    self_signed,
)
from netloom.programs.pki.text import format_certificate, format_name, format_request

PROGRAM = "ovs-pki"
DEFAULT_DIRECTORY = "/var/lib/openvswitch/pki"
DEFAULT_BITS, LEAST_BITS = 3072, 1024
#: The authorities, and what the ones that they certify are called in TYPE.
AUTHORITIES = {"controller": "controllerca", "switch": "switchca"}
#: What stands for the organizational unit in the name of who is certified.
CERTIFIED_UNIT = "Open vSwitch certifier"
#: Exit status of `verify` if the certificate is not good.
NOT_VERIFIED = 2
#: Of the directory of the log, if it must be made.
_LOG_DIRECTORY_MODE = 0o750

USAGE = """\
{program}, for managing a simple OpenFlow public key infrastructure\x20
usage: {program} [OPTION...] COMMAND [ARG...]

The valid stand-alone commands and their arguments are:
  init                 Initialize the PKI
  req NAME             Create new private key and certificate request
                       named NAME-privkey.pem and NAME-req.pem, resp.
  sign NAME [TYPE]     Sign switch certificate request NAME-req.pem,
                       producing certificate NAME-cert.pem
  req+sign NAME [TYPE] Combine the above two steps, producing all three files.
  verify NAME [TYPE]   Checks that NAME-cert.pem is a valid TYPE certificate
  fingerprint FILE     Prints the fingerprint for FILE
  self-sign NAME       Sign NAME-req.pem with NAME-privkey.pem,
                       producing self-signed certificate NAME-cert.pem
Each TYPE above is a certificate type: 'switch' (default) or 'controller'.

Options for 'init', 'req', and 'req+sign' only:
  -k, --key=rsa|dsa    Type of keys to use (default: rsa)
  -B, --bits=NBITS     Number of bits in keys (default: {bits}).  For DSA keys,
                         this has an effect only on 'init'.
  -D, --dsaparam=FILE  File with DSA parameters (DSA only)
                         (default: dsaparam.pem within PKI directory)
Options for use with the 'sign' command:
  -b, --batch          Skip fingerprint verification
Options that apply to any command:
  -d, --dir=DIR        Directory where the PKI is located
                         (default: {directory})
  -f, --force          Continue even if file or directory already exists
  -l, --log=FILE       Log openssl output to FILE (default: ovs-log.log)
  -u, --unique         NAME is unique (don't append UUID/date)
  -h, --help           Print this usage message.
  -V, --version        Display version information.
"""

#: Option -> what it sets, and what a message about a value that is missing calls it.
_VALUES = {
    "-k": ("key", "keytype"), "--key": ("key", "keytype"),
    "-B": ("bits", "bits"), "--bits": ("bits", "bits"),
    "-D": ("dsaparam", "dsaparam"), "--dsaparam": ("dsaparam", "dsaparam"),
    "-d": ("directory", "pkidir"), "--dir": ("directory", "pkidir"),
    "-l": ("log", "log"), "--log": ("log", "log"),
}  # fmt: skip
_SWITCHES = {
    "-b": "batch", "--batch": "batch", "-u": "unique", "--unique": "unique",
    "-f": "force", "--force": "force",
}  # fmt: skip
#: Commands -> the least and the greatest number of arguments.
_COMMANDS = {
    "init": (0, 2), "req": (1, 1), "sign": (1, 2), "req+sign": (1, 2), "verify": (1, 2),
    "fingerprint": (1, 1), "self-sign": (1, 1),
}  # fmt: skip


class Usage(PkiError):
    """The command line is wrong in a way that Open vSwitch says without the program's name."""


class Arguments:
    """The command line."""

    def __init__(self) -> None:
        self.key = "rsa"
        self.bits = str(DEFAULT_BITS)
        self.dsaparam = ""
        self.directory = DEFAULT_DIRECTORY
        self.log = ""
        self.batch = self.unique = self.force = False
        self.words: list[str] = []

    @property
    def name(self) -> str:
        return self.words[1]

    def check_type(self) -> None:
        """Is there an authority for the TYPE?"""
        if len(self.words) > 2 and self.words[2] not in AUTHORITIES:
            raise PkiError("type argument must be 'switch' or 'controller'")

    @property
    def authority(self) -> str:
        """The directory of the authority for the TYPE."""
        return AUTHORITIES[self.words[2] if len(self.words) > 2 else "switch"]


def parse_arguments(argv: list[str]) -> Arguments | None:
    """The command line, whose options and operands mix; None if it only asked for text, which was
    printed. Options are neither abbreviated nor clustered, and a value of its own word follows
    short options only."""
    arguments, rest = Arguments(), list(argv)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if word in ("-h", "--help"):
            sys.stdout.write(
                USAGE.format(program=PROGRAM, bits=DEFAULT_BITS, directory=DEFAULT_DIRECTORY)
            )
            return None
        if word in ("-V", "--version"):
            sys.stdout.write(version_text(PROGRAM))
            return None
        if word in _SWITCHES or (equals and name in ("--batch", "--unique")):
            setattr(arguments, _SWITCHES[name], True)
        elif name in _VALUES and (not equals or name.startswith("--")):
            member, called = _VALUES[name]
            if not equals and not rest:
                raise Usage(f": error: missing argument to --{called}")
            setattr(arguments, member, value if equals else rest.pop(0))
        elif word == "--":
            arguments.words += rest
            break
        elif word.startswith("-"):
            raise Usage(f"unrecognized option {word}")
        elif len(arguments.words) == 3:
            raise Usage(f"{word}: only two arguments may be specified")
        elif word:
            arguments.words.append(word)
    _check(arguments)
    return arguments


def _check(arguments: Arguments) -> None:
    if arguments.key not in ("rsa", "dsa"):
        raise PkiError("argument to -k or --key must be rsa or dsa")
    bits = arguments.bits
    if not (bits.isascii() and bits.isdigit() and int(bits) >= LEAST_BITS):
        raise PkiError(f"argument to -B or --bits must be at least {LEAST_BITS}")
    if not arguments.words:
        raise PkiError("missing command name; use --help for help")
    command, given = arguments.words[0], len(arguments.words) - 1
    if command not in _COMMANDS:
        raise PkiError(f"{command} command unknown; use --help for help")
    least, most = _COMMANDS[command]
    if not least <= given <= most:
        wanted = "exactly one argument" if most == 1 else "one or two arguments"
        raise PkiError(f"{command} must have {wanted}; use --help for help")
    if command in ("sign", "req+sign"):
        arguments.check_type()


class Pki:
    """One run of the program."""

    def __init__(self, arguments: Arguments) -> None:
        self._arguments = arguments
        self._directory = Path(arguments.directory)
        self._now = datetime.now(UTC).replace(microsecond=0)
        self._log = Path(arguments.log or f"{paths.logdir()}/ovs-pki.log")

    def run(self) -> int:
        """Do what the command line asks for; the exit status."""
        self._open_log()
        match self._arguments.words[0]:
            case "init":
                self._init()
            case "req":
                self._request()
                self._fingerprint(self._file("req"))
            case "sign":
                self._sign(is_sure=self._arguments.batch)
            case "req+sign":
                self._request()
                self._sign(is_sure=True)
            case "self-sign":
                self._self_sign()
            case "fingerprint":
                self._fingerprint(Path(self._arguments.name))
            case _:
                return self._verify()
        return 0

    # The log, and files that must be there or must not

    def _open_log(self) -> None:
        folder = self._log.parent
        if not folder.exists():
            folder.mkdir(_LOG_DIRECTORY_MODE)
        self._log.touch()

    def _report(self, text: str) -> None:
        with self._log.open("a") as file:
            file.write(text)

    def _file(self, kind: str) -> Path:
        return Path(f"{self._arguments.name}-{kind}.pem")

    def _must_not_exist(self, path: Path) -> None:
        if path.exists() and not self._arguments.force:
            raise PkiError(f"{path} already exists and --force not supplied")

    def _must_exist(self, path: Path) -> None:
        if not path.exists():
            raise PkiError(f"{path} does not exist")

    def _must_have_pki(self) -> None:
        if not self._directory.exists():
            raise PkiError(
                f"{self._arguments.directory} does not exist (need to run 'init' or use '--dir'?)"
            )

    # Commands

    def _init(self) -> None:
        directory, arguments = self._directory, self._arguments
        if directory.exists() and not arguments.force:
            raise PkiError(f"{arguments.directory} already exists and --force not specified")
        directory.mkdir(parents=True, exist_ok=True)
        if arguments.key == "dsa":
            parameters = directory / "dsaparam.pem"
            if not parameters.exists():
                sys.stderr.write("Generating DSA parameters, please wait...\n")
                parameters.write_text(make_dsa_parameters(int(arguments.bits)))
        for name in AUTHORITIES.values():
            sys.stderr.write(f"Creating {name}...\n")
            Authority(directory / name, self._report).create(self._make_key, self._now)

    def _make_key(self) -> PrivateKey:
        if self._arguments.key == "rsa":
            return make_rsa_key(int(self._arguments.bits))
        path = self._parameters()
        return make_dsa_key(path.read_text(), str(path))

    def _parameters(self) -> Path:
        return Path(self._arguments.dsaparam or self._directory / "dsaparam.pem")

    def _request(self) -> None:
        private, request = self._file("privkey"), self._file("req")
        self._must_not_exist(private)
        self._must_not_exist(request)
        if self._arguments.key == "dsa":
            self._must_exist(self._parameters())
        name = self._arguments.name
        common_name = name if self._arguments.unique else f"{name} id:{uuid.uuid4()}"
        subject = make_name(CERTIFIED_UNIT, common_name)
        key = self._make_key()
        write_private(private, private_pem(key), 0o600)
        request.write_text(format_request(make_request(key, subject, common_name)))

    def _fingerprint(self, path: Path) -> None:
        self._must_exist(path)
        data = path.read_bytes()
        try:
            digest = x509.load_pem_x509_certificate(data).fingerprint(hashes.SHA1()).hex().upper()
        except ValueError:
            digest = sha1(data, usedforsecurity=False).hexdigest()
        changed = time.strftime("%a %b %e %H:%M:%S %Z %Y", time.localtime(path.stat().st_mtime))
        sys.stdout.write(f"{path}\t{changed}\n\tfingerprint {digest}\n")
        sys.stdout.flush()

    def _sign(self, *, is_sure: bool) -> None:
        request, certificate = self._file("req"), self._file("cert")
        self._fingerprint(request)
        if not is_sure:
            sys.stdout.write("Does fingerprint match? (yes/no)\n")
            sys.stdout.flush()
            answer = sys.stdin.readline()
            if answer != "yes\n":
                raise Usage("Match failure, aborting" if answer else "")
        self._must_not_exist(certificate)
        self._must_have_pki()
        authority = Authority(self._directory / self._arguments.authority, self._report)
        replace(certificate, authority.sign(request.read_bytes(), str(request), self._now))

    def _self_sign(self) -> None:
        request, private, certificate = (self._file(k) for k in ("req", "privkey", "cert"))
        self._must_exist(request)
        self._must_exist(private)
        self._must_not_exist(certificate)
        asked = read_request(request.read_bytes(), str(request))
        key = read_private_key(private.read_bytes(), str(private))
        made = self_signed(asked, key, self._now)
        self._report(
            f"Certificate request self-signature ok\nsubject={format_name(made.subject)}\n"
        )
        replace(certificate, format_certificate(made))

    def _verify(self) -> int:
        path = self._file("cert")
        self._must_exist(path)
        self._arguments.check_type()
        self._must_have_pki()
        try:
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
        except ValueError:
            sys.stderr.write(
                f"Could not read certificate file from {path}\nUnable to load certificate file\n"
            )
            return NOT_VERIFIED
        authority = Authority(self._directory / self._arguments.authority, self._report)
        fault = find_fault(certificate, authority.certificate(), self._now)
        if not fault:
            sys.stdout.write(f"{path}: OK\n")
            return 0
        sys.stderr.write(
            f"{format_name(certificate.subject)}\nerror {fault}\n"
            f"error {path}: verification failed\n"
        )
        return NOT_VERIFIED


def replace(path: Path, text: str) -> None:
    """Write a file that is there as a whole or not at all."""
    temporary = Path(f"{path}.tmp{os.getpid()}")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def find_fault(certificate: x509.Certificate, authority: x509.Certificate, now: datetime) -> str:
    """Why `authority` does not vouch for `certificate`, as openssl-verify(1) says it; empty if it
    does."""
    if certificate.issuer != authority.subject:
        if certificate.issuer == certificate.subject:
            return "18 at 0 depth lookup: self-signed certificate"
        return "20 at 0 depth lookup: unable to get local issuer certificate"
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, UnsupportedAlgorithm, TypeError, ValueError):
        return "7 at 0 depth lookup: certificate signature failure"
    for depth, one in enumerate((certificate, authority)):
        if one.not_valid_before_utc > now:
            return f"9 at {depth} depth lookup: certificate is not yet valid"
        if one.not_valid_after_utc < now:
            return f"10 at {depth} depth lookup: certificate has expired"
    return ""


def _run(argv: list[str]) -> int:
    try:
        arguments = parse_arguments(argv)
        return 0 if arguments is None else Pki(arguments).run()
    except Usage as error:
        text = str(error)
        sys.stderr.write(f"{text}\n" if text else "")
        return 1
    except NoAuthority as error:
        report(PROGRAM, error)
        return 2
    except OSError as error:
        raise PkiError(f"{error.filename}: {error.strerror}") from None


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (the first word is the program's name); the exit status."""
    return outcome(PROGRAM, _run, argv)


if __name__ == "__main__":
    sys.exit(main())
