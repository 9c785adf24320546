"""Benchmarks, always beside the peer in one run: `make bench`, or `python -m bench NAME`.

Each prints one row per figure: ours, the peer's, the ratio. Machines are noisy: only ratios of
one run mean anything, and nothing here decides a test.
"""
