"""`ovs-ctl`: starts and stops the daemons as an init script does (ovs-ctl(8)).

It calls the other programs by name, those beside it first. There is no kernel module to load or to
reload, and nobody's firewall is touched: the commands for that are refused.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from netloom import OVS_VERSION
from netloom.base import paths
from netloom.base.numbers import decimal
from netloom.programs.help_text import version_text
from netloom.programs.outcome import Fatal, outcome
from netloom.transport.pidfile import running_pid

PROGRAM = "ovs-ctl"
DATABASE, SWITCH = "ovsdb-server", "ovs-vswitchd"
#: All versions: a connection uses the highest that its bridge speaks.
_ALL_VERSIONS = ",".join(f"OpenFlow1{n}" for n in range(6))
_PACKAGED_SCHEMA = Path(__file__).parents[1] / "ovsdb/schemas/vswitch.ovsschema"
#: How long a daemon may take to end by itself, and once it was told by a signal.
_PATIENCE_S = 10

USAGE = """\
{program}: controls Open vSwitch daemons
usage: {program} [OPTIONS] COMMAND

Commands:
  start                       start Open vSwitch daemons
  stop                        stop Open vSwitch daemons
  restart                     stop and start Open vSwitch daemons
  status                      check whether Open vSwitch daemons are running
  version                     print versions of Open vSwitch daemons
  load-kmod                   does nothing: there is no kernel module
  delete-transient-ports      delete transient (other_config:transient=true)
                              ports
  record-hostname-if-not-set  determine the system hostname and record it in
                              the Open vSwitch database if not already set
  help                        display this help message

One of the following options is required for "start" and "restart":
  --system-id=UUID   set specific ID to uniquely identify this system
  --system-id=random  use a random but persistent UUID to identify this system

Other important options for "start" and "restart":
  --system-type=TYPE  set system type (e.g. "KVM")
  --system-version=VERSION  set system version (e.g. "4.18.el8_6")
  --external-id="key=value"
                     add given key-value pair to Open_vSwitch external-ids
  --delete-bridges   delete all bridges just before starting ovs-vswitchd
  --delete-transient-ports   delete transient ports as well
  --ovs-user="user[:group]"  pass the --user flag to ovs daemons
  --no-ovsdb-server, --no-ovs-vswitchd  leave that daemon alone

Less important options for "start" and "restart":
  --daemon-cwd=DIR               set working dir for OVS daemons (default: /)
  --no-force-corefiles           do not force on core dumps for OVS daemons
  --no-mlockall                  do not lock all of ovs-vswitchd into memory
  --no-monitor                   do not have daemons restarted that crash
  --no-self-confinement          pass this flag to the daemons
  --ovsdb-server-priority=NICE   set ovsdb-server's niceness (default: -10)
  --ovsdb-server-options=OPTIONS additional options for ovsdb-server
  --ovsdb-server-umask=MODE      umask of ovsdb-server
  --ovs-vswitchd-priority=NICE   set ovs-vswitchd's niceness (default: -10)
  --ovs-vswitchd-options=OPTIONS additional options for ovs-vswitchd
  --ovs-vswitchd-umask=MODE      umask of ovs-vswitchd
  --no-full-hostname             set short hostname instead of full hostname
  --no-record-hostname           do not attempt to determine/record system
                                 hostname as part of start command

File location options:
  --db-file=FILE     database file name (default: {database})
  --db-sock=SOCKET   JSON-RPC socket name (default: {socket})
  --db-schema=FILE   database schema file name (default: {schema})
  --extra-dbs=FILES  further databases, separated by spaces
