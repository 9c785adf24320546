"""Flow keys: the field table, matches, extraction from packets, and the text people write.

`fields` is the table, `key` names the slots that hot code touches, `match` is a value and a mask.
`extract` turns packet bytes into a key, `compose` a key into packet bytes. `text` reads matches and
flows as ovs-ofctl(8) does, `print` prints them, `value_text` does both for single fields, and
`prerequisites` says which fields a match may have. `odp_parse` and `odp_text` are the other syntax,
that of data-path flows in ovs-dpctl(8). `ports` are OpenFlow's port numbers.
"""
