"""The sites that are deployed: whoever answers says of which generation each part is.

A reply is a line of numbers: the generation of each part, of the script and the modules
that it requires. All of one number: the reply is whole. A deploy has two steps: `stage`
writes what is new where nothing serves it, `switch` makes it the site, as people do it.
"""

import itertools
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

TREE: Final = 1000  # files of the tree
_PAGES: Final = 20
_USED: Final = 5  # modules that each page of the tree requires

_SCRIPT: Final = """\
local generations = {{ {own} }}
{requires}
local reply = table.concat(generations, " ")
function main(env, con)
  con:header("Content-Type", "text/plain")
  con:puts(reply)
end
"""
_REQUIRE: Final = 'generations[#generations + 1] = require("{name}")\n'


class Site(Protocol):
    """Something that is deployed again and again."""

    @property
    def paths(self) -> list[str]:
        """What can be asked for."""
        ...

    def stage(self, generation: int) -> None:
        """Write a generation where it is not served."""
        ...

    def switch(self, generation: int) -> float:
        """Serve what was staged; return the longest pause between steps, seconds."""
        ...


def script(generation: int | None, modules: list[str]) -> str:
    """Return a script that tells its generation, if any, and those of its modules."""
    requires = "".join([_REQUIRE.format(name=name) for name in modules])
    return _SCRIPT.format(own=generation or "", requires=requires)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _stage(path: Path, text: str) -> None:
    _write(_staged(path), text)


def _staged(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _rename(paths: list[Path]) -> float:
    """Put what is staged in place; return the longest pause meanwhile."""
    at = [time.perf_counter()]
    for path in paths:
        _staged(path).rename(path)
        at.append(time.perf_counter())
    return max([b - a for a, b in itertools.pairwise(at[1:])], default=0.0)


@dataclass(frozen=True, slots=True)
class File:
    """One script, replaced by a rename."""

    root: Path

    @property
    def paths(self) -> list[str]:
        return ["/file.lua"]

    def stage(self, generation: int) -> None:
        _stage(self.root / "file.lua", script(generation, []))

    def switch(self, generation: int) -> float:
        return _rename([self.root / "file.lua"])


@dataclass(frozen=True, slots=True)
class Module:
    """One module, replaced by a rename; the script stays as it is."""

    root: Path

    @property
    def paths(self) -> list[str]:
        return ["/module.lua"]

    def stage(self, generation: int) -> None:
        path = self.root / "module.lua"
        if not path.exists():
            _write(path, script(None, ["lib.module"]))
        _stage(self.root / "lib/module.lua", f"return {generation}")

    def switch(self, generation: int) -> float:
        return _rename([self.root / "lib/module.lua"])


@dataclass(frozen=True, slots=True)
class Pair:
    """A module and its script, renamed one after the other."""

    root: Path

    @property
    def paths(self) -> list[str]:
        return ["/pair.lua"]

    def stage(self, generation: int) -> None:
        _stage(self.root / "lib/part.lua", f"return {generation}")
        _stage(self.root / "pair.lua", script(generation, ["lib.part"]))

    def switch(self, generation: int) -> float:
        return _rename([self.root / "lib/part.lua", self.root / "pair.lua"])


@dataclass(frozen=True, slots=True)
class Symlink:
    """`current`, a symlink to the newest of the releases."""

    root: Path

    @property
    def paths(self) -> list[str]:
        return ["/current/app.lua", "/current/other.lua"]

    def stage(self, generation: int) -> None:
        release = self.root / f"releases/{generation}"
        _write(release / "part.lua", f"return {generation}")
        for name in ("app.lua", "other.lua"):
            _write(release / name, script(generation, ["part"]))

    def switch(self, generation: int) -> float:
        fresh = self.root / "current.new"
        fresh.symlink_to(f"releases/{generation}")
        fresh.rename(self.root / "current")
        shutil.rmtree(self.root / f"releases/{generation - 3}", ignore_errors=True)
        return 0.0


@dataclass(frozen=True, slots=True)
class Tree:
    """A thousand files in place, each renamed, as rsync does it."""

    root: Path
    files: int = TREE

    @property
    def paths(self) -> list[str]:
        return [f"/tree/page{n}.lua" for n in range(_PAGES)]

    def _all(self, generation: int) -> dict[Path, str]:
        modules = self.files - _PAGES
        texts = {
            self.root / f"tree/parts/m{n}.lua": f"return {generation}"
            for n in range(modules)
        }
        for page in range(_PAGES):
            step = modules // _USED
            used = [f"parts.m{(page + n * step) % modules}" for n in range(_USED)]
            path = self.root / f"tree/page{page}.lua"
            texts[path] = script(generation, used)
        return texts

    def stage(self, generation: int) -> None:
        for path, text in self._all(generation).items():
            _stage(path, text)

    def switch(self, generation: int) -> float:
        return _rename(list(self._all(generation)))


# ---- broken ones ---------------------------------------------------------------------


def _becomes(text: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        _stage(path, text)
        _staged(path).rename(path)

    return change


def _unreadable(path: Path) -> None:
    staged = _staged(path)
    if os.geteuid() == 0:
        staged.symlink_to(path.name)  # to itself: root may read anything else
    else:
        staged.write_text("-- secret")
        staged.chmod(0)
    staged.rename(path)


_HANDLER: Final = "function main(env, con) con:puts('broken') end\n"

BROKEN: Final[dict[str, Callable[[Path], None]]] = {
    "syntax error": _becomes(_HANDLER + "local x = = 1"),
    "runtime error": _becomes(_HANDLER + "local x = nil + 1"),
    "no main": _becomes("local x = 1"),
    "missing module": _becomes(_HANDLER + 'require("nowhere.to.be.found")'),
    "broken module": _becomes(_HANDLER + 'require("lib.broken")'),
    "empty file": _becomes(""),
    "unreadable file": _unreadable,
    "too large": _becomes(_HANDLER + "--" + "x" * (5 << 20)),
}
"""Ways in which a deployed script is none."""


def prepare_broken(root: Path) -> None:
    """Put in place what the broken ones require."""
    _write(root / "lib/broken.lua", "error('a module that does not load')")
