"""Tell a story of commands: each one is printed before it runs, and what came of it after.

Rich on a terminal, plain text when piped. Every check is remembered; the story failed if one did.
"""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from netloom.lab.commands import Result
from netloom.lab.namespace import VirtualMachine
from netloom.lab.switch import Switch

#: Prompts of commands: of the machine that the switch runs on, as root.
HOST_PROMPT = "# "


class Narrator:
    """Prints and runs the steps of a story against one switch."""

    def __init__(self, switch: Switch, console: Console | None = None) -> None:
        self.switch = switch
        self.console = console or Console(highlight=False, soft_wrap=True)
        self.n_checks = 0
        self.failures: list[str] = []
        self._chapter = 0

    def _print(self, text: str, style: str = "", indent: int = 3) -> None:
        for line in text.splitlines() or [""]:
            self.console.print(Text(" " * indent + line, style=style))

    def chapter(self, title: str) -> None:
        self._chapter += 1
        self.console.print()
        self.console.print(Text(f"{self._chapter}. {title}", style="bold"))

    def say(self, text: str) -> None:
        self._print(text)

    def command(self, *argv: str, show: bool = False) -> Result:
        """Run a tool of the switch; with `show`, print what it says. A failure is a check that
        failed."""
        self._print(HOST_PROMPT + " ".join(_quote(arg) for arg in argv), style="cyan")
        result = self.switch.run(*argv, check=False)
        if show:
            self._print(result.stdout.rstrip(), style="dim", indent=5)
        if not result.ok:
            self._print(result.stderr.rstrip(), style="red", indent=5)
            self._record(f"{argv[0]} succeeds", ok=False)
        return result

    def check(self, claim: str, ok: bool) -> None:
        """State what should be so, and whether it is."""
        self._record(claim, ok)

    def ping(self, source: VirtualMachine, target: VirtualMachine, expect: bool) -> None:
        """Ping, and check that it does or does not get through."""
        self._print(f"{source.label}# ping -c 3 {target.ip_address}", style="cyan")
        # A packet that gets through does so at once; one that should not is given time to.
        answered = source.ping(target.ip_address, count=3, wait_s=1.0 if expect else 0.5)
        reaches = "reaches" if expect else "does not reach"
        self._record(f"{source.label} {reaches} {target.label}", answered == expect)

    def _record(self, claim: str, ok: bool) -> None:
        self.n_checks += 1
        if not ok:
            self.failures.append(claim)
        mark, style = ("ok  ", "green") if ok else ("FAIL", "bold red")
        self.console.print(Text(f"   {mark} {claim}", style=style))

    def finish(self) -> bool:
        """Print the sum; True if every check held."""
        self.console.print()
        good = self.n_checks - len(self.failures)
        style = "bold red" if self.failures else "bold green"
        self.console.print(Text(f"{good} of {self.n_checks} checks hold.", style=style))
        for claim in self.failures:
            self.console.print(Text(f"   FAIL {claim}", style="red"))
        return not self.failures


def _quote(arg: str) -> str:
    return f"'{arg}'" if any(ch in arg for ch in " ;*?()[]{}<>|&$") or not arg else arg
