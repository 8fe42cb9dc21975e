"""A library laid out below a root, with all that its tests need, and its jobs."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.libraries.library import Library, Suite
from tests.libraries.shelf import Shelf

LUA: Final = Path(__file__).with_name("lua")
LONG_BYTES: Final = 4 << 20
"""A file larger than this is no module that anybody writes."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run of one state or interpreter: a module to load, or a file of tests."""

    kind: str
    name: str  # of the module, or of the file as the suite names it
    work: str  # the directory in which it runs, below the root
    suite: Suite | None = None

    def text(self, end: str) -> str:
        """Return Lua text that does the job, in a plain interpreter or in a state."""
        suite = self.suite
        job: dict[str, str | list[str]] = {
            "kind": self.kind,
            "name": self.name,
            "file": self.name,
            "excluded": list(suite.excluded) if suite else [],
            "modules": suite.modules if suite else "",
            "arguments": list(suite.arguments) if suite else [],
        }
        fields = ", ".join(
            f"{key} = {_lua(value)}" for key, value in job.items() if value
        )
        parts = [f"local JOB = {{ {fields} }}"]
        used = ["kinds.lua", "runner.lua"]
        if suite and suite.in_memory:
            used.insert(0, "memory.lua")
        parts += [(LUA / name).read_text() for name in used]
        return "\n".join([*parts, end])


def _lua(value: str | list[str]) -> str:
    if isinstance(value, list):
        return "{ " + ", ".join(map(_lua, value)) + " }"
    return json.dumps(value)


@dataclass(frozen=True, slots=True)
class Site:
    """Where a library lies: its root, and where `require` looks below and beside it."""

    library: Library
    root: Path
    paths: tuple[Path, ...]

    def jobs(self) -> list[Job]:
        """Return what there is to run, modules first."""
        loads = [Job("module", name, "") for name in sorted(set(self._modules()))]
        return loads + [
            job for suite in self.library.suites for job in self._files(suite)
        ]

    def _modules(self) -> Iterator[str]:
        own = [self.root / path for path in self.library.path]
        for base in own:
            for glob in self.library.modules:
                for path in sorted(base.glob(glob)):
                    name = path.relative_to(base).with_suffix("").as_posix()
                    name = name.removesuffix("/init").replace("/", ".")
                    if path.is_file() and not self._is_without(name):
                        yield name

    def _is_without(self, name: str) -> bool:
        return any(
            name == other or name.startswith(f"{other}.")
            for other in self.library.without
        )

    def _files(self, suite: Suite) -> Iterator[Job]:
        work = self.root / suite.work
        for path in sorted(self.root.glob(suite.files)):
            if path.is_file() and path.name not in suite.without:
                name = path.relative_to(work).as_posix()
                yield Job(suite.kind, name, suite.work, suite)


def lay(
    library: Library, shelf: Shelf, catalogue: dict[str, Library], place: Path
) -> Site:
    """Copy a library and what it needs below a directory.

    Copies, because a link that leads outside of the roots is none to luafarm.
    """
    root = place / "r"
    _copy(shelf.get(library.source), root, library)
    paths = [root / path for path in library.path]
    for name in _all_needs(library, catalogue):
        need = catalogue[name]
        beside = place / name
        _copy(shelf.get(need.source), beside, need)
        paths += [beside / path for path in need.path]
    (place / "standins").mkdir()
    shutil.copy(LUA / "lfs.lua", place / "standins")
    return Site(library, root, (*paths, place / "standins"))


def _all_needs(library: Library, catalogue: dict[str, Library]) -> list[str]:
    found: dict[str, None] = {}
    waiting = list(library.needs)
    if any(suite.kind == "busted" for suite in library.suites):
        waiting += [name for name in ("luassert", "say") if name != library.name]
    while waiting:
        name = waiting.pop(0)
        if name not in found and name != library.name:
            found[name] = None
            waiting += catalogue[name].needs
    return list(found)


def _copy(package: Path, target: Path, library: Library) -> None:
    shutil.copytree(package, target, symlinks=False, ignore_dangling_symlinks=True)
    for new, old in library.lay.items():
        path = target / new
        path.parent.mkdir(parents=True, exist_ok=True)
        if (target / old).is_dir():
            shutil.copytree(target / old, path, dirs_exist_ok=True)
        else:
            shutil.copy(target / old, path)
