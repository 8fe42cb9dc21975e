"""Giving up root: a process changes to an ordinary user once it holds its sockets."""

import grp
import os
import pwd

from luafarm.errors import SettingsError
from luafarm.settings import Security


def ids(security: Security) -> tuple[int, int] | None:
    """Return (uid, gid) to change to; None when no user is set. Raise SettingsError."""
    if not security.user:
        return None
    try:
        user = pwd.getpwnam(security.user)
    except KeyError:
        raise SettingsError(
            f'[security] user = "{security.user}": no such user'
        ) from None
    if not security.group:
        return user.pw_uid, user.pw_gid
    try:
        return user.pw_uid, grp.getgrnam(security.group).gr_gid
    except KeyError:
        raise SettingsError(
            f'[security] group = "{security.group}": no such group'
        ) from None


def give_up_root(security: Security) -> None:
    """Change to the user of the settings for good; nothing when not root."""
    found = ids(security)
    if found is None or os.geteuid() != 0:
        return
    uid, gid = found
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