"""
#: Options with a value -> the default; what depends on the environment is set later.
VALUES = {
    "system-id": "", "system-type": "", "system-version": "", "ovs-user": "", "daemon-cwd": "/",
    "db-file": "", "db-sock": "", "db-schema": "", "extra-dbs": "",
    "ovsdb-server-priority": "-10", "ovsdb-server-options": "", "ovsdb-server-umask": "",
    "ovs-vswitchd-priority": "-10", "ovs-vswitchd-options": "", "ovs-vswitchd-umask": "",
    "external-id": "",
}  # fmt: skip
#: Options that are on or off -> the default.
SWITCHES = {
    "delete-bridges": False, "delete-transient-ports": False, "monitor": True,
    "force-corefiles": True, "mlockall": True, "self-confinement": True, "ovsdb-server": True,
    "ovs-vswitchd": True, "full-hostname": True, "record-hostname": True,
}  # fmt: skip
REFUSED = {
    "force-reload-kmod": "there is no kernel module to reload; restart keeps the flows",
    "enable-protocol": "rules of a firewall are for who runs the host",
    "start-ovs-ipsec": "there is no IPsec daemon",
    "stop-ovs-ipsec": "there is no IPsec daemon",
}


class Settings:
    """The command line."""

    def __init__(self) -> None:
        self.value = dict(VALUES)
        self.on = dict(SWITCHES)
        self.external_ids: list[str] = []
        self.command = ""
        schema = f"{paths.pkgdatadir()}/vswitch.ovsschema"
        self.value |= {
            "db-file": f"{paths.dbdir()}/conf.db",
            "db-sock": f"{paths.rundir()}/db.sock",
            "db-schema": schema if os.path.exists(schema) else str(_PACKAGED_SCHEMA),
        }

    def take(self, word: str) -> None:
        """One word of the command line; of an unknown option only a word is said."""
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--"):
            if self.command:
                raise Fatal(f'extra argument "{word}" (use --help for help)')
            self.command = word
        elif equals and name == "external-id":
            self.external_ids.append(f"external-ids:{value}")
        elif equals and name in VALUES:
            self.value[name] = value
        elif not equals and name in SWITCHES:
            self.on[name] = True
        elif not equals and name.startswith("no-") and name[3:] in SWITCHES:
            self.on[name[3:]] = False
        else:
            sys.stderr.write(f'{PROGRAM}: unknown option "{word}" (use --help for help)\n')


def say(text: str, *, failed: bool = False, warns: bool = False) -> None:
    """What was done, and how it ended."""
    end = " ... failed!" if failed else " ... (warning)." if warns else "."
    sys.stdout.write(f"{text}{end}\n")
    sys.stdout.flush()


def pid_of(name: str) -> tuple[int, bool]:
    """The process in a daemon's pid file (0: there is none), and whether it runs."""
    file = f"{paths.rundir()}/{name}.pid"
    try:
        running = running_pid(file)
        if running:
            return running, True
        text = Path(file).read_text().strip()
    except FileNotFoundError:
        return 0, False
    return decimal(text) or 0, False


