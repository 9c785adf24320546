"""OpenFlow switches over a data path: tables, controllers, and the translation between the two.

Two kinds of object:

* `backer.Backer`, one per data-path type: owns the `dpif`, knows which data-path port belongs to
  which bridge, answers upcalls (`upcall`), keeps data-path flows true to the tables
  (`revalidate`).
* `bridge.Ofproto`, one per bridge: OpenFlow ports, bundles (groups of ports that VLANs and bonds
  speak of), tables of rules, MAC table, controllers' connections.

`vswitchd` makes and configures them from `settings` values; nothing here knows of the database.
`translate` turns a packet's key into data-path actions and the mask of what the decision depended
on; `ofproto/trace` is the same code with a recorder.
"""
