"""Flow keys: the field table, matches, extraction from packets, and the text people write.

`fields` is the table. `key` names the slots that code touches often. `match` is a value and a mask.
`extract` turns packet bytes into a key. `text` parses and prints matches as ovs-ofctl(8) does.
"""
