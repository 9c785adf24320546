"""The conversation with the database server: fetch, commit, wait for the switch.

One connection serves a whole run. If it is lost before the commit, the tool begins anew with the
next remote, if it was given several and some are left, or with `--retry`, and fails otherwise; what
has been committed stays committed.
"""

from __future__ import annotations

from netloom.base.errors import CommandError, ProtocolError
from netloom.base.log import get_logger
from netloom.ovsdb.idl import Idl
from netloom.ovsdb.idl_txn import (
    ABORTED,
    ERROR,
    INCOMPLETE,
    NOT_LOCKED,
    SUCCESS,
    TRY_AGAIN,
    UNCHANGED,
)
from netloom.programs.db_ctl.context import Context, Run, TryAgain
from netloom.programs.ovsdb_link import (
    Link,
    LinkError,
    in_random_order,
    is_in_cluster,
    leads,
    open_link,
)
from netloom.rpc.jsonrpc import Request, format_message
from netloom.transport.sync_stream import Deadline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.programs.db_ctl.command_line import Command
    from netloom.programs.db_ctl.context import Needs
    from netloom.programs.db_ctl.options import Settings

reconnect_log = get_logger("reconnect")
#: How long `--retry` waits before it connects again.
RETRY_MS = 1000


class Session:
    """One run of the tool against one server."""

    def __init__(self, settings: Settings, needs: Needs) -> None:
        self._settings = settings
        self._program = needs.program
        self._schema = needs.schema
        self._idl = Idl(needs.program.database, needs.for_idl())
        self._idl.assume_schema(needs.schema)
        self._deadline = Deadline()
        self._link: Link | None = None
        #: The remotes that were not tried so far; None before the first attempt.
        self._untried: list[str] | None = None

    # The connection.

    def _connect(self) -> None:
        """Connect, for as long as it is worth trying."""
        settings = self._settings
        remotes = [remote for remote in settings.db.split(",") if remote] or [settings.db]
        if settings.shuffle:
            remotes = in_random_order(remotes)
        has_choice = len(remotes) > 1
        is_wanted = leads if settings.leader_only else is_in_cluster
        fault = "is not the cluster's leader" if settings.leader_only else "is cut off"
        patient = settings.retry or settings.db.startswith(("ptcp:", "punix:", "pssl:"))
        while True:
            reason = ""
            if patient or self._untried is None:
                self._untried = remotes.copy()
            while self._untried:
                remote = self._untried.pop(0)
                try:
                    reconnect_log.info("%s: connecting...", remote)
                    link = open_link(remote, self._deadline, settings.tls)
                    reconnect_log.info("%s: connected", remote)
                    if has_choice and not is_wanted(link, self._program.database):
                        link.close()
                        raise LinkError(f"{remote} {fault}")
                    self._link = link
                    self._idl.connected()
                    return
                except LinkError as error:
                    reason = str(error)
            if not patient:
                raise CommandError(f"{settings.db}: database connection failed ({reason})")
            _pause(RETRY_MS)

    def _pump(self) -> None:
        """Send what is to be sent and take one message."""
        while self._link is None:
            self._connect()
        link, idl = self._link, self._idl
        try:
            for message in idl.take_messages():
                link.send(Request(message["method"], message["params"], message["id"]))
            idl.receive(format_message(link.next_event()))
        except (LinkError, ProtocolError) as error:
            link.close()
            self._link = None
            idl.disconnected()
            if not self._settings.retry and not self._untried:
                raise CommandError(
                    f"{self._settings.db}: database connection failed ({error})"
                ) from None

    # The run.

    def run(self, commands: list[Command], comment: str) -> tuple[Run, list[Context]]:
        """Run the commands, as often as it takes to commit them; their contexts."""
        idl = self._idl
        while True:
            while not idl.synced:
                self._pump()
                if idl.problem is not None and not idl.synced:
                    raise CommandError(f"{self._settings.db}: {idl.problem}")
            seen = idl.seqno
            run = Run(self._program, idl, self._schema)
            contexts = self._attempt(run, commands, comment)
            if contexts is not None:
                return run, contexts
            while idl.seqno == seen:
                self._pump()

    def _attempt(self, run: Run, commands: list[Command], comment: str) -> list[Context] | None:
        """One attempt; None if it has to be repeated on other data."""
        txn = run.txn
        root = run.root()
        if self._settings.wait:
            txn.increment(root, "next_cfg")
        txn.comment(comment)
        try:
            contexts = [_run_command(run, command) for command in commands]
        except TryAgain:
            txn.abort()
            return None
        _check_symbols(run)
        txn.commit(dry_run=self._settings.dry_run)
        while txn.status == INCOMPLETE:
            self._pump()
        return contexts if _succeeded(txn.status, txn.error) else None

    def wait_for_switch(self, run: Run) -> None:
        """Wait until the switch has taken over what `run` committed."""
        target, root = run.txn.increment_value, self._program.root
        if not self._settings.wait or self._settings.dry_run or target is None:
            return
        while not any(row.integer("cur_cfg") >= target for row in self._idl.rows(root)):
            self._pump()

    def failed_interfaces(self, run: Run) -> list[tuple[str, str]]:
        """Names and reasons of the new interfaces that the switch could not set up."""
        if not self._settings.wait or self._settings.dry_run:
            return []
        failed = []
        for uuid in run.new_interfaces:
            row = self._idl.row("Interface", run.txn.real_uuid(uuid))
            if row is not None and row.opt_int("ofport") in (None, -1):
                failed.append((row.text("name"), row.opt_text("error") or ""))
        return failed


def _pause(ms: int) -> None:
    import select

    select.poll().poll(ms)


def _run_command(run: Run, command: Command) -> Context:
    context = Context(run, command)
    module = run.program.module(command.spec.where)
    getattr(module, "run_" + command.spec.function)(context)
    return context


def _check_symbols(run: Run) -> None:
    """Complain of `@name`s that lead nowhere, or that nothing leads to."""
    symbols = run.symbols
    for name in symbols.uuids:
        if name not in symbols.created:
            raise CommandError(
                f'row id "{name}" is referenced but never created '
                f'(e.g. with "-- --id={name} create ...")'
            )
        if name in symbols.strong_refs or _is_root_row(run, name):
            continue
        if name in symbols.weak_refs:
            problem = "only a weak reference to it was inserted"
        else:
            problem = "no reference to it was inserted"
        run.log.warn(
            'row id "%s" was created but %s, so it will not actually appear in the database',
            name, problem,
        )  # fmt: skip


def _is_root_row(run: Run, name: str) -> bool:
    """Whether the row that `@name` stands for lasts without references."""
    uuid = run.symbols.uuids[name]
    return any(
        table.is_root and run.txn.row(table.name, uuid) is not None
        for table in run.schema.tables.values()
    )


def _succeeded(status: str, error: str | None) -> bool:
    """True if the transaction is done, False if it must be tried again; else an error."""
    if status in (SUCCESS, UNCHANGED):
        return True
    if status == TRY_AGAIN:
        return False
    if status == ERROR:
        get_logger("ovsdb_idl").warn("transaction error: %s", error)
        raise CommandError(f"transaction error: {error}")
    if status == NOT_LOCKED:
        raise CommandError("database not locked")
    assert status == ABORTED, status
    raise CommandError("transaction aborted")
