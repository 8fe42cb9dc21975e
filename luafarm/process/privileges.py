"""Giving up root once a process holds what needs it."""

# Impure.

import grp
import os
import pwd
import signal
from collections.abc import Sequence
from pathlib import Path

from luafarm.config.settings import Security
from luafarm.errors import SettingsError
from luafarm.process import prctl


def ids(security: Security) -> tuple[int, int] | None:
    """Return uid and gid to change to; None: stay. Raise SettingsError."""
    if not security.user or os.geteuid() != 0:
        return None
    try:
        user = pwd.getpwnam(security.user)
    except KeyError:
        reason = f'[security] user = "{security.user}": no such user'
        raise SettingsError(reason, "security.user") from None
    try:
        group = grp.getgrnam(security.group).gr_gid if security.group else user.pw_gid
    except KeyError:
        reason = f'[security] group = "{security.group}": no such group'
        raise SettingsError(reason, "security.group") from None
    return user.pw_uid, group


def first_unreadable(security: Security, paths: Sequence[Path]) -> Path | None:
    """Return the first path that the user to become cannot read; None: all of them.

    A directory must be one that the user may enter as well. A child of this process
    becomes the user and tries: the kernel decides, not we.
    """
    target = ids(security)
    if target is None:
        return None
    groups = os.getgrouplist(security.user, target[1])
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _become(*target, groups)
            refused = (n for n, path in enumerate(paths) if not _is_readable(path))
            os.write(writer, b"%d" % next(refused, len(paths)))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        said = answer.read()
    os.waitpid(child, 0)
    number = int(said or len(paths))  # it could not become the user: `drop` says so
    return paths[number] if number < len(paths) else None


def _become(uid: int, gid: int, groups: Sequence[int]) -> None:
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def _is_readable(path: Path) -> bool:
    if not os.access(path, os.R_OK):
        return False
    return not path.is_dir() or os.access(path, os.X_OK)


def drop(security: Security) -> bool:
    """Become the configured user for good; return whether there was anything to do.

    No program that it starts can gain rights. The kernel forgets the
    parent-death signal when a process changes its user; it is asked for again.
    """
    target = ids(security)
    if target is None:
        return False
    uid, gid = target
    parent, deadly = os.getppid(), prctl.parent_death_signal()
    _become(uid, gid, os.getgrouplist(security.user, gid))
    prctl.change(prctl.PR_SET_NO_NEW_PRIVS, 1)
    if deadly and not prctl.tie(parent, deadly):
        os.kill(os.getpid(), signal.Signals(deadly))
    return True
