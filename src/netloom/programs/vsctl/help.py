"""The answers to `--help`, `--commands`, `--options` and `--version`."""

from __future__ import annotations

from netloom.base.paths import logdir
from netloom.ovsdb.hash_order import table_order, text_hash
from netloom.programs import tool
from netloom.programs.help_text import (
    CONNECTION_HELP,
    LOG_HELP,
    TABLE_HELP,
    TLS_HELP,
    version_text,
)
from netloom.programs.vsctl.commands import SPECS
from netloom.programs.vsctl.options import OPTIONS, PROGRAM
from netloom.programs.vsctl.records import ROW_IDS

COMMAND_HELP = """\
ovs-vsctl: ovs-vswitchd management utility
usage: ovs-vsctl [OPTIONS] COMMAND [ARG...]

Open vSwitch commands:
  init                        initialize database, if not yet initialized
  show                        print overview of database contents
  emer-reset                  reset configuration to clean state

Bridge commands:
  add-br BRIDGE               create a new bridge named BRIDGE
  add-br BRIDGE PARENT VLAN   create new fake BRIDGE in PARENT on VLAN
  del-br BRIDGE               delete BRIDGE and all of its ports
  list-br                     print the names of all the bridges
  br-exists BRIDGE            exit 2 if BRIDGE does not exist
  br-to-vlan BRIDGE           print the VLAN which BRIDGE is on
  br-to-parent BRIDGE         print the parent of BRIDGE
  br-set-external-id BRIDGE KEY VALUE  set KEY on BRIDGE to VALUE
  br-set-external-id BRIDGE KEY  unset KEY on BRIDGE
  br-get-external-id BRIDGE KEY  print value of KEY on BRIDGE
  br-get-external-id BRIDGE  list key-value pairs on BRIDGE

Port commands (a bond is considered to be a single port):
  list-ports BRIDGE           print the names of all the ports on BRIDGE
  add-port BRIDGE PORT        add network device PORT to BRIDGE
  add-bond BRIDGE PORT IFACE...  add bonded port PORT in BRIDGE from IFACES
  del-port [BRIDGE] PORT      delete PORT (which may be bonded) from BRIDGE
  port-to-br PORT             print name of bridge that contains PORT

Interface commands (a bond consists of multiple interfaces):
  list-ifaces BRIDGE          print the names of all interfaces on BRIDGE
  iface-to-br IFACE           print name of bridge that contains IFACE

Controller commands:
  get-controller BRIDGE      print the controllers for BRIDGE
  del-controller BRIDGE      delete the controllers for BRIDGE
  [--inactivity-probe=MSECS]
  set-controller BRIDGE TARGET...  set the controllers for BRIDGE
  get-fail-mode BRIDGE       print the fail-mode for BRIDGE
  del-fail-mode BRIDGE       delete the fail-mode for BRIDGE
  set-fail-mode BRIDGE MODE  set the fail-mode for BRIDGE to MODE

Manager commands:
  get-manager                print the managers
  del-manager                delete the managers
  [--inactivity-probe=MSECS]
  set-manager TARGET...      set the list of managers to TARGET...

SSL commands:
  get-ssl                     print the SSL configuration
  del-ssl                     delete the SSL configuration
  set-ssl PRIV-KEY CERT CA-CERT  set the SSL configuration

Auto Attach commands:
  add-aa-mapping BRIDGE I-SID VLAN   add Auto Attach mapping to BRIDGE
  del-aa-mapping BRIDGE I-SID VLAN   delete Auto Attach mapping VLAN from BRIDGE
  get-aa-mapping BRIDGE              get Auto Attach mappings from BRIDGE

Switch commands:
  emer-reset                  reset switch to known good state

Datapath commands:
  set-zone-limit DATAPATH ZONE LIMIT  set conntrack LIMIT of ZONE on DATAPATH
  del-zone-limit DATAPATH ZONE  delete the conntrack limit of ZONE on DATAPATH
  list-zone-limits DATAPATH   list all limits configured on DATAPATH

Database commands:
  list TBL [REC]              list RECord (or all records) in TBL
  find TBL CONDITION...       list records satisfying CONDITION in TBL
  get TBL REC COL[:KEY]       print values of COLumns in RECord in TBL
  set TBL REC COL[:KEY]=VALUE set COLumn values in RECord in TBL
  add TBL REC COL [KEY=]VALUE add (KEY=)VALUE to COLumn in RECord in TBL
  remove TBL REC COL [KEY=]VALUE  remove (KEY=)VALUE from COLumn
  clear TBL REC COL           clear values from COLumn in RECord in TBL
  create TBL COL[:KEY]=VALUE  create and initialize new record
  destroy TBL REC             delete RECord from TBL
  wait-until TBL REC [COL[:KEY]=VALUE]  wait until condition is true
Potentially unsafe database commands require --force option.
Database commands may reference a row in each table in the following ways:
"""