class Ctl:
    """One run of the program."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._value, self._on = settings.value, settings.on
        beside = os.path.dirname(os.path.realpath(sys.argv[0]))
        path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin", beside])
        self._env = {**os.environ, "PATH": path}

    def _run(self, *command: str, quiet: bool = False) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=self._env, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else None, check=False,
        )  # fmt: skip

    def _do(self, text: str, *command: str) -> bool:
        """Run a command and say what it was for."""
        is_done = self._run(*command).returncode == 0
        say(text, failed=not is_done)
        return is_done

    def _vsctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self._run("ovs-vsctl", "--no-wait", f"--db=unix:{self._value['db-sock']}", *words)

    # Starting

    def start(self) -> int:
        if self._on["ovsdb-server"] and not self._start_database():
            return 1
        if self._on["ovs-vswitchd"] and not self._start_switch():
            return 1
        self._enable_managers()
        return 0

    def _enable_managers(self) -> None:
        if pid_of(DATABASE)[1]:
            remote = "db:Open_vSwitch,Open_vSwitch,manager_options"
            self._do("Enabling remote OVSDB managers", "ovs-appctl", "-t", DATABASE,
                     "ovsdb-server/add-remote", remote)  # fmt: skip

    def _start_database(self) -> bool:
        if pid_of(DATABASE)[1]:
            say("ovsdb-server is already running")
            return True
        if not self._prepare_file():
            return False
        extra = [paths.absolute(paths.dbdir(), name) for name in self._value["extra-dbs"].split()]
        tls = "db:Open_vSwitch,SSL,"
        command = [
            DATABASE, self._value["db-file"], *extra,
            "-vconsole:emer", "-vsyslog:err", "-vfile:info",
            f"--remote=punix:{self._value['db-sock']}", f"--private-key={tls}private_key",
            f"--certificate={tls}certificate", f"--bootstrap-ca-cert={tls}ca_cert",
        ]  # fmt: skip
        if not self._start_daemon(DATABASE, command):
            return False
        version = self._run("ovsdb-tool", "schema-version", self._value["db-schema"]).stdout.strip()
        self._vsctl("--", "init", "--", "set", "Open_vSwitch", ".", f'db-version="{version}"')
        self._set_ids()
        if self._on["delete-bridges"]:
            for bridge in self._vsctl("list-br").stdout.split():
                self._vsctl("--if-exists", "del-br", bridge)
        if self._on["delete-transient-ports"]:
            self.delete_transient_ports()
        return True

    def _prepare_file(self) -> bool:
        """Make the database, or bring it to the schema of this version."""
        file, schema = self._value["db-file"], self._value["db-schema"]
        if not os.path.exists(file):
            say(f"{file} does not exist", warns=True)
            os.makedirs(os.path.dirname(file) or ".", exist_ok=True)
            return self._do(f"Creating empty database {file}", "ovsdb-tool", "create", file, schema)
        if self._run("ovsdb-tool", "needs-conversion", file, schema).stdout.strip() != "yes":
            return True
        version = self._run("ovsdb-tool", "db-version", file).stdout.strip()
        checksum = self._run("ovsdb-tool", "db-cksum", file).stdout.split(" ")[0]
        backup = f"{file}.backup{version}-{checksum}"
        return (
            self._do(f"Backing up database to {backup}", "cp", file, backup)
            and self._do("Compacting database", "ovsdb-tool", "compact", file)
            and self._do("Converting database schema", "ovsdb-tool", "convert", file, schema)
        )

    def _start_switch(self) -> bool:
        if pid_of(SWITCH)[1]:
            say("ovs-vswitchd is already running")
            return True
        command = [
            SWITCH, f"unix:{self._value['db-sock']}", "-vconsole:emer", "-vsyslog:err",
            "-vfile:info", *(["--mlockall"] if self._on["mlockall"] else []),
        ]  # fmt: skip
        return self._start_daemon(SWITCH, command)

    def _start_daemon(self, name: str, command: list[str]) -> bool:
        """Run a daemon as its options say."""
        for folder in (paths.rundir(), paths.logdir()):
            os.makedirs(folder, exist_ok=True)
        command += self._value[f"{name}-options"].split()
        command += ["--no-chdir", f"--log-file={paths.logdir()}/{name}.log",
                    f"--pidfile={paths.rundir()}/{name}.pid", "--detach"]  # fmt: skip
        if self._on["monitor"]:
            command.append("--monitor")
        if not self._on["self-confinement"]:
            command.append("--no-self-confinement")
        if self._value["ovs-user"]:
            command.append(f"--user={self._value['ovs-user']}")
        umask = self._value[f"{name}-umask"]
        if self._on["force-corefiles"]:
            limit = resource.getrlimit(resource.RLIMIT_CORE)[1]
            resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))
        nice = ["nice", "-n", self._value[f"{name}-priority"]]
        # Its messages go on to who watches, but it must not keep our output open.
        with tempfile.TemporaryFile("w+") as said:
            done = subprocess.run(
                [*nice, *command], env=self._env, cwd=self._value["daemon-cwd"] or None,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said, check=False,
                umask=int(umask, 8) if umask else -1,
            )  # fmt: skip
            said.seek(0)
            if done.returncode:
                sys.stderr.write(said.read())
        say(f"Starting {name}", failed=bool(done.returncode))
        return not done.returncode

    # What the database knows of this host

    def _set_ids(self) -> None:
        system_id = self._system_id()
        kind, version = self._system()
        words = [
            f"ovs-version={OVS_VERSION}", f'external-ids:system-id="{system_id}"',
            f'external-ids:rundir="{paths.rundir()}"', f'system-type="{kind}"',
            f'system-version="{version}"', *self._settings.external_ids,
        ]  # fmt: skip
        is_done = self._vsctl("set", "Open_vSwitch", ".", *words).returncode == 0
        say("Configuring Open vSwitch system IDs", failed=not is_done)
        if self._on["record-hostname"]:
            self.record_hostname()

    def _system_id(self) -> str:
        wanted = self._value["system-id"]
        if wanted != "random":
            if not wanted:
                say("system ID not configured, please use --system-id", failed=True)
            return wanted
        file = Path(paths.sysconfdir(), "openvswitch/system-id.conf")
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{uuid.uuid4()}\n")
        return file.read_text().strip()

    def _system(self) -> tuple[str, str]:
        """The kind of system and its version: as told, of the files for it, or of the host's."""
        found = dict.fromkeys(("ID", "VERSION_ID"), "unknown")
        release = Path("/etc/os-release")
        for line in release.read_text().splitlines() if release.exists() else ():
            key, _, value = line.partition("=")
            if key in found:
                found[key] = value.strip('"')
        told = []
        for name, key in (("system-type", "ID"), ("system-version", "VERSION_ID")):
            file = Path(paths.sysconfdir(), f"openvswitch/{name}.conf")
            text = file.read_text().strip() if file.exists() else found[key]
            told.append(self._value[name] or text)
        return told[0], told[1]

    def record_hostname(self) -> int:
        known = self._vsctl("--if-exists", "get", "Open_vSwitch", ".", "external-ids:hostname")
        if known.returncode or known.stdout.strip():
            return known.returncode
        name = socket.getfqdn() if self._on["full-hostname"] else socket.gethostname()
        if name.startswith("localhost"):
            name = socket.gethostname()
        text = f'external-ids:hostname="{name}"'
        return self._vsctl("set", "Open_vSwitch", ".", text).returncode

    def delete_transient_ports(self) -> int:
        found = self._vsctl("--bare", "--columns=name", "find", "port",
                            "other_config:transient=true")  # fmt: skip
        for port in found.stdout.split():
            self._vsctl("--if-exists", "del-port", port)
        return found.returncode

    # Stopping

    def stop(self) -> int:
        if self._on["ovs-vswitchd"]:
            self._stop_daemon(SWITCH)
        if self._on["ovsdb-server"]:
            self._stop_daemon(DATABASE)
        return 0

    def _stop_daemon(self, name: str) -> None:
        pid, runs = pid_of(name)
        if not runs:
            say(f"{name} is not running")
            return
        target = f"{paths.rundir()}/{name}.{pid}.ctl"
        done = self._run("ovs-appctl", "-T", "5", "-t", target, "exit")
        say(f"Exiting {name} ({pid})", failed=bool(done.returncode))
        if not done.returncode and self._ends(name):
            return
        for number, how in ((signal.SIGTERM, ""), (signal.SIGKILL, " with SIGKILL")):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            say(f"Killing {name} ({pid}){how}")
            if self._ends(name):
                return
        raise Fatal(f"{name} ({pid}) does not end")

    def _ends(self, name: str) -> bool:
        give_up = time.monotonic() + _PATIENCE_S
        while pid_of(name)[1]:
            if time.monotonic() > give_up:
                return False
            time.sleep(0.05)
        return True

    def restart(self) -> int:
        if not (pid_of(SWITCH)[1] and pid_of(DATABASE)[1]):
            self.stop()
            return self.start()
        flows = {}
        if self._on["ovs-vswitchd"]:
            flows = {bridge: self._dump(bridge) for bridge in self._vsctl("list-br").stdout.split()}
            say("Saving flows")
        if self._on["ovsdb-server"]:
            self._stop_daemon(DATABASE)
            if not self._start_database():
                return 1
        if not self._on["ovs-vswitchd"]:
            self._enable_managers()
            return 0
        self._stop_daemon(SWITCH)
        # The new one leaves packets to the flows of old until it has its own.
        self._vsctl("set", "Open_vSwitch", ".", "other_config:flow-restore-wait=true")
        try:
            if not self._start_switch():
                return 1
            say("Restoring saved flows", failed=not self._restore(flows))
        finally:
            self._vsctl("remove", "Open_vSwitch", ".", "other_config", "flow-restore-wait=true")
        self._enable_managers()
        return 0

    def _dump(self, bridge: str) -> tuple[str, str]:
        """A bridge's groups and flows, as files of them are."""
        texts = []
        for command in ("dump-groups", "dump-flows"):
            options = ["--no-names", *(["--no-stats"] if command == "dump-flows" else [])]
            done = self._run("ovs-ofctl", "-O", _ALL_VERSIONS, *options, command, bridge)
            lines = done.stdout.splitlines()
            texts.append("\n".join(line.strip() for line in lines if " reply " not in line))
        return texts[0], texts[1]

    def _restore(self, saved: dict[str, tuple[str, str]]) -> bool:
        is_done = True
        for bridge, (groups, flows) in saved.items():
            self._run("ovs-vsctl", f"--db=unix:{self._value['db-sock']}", "--timeout=10",
                      "wait-until", "bridge", bridge)  # fmt: skip
            for command, text in (("add-groups", groups), ("replace-flows", flows)):
                done = subprocess.run(
                    ["ovs-ofctl", "-O", _ALL_VERSIONS, command, bridge, "-"], env=self._env,
                    input=text + "\n", text=True, stdout=subprocess.DEVNULL, check=False,
                )  # fmt: skip
                is_done = is_done and not done.returncode
        return is_done

    # Questions

    def status(self) -> int:
        result = 0
        for name in (DATABASE, SWITCH):
            pid, runs = pid_of(name)
            if runs:
                sys.stdout.write(f"{name} is running with pid {pid}\n")
            elif pid:
                file = f"{paths.rundir()}/{name}.pid"
                sys.stdout.write(f"Pidfile for {name} ({file}) is stale\n")
            else:
                sys.stdout.write(f"{name} is not running\n")
            result = result if runs else 1
        return result

    def version(self) -> int:
        for name in (DATABASE, SWITCH):
            sys.stdout.write(self._run(name, "--version").stdout)
        return 0


