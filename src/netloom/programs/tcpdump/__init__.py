"""`ovs-tcpdump`: tcpdump on a port of a bridge (ovs-tcpdump(8)).

A device is made that the bridge mirrors the port to, a mirror is set up in the database, tcpdump
listens to the device, and when it ends all of that goes away again.
"""