OPTION_HELP = """\

Options:
  --db=DATABASE               connect to DATABASE
                              (default: {db})
  --no-wait                   do not wait for ovs-vswitchd to reconfigure
  --retry                     keep trying to connect to server forever
  -t, --timeout=SECS          wait at most SECS seconds for ovs-vswitchd
  --dry-run                   do not commit changes to database
  --oneline                   print exactly one line of output per command

{table}
{log}  --no-syslog             equivalent to --verbose=vsctl:syslog:warn

{connection}{tls}
Other options:
  -h, --help                  display this help message
  -V, --version               display version information
"""

SCHEMA_VERSION = "8.8.0"


def answer(question: str) -> str:
    """What the run prints for that option."""
    if question == "version":
        return f"{version_text(PROGRAM)}DB Schema {SCHEMA_VERSION}\n"
    if question == "options":
        return tool.list_options(OPTIONS)
    if question == "commands":
        return _commands()
    return (
        COMMAND_HELP
        + _row_ids()
        + OPTION_HELP.format(
            db=tool.default_remote(),
            table=TABLE_HELP,
            log=LOG_HELP.format(log_file=f"{logdir()}/{PROGRAM}.log"),
            connection=CONNECTION_HELP.format(what="database "),
            tls=TLS_HELP,
        )
    )


def _row_ids() -> str:
    from netloom.programs.vsctl.schema_file import load_schema

    lines = []
    for table in load_schema().tables:
        lines += [f"  {table}:", "    by UUID"]
        row_id = ROW_IDS.get(table)
        if row_id is None:
            continue
        if not row_id.name:
            lines.append('    as "."')
        elif row_id.via:
            lines.append(f'    via "{row_id.via}" of {row_id.table} with matching "{row_id.name}"')
        else:
            lines.append(f'    by "{row_id.name}"')
    return "".join([line + "\n" for line in lines])


def _marked(form: str) -> str:
    """An argument form with each argument's number as a sign: `!` one, `?` up to one, `+` and `*`
    at least one and none."""
    words = []
    for word in form.split():
        optional = word.startswith("[")
        repeated = word.endswith("...")
        bare = word.removesuffix("...")
        if optional and bare.endswith("]"):
            bare = bare[1:-1]
        else:
            optional = False
        sign = ("*" if repeated else "?") if optional else ("+" if repeated else "!")
        words.append(sign + bare.replace("[:KEY]", "?:KEY").replace("[KEY=]", "?KEY="))
    return " ".join(words)


#: Ranks of the modules whose commands are not in the middle of the registration order.
_RANKS = {"show": 0, "database": 1, "changes": 1, "switch": 2, "reset": 4, "zones": 5}
_MIDDLE_RANK = 3


def _registered() -> list[str]:
    """The commands in the order in which Open vSwitch enters them into its table."""
    ranks = {spec.name: _RANKS.get(spec.where, _MIDDLE_RANK) for spec in SPECS}
    ranks["init"] = _MIDDLE_RANK
    return sorted(ranks, key=ranks.__getitem__)


def _commands() -> str:
    """The commands in the order of Open vSwitch's hash table of them."""
    lines = {}
    for spec in SPECS:
        options = " ".join([f"[{option}]" for option in spec.options])
        lines[spec.name] = f"{options + ' ' if options else ''},{spec.name},"
        lines[spec.name] += f"{_marked(spec.arguments)}\n"
    order = table_order((text_hash(name), name) for name in _registered())
    return "".join([lines[name] for name in order])