def _run(argv: list[str]) -> int:
    settings = Settings()
    for word in argv:
        if word in ("-h", "--help"):
            settings.command = "help"
            break
        if word == "--version":
            sys.stdout.write(version_text(PROGRAM))
            return 0
        settings.take(word)
    command = settings.command
    if not command:
        raise Fatal("missing command name (use --help for help)")
    if command in REFUSED:
        raise Fatal(f"{command} is not supported: {REFUSED[command]}")
    if command == "help":
        value = settings.value
        sys.stdout.write(
            USAGE.format(program=PROGRAM, database=value["db-file"], socket=value["db-sock"],
                         schema=value["db-schema"])
        )  # fmt: skip
        return 0
    ctl = Ctl(settings)
    commands = {
        "start": ctl.start, "stop": ctl.stop, "restart": ctl.restart, "status": ctl.status,
        "version": ctl.version, "load-kmod": lambda: 0,
        "delete-transient-ports": ctl.delete_transient_ports,
        "record-hostname-if-not-set": ctl.record_hostname,
    }  # fmt: skip
    if command not in commands:
        raise Fatal(f'unknown command "{command}" (use --help for help)')
    return commands[command]()


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (the first word is the program's name); the exit status."""
    return outcome(PROGRAM, _run, argv)


if __name__ == "__main__":
    sys.exit(main())
