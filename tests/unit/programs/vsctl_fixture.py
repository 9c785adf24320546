"""Runs commands of ovs-vsctl, or of another tool, on a replica that is filled by hand."""

from __future__ import annotations

import shlex
from typing import Any

from netloom.ovsdb.idl import Idl
from netloom.programs.db_ctl.command_line import parse_commands
from netloom.programs.db_ctl.context import Context, Needs, Run
from netloom.programs.db_ctl.run import Program, add_needs
from netloom.programs.db_ctl.schema_file import load_schema
from netloom.programs.vsctl.main import PROGRAM


def uuid(n: int) -> str:
    return f"{n:08x}-0000-4000-8000-000000000000"


def ref(*numbers: int) -> Any:
    return ["set", [["uuid", uuid(n)] for n in numbers]]


class Switch:
    """A database whose rows are given as {table: {number: {column: JSON value}}}."""

    def __init__(
        self, rows: dict[str, dict[int, dict[str, Any]]], program: Program = PROGRAM
    ) -> None:
        self.rows = rows
        self.program = program

    def run(self, line: str) -> tuple[str, list[dict[str, Any]]]:
        """Run the commands of `line`: what they print, and the operations they would send."""
        program = self.program
        commands = parse_commands(shlex.split(line), {}, program.specs)
        needs = Needs(program, load_schema(program.schema))
        add_needs(needs, commands)
        idl = Idl(program.database, needs.for_idl())
        idl.assume_schema(needs.schema)
        idl.connected()
        (request,) = idl.take_messages()
        wanted = request["params"][2]
        snapshot = {
            table: {
                uuid(n): {"initial": {c: v for c, v in row.items()
                                      if c in wanted[table][0]["columns"]}}
                for n, row in self.rows.get(table, {}).items()
            }
            for table in wanted
        }  # fmt: skip
        idl.receive({"id": request["id"], "result": [False, uuid(0), snapshot], "error": None})
        run = Run(program, idl, needs.schema)
        run.root()
        contexts = []
        for command in commands:
            context = Context(run, command)
            module = program.module(command.spec.where)
            getattr(module, "run_" + command.spec.function)(context)
            contexts.append(context)
        operations, changed = run.txn.operations()
        return "".join(["".join(c.output) for c in contexts]), operations if changed else []


def two_bridges() -> Switch:
    """br0 with a tagged port and a controller, br1 with a VXLAN port; datapath netdev."""
    return Switch({
        "Open_vSwitch": {1: {"bridges": ref(2, 3), "ovs_version": "3.7.0",
                             "datapaths": ["map", [["netdev", ["uuid", uuid(20)]]]]}},
        "Bridge": {2: {"name": "br0", "ports": ref(4, 5), "controller": ref(8)},
                   3: {"name": "br1", "ports": ref(6)}},
        "Port": {4: {"name": "br0", "interfaces": ref(10)},
                 5: {"name": "p1", "interfaces": ref(11), "tag": 10},
                 6: {"name": "vx", "interfaces": ref(12)}},
        "Interface": {10: {"name": "br0", "type": "internal"}, 11: {"name": "p1"},
                      12: {"name": "vx", "type": "vxlan",
                           "options": ["map", [["remote_ip", "1.2.3.4"]]]}},
        "Controller": {8: {"target": "tcp:1.1.1.1"}},
        "Datapath": {20: {"datapath_version": "0"}},
    })  # fmt: skip
