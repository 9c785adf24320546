"""OpenFlow: messages, actions and instructions as values, their bytes in every version, their text.

`messages` and `actions` are the values. `codec` turns them into bytes and back: one table, the
versions are its columns. `connection` is the sans-IO machine of one side of a connection. `text`
prints and parses as ovs-ofctl(8) does.
"""
