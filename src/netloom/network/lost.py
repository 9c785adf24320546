"""Losing a race: the request that lost runs again."""

from __future__ import annotations


class Lost(Exception):
    """Another request took or changed what this one had chosen or read: run it again."""
