"""Who wants to be told when a change is in force, and of which scripts.

A ticket names one of them. It is answered once, when each of its scripts is settled:
the change is in force, or the script does not load.
"""

# Compiled.

from luafarm.names import Script


class Tickets:
    """Tickets by script, and the scripts that each ticket still stands for."""

    def __init__(self) -> None:
        self._scripts: dict[bytes, dict[Script, None]] = {}
        self._tickets: dict[Script, dict[bytes, None]] = {}
        #: by ticket: the first script that failed, and why
        self._errors: dict[bytes, tuple[Script, str]] = {}

    def add(self, ticket: bytes, scripts: list[Script]) -> None:
        """Let a ticket stand for these scripts; without any, nothing is noted."""
        if not scripts:
            return
        mine = self._scripts.setdefault(ticket, {})
        for script in scripts:
            mine[script] = None
            self._tickets.setdefault(script, {})[ticket] = None

    def settle(self, script: Script, error: str) -> list[tuple[bytes, Script, str]]:
        """Note that this script's change is in force or failed.

        Return the tickets that are due, each with the first script that failed and its
        error; both are empty when none did.
        """
        due: list[tuple[bytes, Script, str]] = []
        for ticket in self._tickets.pop(script, {}):
            mine = self._scripts[ticket]
            del mine[script]
            if error:
                self._errors.setdefault(ticket, (script, error))
            if not mine:
                del self._scripts[ticket]
                failed, why = self._errors.pop(ticket, (Script(b""), ""))
                due.append((ticket, failed, why))
        return due

    def has(self, script: Script) -> bool:
        """Say whether any ticket stands for this script."""
        return script in self._tickets
