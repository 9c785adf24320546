"""The readable data path: all in Python, runs anywhere, also without root.

`cache` finds the flow of a packet, `execute` runs actions, `dpif` ties both to ports.
"""
