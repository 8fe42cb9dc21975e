"""What trusted pools run, and who could have written it.

A trusted pool has files, network and programs of the user that its VM hosts run as:
root, or `[security] user`, or whoever started the farm. So whoever can write a script
of it is that user. That may be root, the user itself, and whom `writers` names; what
anybody else could have written is refused: roots, libraries and C modules before a role
starts, scripts and modules when the broker reads them. C modules of sandboxed pools
(`c_modules`) run while a VM host has the rights of the supervisor: nobody but root and
the supervisor's user may have written them.
"""

# Impure.

import grp
import os
import pwd
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from luafarm import strangers
from luafarm.config.settings import PoolSettings, Settings
from luafarm.dialects import Dialect
from luafarm.errors import SettingsError
from luafarm.process import children, cplaces, privileges
from luafarm.strangers import Circle

_GROUP: Final = "@"

_OPENING_S: Final = 30.0
"""For a process to open C modules, on a busy machine, from a slow disk."""


def circle(settings: Settings, name: str) -> Circle:
    """Return who may write what a trusted pool runs. Raise SettingsError."""
    own = strangers.own_circle()
    target = privileges.ids(settings.security)
    if target is not None:
        own = own.with_uid(target[0])
    uids, gids = set(own.uids), set(own.gids)
    for writer in settings.pool[name].writers:
        try:
            if writer.startswith(_GROUP):
                gids.add(grp.getgrnam(writer.removeprefix(_GROUP)).gr_gid)
            else:
                uids.add(pwd.getpwnam(writer).pw_uid)
        except KeyError:
            kind = "group" if writer.startswith(_GROUP) else "user"
            reason = f'[pool.{name}] writers: "{writer}": no such {kind}'
            raise SettingsError(reason) from None
    return Circle(frozenset(uids), frozenset(gids))


def circles(settings: Settings) -> dict[str, Circle]:
    """Return the circles of all trusted pools by their names."""
    trusted = [n for n, pool in settings.pool.items() if pool.trust == "trusted"]
    return {name: circle(settings, name) for name in trusted}


def first_fault(pool: PoolSettings, mine: Circle) -> tuple[str, str] | None:
    """Return the first setting of a trusted pool that is not safe, and why."""
    for field, path in _places(pool):
        try:
            strangers.check(path, mine)
        except strangers.StrangerError as wrong:
            reason = f"{wrong}, who could run code in this trusted pool"
            return field, f"{reason}; its writers name who else may"
        except OSError:
            continue  # not there, or not here: whoever needs it says so
    return None


def c_fault(pool: PoolSettings) -> str:
    """Return what is wrong with the `c_modules` of a pool; empty: nothing."""
    mine = strangers.own_circle()
    dialect = Dialect(pool.dialect)
    files: dict[str, Path] = {}
    for name in pool.c_modules:
        try:
            files[name] = cplaces.find(name, dialect, pool.cpath)
            strangers.check(files[name], mine)
        except cplaces.NoModuleError as missing:
            return str(missing)
        except strangers.StrangerError as wrong:
            return f"{wrong}, who could run code in every VM host of this pool"
        except OSError as error:
            return f"{name}: {error.strerror}"
    return _opening_fault(files, dialect) if files else ""


def _opening_fault(files: Mapping[str, Path], dialect: Dialect) -> str:
    """Return why a VM host could not open these files, which nobody else has written.

    What is tried runs their code, so it is tried elsewhere.
    """
    names = f"C modules {', '.join(files)} for {dialect}"
    pairs = [text for name, path in files.items() for text in (name, str(path))]
    try:
        done = subprocess.run(
            children.command("vmhost.lua.cmodules", [dialect, *pairs]),
            env=children.environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=children.tie(),
            timeout=_OPENING_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{names}: not opened within {_OPENING_S:g} s"
    if not done.returncode:
        return ""
    said = done.stderr.decode("utf-8", "backslashreplace").strip().splitlines()
    if done.returncode > 0 and said:
        return said[-1]
    how = children.how(done.returncode)
    return f"{names}: the process that opened them {how}"


def _places(pool: PoolSettings) -> Iterator[tuple[str, Path]]:
    for field, texts in (("root", pool.root), ("library", pool.library)):
        for text in texts:
            yield field, Path(text)
    cpath = pool.cpath or cplaces.default_cpath(Dialect(pool.dialect))
    path = cplaces.default_path(Dialect(pool.dialect))
    for field, templates in (("cpath", cpath), ("trust", path)):
        for template in filter(None, templates.split(";")):
            # relative ones start where the farm was started, as in any Lua
            before, mark, _ = template.partition("?")
            place = Path(os.path.abspath(before + "x" if mark else before))  # noqa: PTH100
            # without the mark it names one file
            yield field, _existing(place.parent if mark else place)


def _existing(path: Path) -> Path:
    """Return what there is of a path: who may write there may make the rest."""
    there = (p for p in (path, *path.parents) if os.access(p, os.F_OK))
    return next(there, Path("/"))
