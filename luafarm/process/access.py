"""Who may connect to a UNIX listener: how the settings say it, and what came of it."""

# Impure.

import grp
import os
import pwd
import stat
from pathlib import Path
from typing import Final

from luafarm.config.settings import Front
from luafarm.errors import ListenError

WEB_SERVERS: Final = ("www-data", "nginx", "http", "apache")
"""Groups that web servers run in: on Debian, of nginx's own packages, on Arch, on Red
Hat. The first that there is gets root's UNIX listeners unless a group is named."""


def give(place: Path | int, owner: tuple[int, int], front: Front) -> None:
    """Give a socket's path, or what stands for it, to whom the settings name."""
    try:
        os.chown(place, *owner)
        os.chmod(place, front.listen_mode)  # noqa: PTH101 - it may be a descriptor
    except PermissionError:
        if front.listen_user:
            name, reason = "listen_user", "only root gives sockets to others"
        else:
            name, reason = "listen_group", "one of your own groups belongs here"
        value = front.listen_user or front.listen_group
        raise ListenError(name, value, reason) from None


def try_give_again(path: Path, front: Front) -> None:
    """Raise ListenError when a path that was made before cannot be given as wanted.

    The kernel decides, over a file without a name; the path stays as it is.
    """
    fd = os.memfd_create("luafarm-rights", os.MFD_CLOEXEC)
    try:
        give(fd, owner_by_now(path, front), front)
    finally:
        os.close(fd)


def owner(front: Front) -> tuple[int, int]:
    """Return uid and gid that UNIX listeners get; -1: as it comes."""
    uid = gid = -1
    if front.listen_user:
        try:
            uid = pwd.getpwnam(front.listen_user).pw_uid
        except KeyError:
            raise _nobody("user", front.listen_user) from None
    name = group(front)
    if name:
        try:
            gid = grp.getgrnam(name).gr_gid
        except KeyError:
            raise _nobody("group", name) from None
    return uid, gid


def owner_by_now(path: Path, front: Front) -> tuple[int, int]:
    """Return uid and gid that a path is to get which was made before; -1: it has it."""
    uid, gid = owner(front)
    found, parent = path.stat(), path.parent.stat()
    if uid < 0:
        uid = os.geteuid()
    if gid < 0:  # as of a path that is made now
        gid = parent.st_gid if parent.st_mode & stat.S_ISGID else os.getegid()
    return (
        -1 if uid == found.st_uid else uid,
        -1 if gid == found.st_gid else gid,
    )


def group(front: Front) -> str:
    """Return the group that UNIX listeners are given; empty: this process's."""
    if front.listen_group or os.geteuid() != 0:
        return front.listen_group
    return next(filter(_is_group, WEB_SERVERS), "")


def _is_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def describe(path: str) -> list[str]:
    """Say in lines who may connect to a UNIX listener, and how that is changed."""
    found = Path(path).stat()
    user, members = _user_name(found.st_uid), _group_name(found.st_gid)
    if found.st_mode & stat.S_IWOTH:
        return ["anybody may connect, and run scripts with any parameters"]
    if not found.st_mode & stat.S_IWGRP:
        return [f"{user} may connect"]
    others = "another" if os.geteuid() == 0 else "another of your groups"
    lines = [f"{user} and group {members} may connect (--listen-group names {others})"]
    closed = _closed_to(found.st_gid, Path(path))
    if closed:
        lines.append(f"but group {members} cannot enter {closed}")
    return lines


def _closed_to(gid: int, path: Path) -> str:
    """Return a directory before a path whose mode closes it to a group; or empty."""
    for directory in path.parents:
        found = directory.stat()
        bit = stat.S_IXGRP if found.st_gid == gid else stat.S_IXOTH
        if not found.st_mode & bit:
            return f"{directory} (mode {stat.S_IMODE(found.st_mode):04o})"
    return ""


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _nobody(kind: str, name: str) -> ListenError:
    return ListenError(f"listen_{kind}", name, f"no such {kind}")
