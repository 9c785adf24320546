"""What every other room stands on: errors, clocks, limits, logs, counters, the machine shape.

Nothing here knows a word of networking, and nothing here imports another netloom package.
"""
