"""Commands of the host, run without waiting for them in the loop."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from netloom.base.errors import NetloomError

COMMAND_S = 30.0


class CommandFailed(NetloomError):
    """A command ended with another status than 0."""


async def run(*argv: str, stdin: str = "") -> str:
    """What the command printed; `CommandFailed` with its complaint."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError:
        raise CommandFailed(f"{argv[0]} is not installed") from None
    async with asyncio.timeout(COMMAND_S):
        output, complaint = await process.communicate(stdin.encode())
    if process.returncode:
        raise CommandFailed(f"{' '.join(argv)}: {complaint.decode(errors='replace').strip()}")
    return output.decode(errors="replace")


async def run_json(*argv: str) -> Any:
    """What the command printed as JSON; an empty list if it printed nothing."""
    return json.loads(await run(*argv) or "[]")
