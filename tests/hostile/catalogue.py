"""The attacks: Lua files whose headers say what they try and what must come of it.

    -- attack: one sentence
    -- expect: refused                 it says itself that nothing got through
    -- expect: 200 TEXT                a reply, and TEXT in it
    -- expect: 500 TEXT                an error page of that status with TEXT
    -- expect: budget NAME             a page that names this budget
    -- expect: kill                    504, and the VM host had to die for it
    -- expect lua52 lua53: ...         the same for some dialects
    -- only: lua54 lua55               it makes no sense elsewhere
    -- asks: 3                         so many requests; each must come out so
    -- body: 200000                    a POST with so many bytes
    -- form: NAME                      a POST with that form of `forms.BUILDERS`
    -- query: ...                      {root}, {pool} and {place} are filled in

Two outcomes that are both right stand with " or " between them, but they name one
budget at most. An attack is tried on the ground where that one is short and nothing
else can end it, so that no race decides what comes of it. Whatever is expected, no
reply may contain ESCAPED: a script prints that when it gets what it must not have.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from luafarm.dialects import UNSOUND, Dialect
from tests.hostile import forms

SCRIPTS: Final = Path(__file__).with_name("scripts")
LIBRARY: Final = Path(__file__).with_name("library")
CANARIES: Final = Path(__file__).with_name("canaries")

DIALECTS: Final = tuple(d for d in Dialect if d not in UNSOUND)
"""Those of sandboxed pools."""

_LINE: Final = re.compile(r"-- (\w+)((?: \w+)*): (.+)")


class Ground(StrEnum):
    """The kinds of farm that attacks are tried in, by what is short there."""

    CPU = "cpu"
    WALL = "wall"
    ROOM = "room"  # memory and replies


_GROUNDS: Final = {
    "": Ground.ROOM,
    "cpu": Ground.CPU,
    "memory": Ground.ROOM,
    "reply": Ground.ROOM,
    "wall": Ground.WALL,
}
"""By the budget that has to be short."""


@dataclass(frozen=True, slots=True)
class Expected:
    """One right outcome."""

    kind: str  # "refused", "budget", "kill", or an HTTP status
    text: str = ""

    @property
    def budget(self) -> str:
        """What has to be short for it; empty if nothing has to be."""
        if self.kind == "kill":
            return "cpu"
        return self.text if self.kind == "budget" else ""

    def shown(self) -> str:
        """Return it as the header says it."""
        return f"{self.kind} {self.text}".rstrip()


@dataclass(frozen=True, slots=True)
class Attack:
    """One hostile script."""

    name: str  # CLASS/FILE without its ending
    about: str
    outcomes: dict[Dialect, tuple[Expected, ...]]  # where it is run
    asks: int
    body_bytes: int
    form: str  # empty: none
    query: str

    @property
    def file(self) -> str:
        """Its path below a root."""
        return f"{self.name}.lua"

    def ground(self, dialect: Dialect) -> Ground:
        """Return where it is tried."""
        return _GROUNDS[max(one.budget for one in self.outcomes[dialect])]

    def is_for(self, dialect: Dialect, ground: Ground) -> bool:
        """Say whether it is tried there."""
        return dialect in self.outcomes and self.ground(dialect) is ground


class HeaderError(ValueError):
    """A script whose header does not say what it must."""


def attacks() -> list[Attack]:
    """Return all of them, by name."""
    return [_read(path) for path in sorted(SCRIPTS.glob("*/*.lua"))]


def _read(path: Path) -> Attack:
    name = f"{path.parent.name}/{path.stem}"
    fields: dict[str, str] = {}
    outcomes: dict[Dialect, tuple[Expected, ...]] = {}
    for line in path.read_text("latin-1").split("\n"):
        found = _LINE.fullmatch(line)
        if found is None:
            break
        key, dialects, value = found[1], found[2].split(), found[3]
        if key == "expect":
            for dialect in dialects or DIALECTS:
                outcomes[Dialect(dialect)] = _expected(name, value)
        elif key in fields:
            raise HeaderError(f"{name}: two lines for {key}")
        else:
            fields[key] = value
    only = [Dialect(word) for word in fields.pop("only", " ".join(DIALECTS)).split()]
    attack = Attack(
        name,
        fields.pop("attack", ""),
        {dialect: outcomes[dialect] for dialect in only if dialect in outcomes},
        int(fields.pop("asks", "1")),
        int(fields.pop("body", "0")),
        fields.pop("form", ""),
        fields.pop("query", ""),
    )
    if attack.form and attack.form not in forms.BUILDERS:
        raise HeaderError(f"{name}: there is no form {attack.form!r}")
    if fields or not attack.about or set(only) - set(attack.outcomes):
        raise HeaderError(f"{name}: a header that is not complete, or {sorted(fields)}")
    return attack


def _expected(name: str, value: str) -> tuple[Expected, ...]:
    found = []
    for one in value.split(" or "):
        kind, _, text = one.partition(" ")
        known = kind in {"refused", "budget", "kill"} or re.fullmatch(
            r"[2-5]\d\d", kind
        )
        if not known:
            raise HeaderError(f"{name}: nothing can be expected by {one!r}")
        found.append(Expected(kind, text))
    budgets = {one.budget for one in found} - {""}
    if len(budgets) > 1 or budgets - set(_GROUNDS):
        raise HeaderError(f"{name}: one budget has to be short, not {sorted(budgets)}")
    return tuple(found)
