"""From the rows of the database to bridges, and back from facts to rows.

    idl rows --desired--> Wish --plan--> steps --apply--> Ofproto, devices
                                                  |
    rows <--status-- facts of ports, devices and connections

`desired` reads rows and judges them; `plan` subtracts what is from what is wished; `apply` performs
the steps and remembers what became of each; `status` turns facts into columns and writes the
differences. `switch.Switch` puts them in a row, once per turn of the daemon's loop. Nothing here
does input or output: devices, data paths and the database's connection are handed in.
"""
