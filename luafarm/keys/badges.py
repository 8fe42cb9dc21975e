"""Which role, and of which machine, the owner of a key may be.

The name of a key file is its badge: `vmhost-node2.public` speaks as the supervisor of
machine node2 and as nothing else, `vmhost.public` as the supervisor of any machine that
has no key of its own. What a peer says of itself in `Hello` counts only as far as a
badge of its key goes; so no key of one role speaks for another, and no key of one
machine for another.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from luafarm.names import Machine
from luafarm.wire.messages import Hello, Role

ROLES: Final = {
    "broker": Role.BROKER,
    "vmhost": Role.SUPERVISOR,
    "fcgi": Role.FRONT,
    "command": Role.COMMAND,
}
"""What a key is for, by the first word of its file's name."""

WORDS: Final = {
    Role.FRONT: "front",
    Role.BROKER: "broker",
    Role.HOST: "VM host",
    Role.SUPERVISOR: "supervisor",
    Role.COMMAND: "command",
}
"""Roles as logs name them."""


@dataclass(frozen=True, slots=True)
class Badge:
    """One thing that the owner of a key may be."""

    key: bytes  # public, in Z85
    role: Role
    machine: Machine  # empty: any that no other badge of this role names
    file: str  # where the key was found, for the log


class Badges:
    """The badges of all keys that a process knows."""

    def __init__(self, badges: Iterable[Badge]) -> None:
        self.all = tuple(badges)
        self._of_key: dict[str, list[Badge]] = {}
        self._of_machine: dict[tuple[Role, Machine], Badge] = {}
        for badge in self.all:
            self._of_key.setdefault(badge.key.decode(), []).append(badge)
            if badge.machine:
                self._of_machine[badge.role, badge.machine] = badge

    def keys(self, *roles: Role) -> frozenset[bytes]:
        """Return the keys of all that may be one of these."""
        return frozenset([badge.key for badge in self.all if badge.role in roles])

    def owner(self, key: str) -> str:
        """Return the name of a key for the log: its file's, else the key itself."""
        badges = self._of_key.get(key)
        return badges[0].file if badges else key

    def refusal(self, key: str, hello: Hello) -> str:
        """Return why the owner of this key may not be what it says; empty: it may."""
        badges = [b for b in self._of_key.get(key, ()) if b.role == hello.role]
        if not badges:
            word = WORDS[hello.role]
            return f"{self.owner(key)} is no key of a {word}"
        if any(badge.machine == hello.machine for badge in badges):
            return ""
        own = self._of_machine.get((hello.role, hello.machine))
        general = [badge for badge in badges if not badge.machine]
        if not general:
            badge = badges[0]
            return f"{badge.file} speaks for machine {badge.machine} only"
        if own is not None:
            return f"machine {own.machine} has a key of its own, {own.file}"
        return ""
