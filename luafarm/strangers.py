"""Files that strangers could have written: who owns them, who else may change them.

Some files decide over the process that believes them: a configuration, a key, a script
of a trusted pool, the directory where the processes of a farm meet. They are believed
only when nobody could have written them but those who may decide, which are root, the
user of this process, and whom its owner names.

A group may write where nobody else is in it, as in the group that many systems make for
each user. A directory with the sticky bit (`/tmp`) may be on the way to a file, because
others cannot exchange what lies in it; and in a user namespace (a container, a build
sandbox) it may be of somebody outside, who has made all of this. Files are opened first
and judged then: what is judged is what is read.
"""

# Impure.

import errno
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO, Final

_ACL: Final = "system.posix_acl_access"
_MOST_LINKS: Final = 40  # as the kernel: path_resolution(7)
# a FIFO or a terminal in its place must not make us wait, or ours
_OPENING: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class StrangerError(Exception):
    """A stranger could have written a file; the text says which, and who."""


@dataclass(frozen=True, slots=True)
class Circle:
    """Those who may decide: users, and groups whose members all may."""

    uids: frozenset[int]
    gids: frozenset[int] = frozenset()

    def with_uid(self, uid: int) -> "Circle":
        """Return the circle with one more user."""
        return Circle(self.uids | {uid}, self.gids)


def own_circle() -> Circle:
    """Return the circle of root and the user of this process."""
    return Circle(frozenset({0, os.geteuid()}))


def fault(
    path: Path | str,
    status: os.stat_result,
    circle: Circle,
    *,
    is_on_the_way: bool = False,
) -> str:
    """Return what is wrong with a file or directory, as a sentence; empty: nothing.

    is_on_the_way: it is a directory in which only what is there already counts.
    """
    mode = stat.S_IMODE(status.st_mode)
    is_outside = is_on_the_way and status.st_uid == _outside()
    if status.st_uid not in circle.uids and not is_outside:
        return f"{path} belongs to {user_name(status.st_uid)} (mode {mode:04o})"
    if is_on_the_way and mode & stat.S_ISVTX:
        return ""
    if mode & stat.S_IWOTH or (
        mode & stat.S_IWGRP and not _is_group_fine(path, status, circle)
    ):
        who = f"{user_name(status.st_uid)}:{group_name(status.st_gid)}"
        return f"{path} may be written by others ({who}, mode {mode:04o})"
    return ""


def check(path: Path, circle: Circle) -> None:
    """Raise StrangerError unless this and all directories on the way to it are safe."""
    for step in _way(path):
        is_target = step == path or step == Path(os.path.realpath(path))
        wrong = fault(step, step.stat(), circle, is_on_the_way=not is_target)
        if wrong:
            raise StrangerError(wrong)


def open_found(path: Path, circle: Circle) -> BinaryIO:
    """Open a file that nobody has named; raise StrangerError if it is not to be used.

    Looked at are the file, its directory, and the same for each link on the way.
    Raise OSError as `open`.
    """
    directory, name = path.parent, path.name
    for _ in range(_MOST_LINKS):
        # nothing of a stranger is opened, not even to look at it
        place = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.stat(name, dir_fd=place, follow_symlinks=False)
            _refuse(fault(directory.absolute(), os.fstat(place), circle))
            fd = os.open(name, _OPENING | os.O_NOFOLLOW, dir_fd=place)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            target = directory / os.readlink(name, dir_fd=place)
            directory, name = target.parent, target.name
        else:
            return _judged(fd, (directory / name).absolute(), circle)
        finally:
            os.close(place)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def read(path: Path, circle: Circle, *, is_secret: bool = False) -> bytes:
    """Return the content of a file that may be a link to another.

    Raise StrangerError when a stranger could have written it, or read a secret;
    OSError as `open`.
    """
    with _judged(os.open(path, _OPENING), path, circle) as stream:
        mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
        if is_secret and mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise StrangerError(f"{path}: others can read it (mode {mode:04o})")
        return stream.read()


def user_name(uid: int) -> str:
    """Return a user as messages call it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def group_name(gid: int) -> str:
    """Return a group as messages call it."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"gid {gid}"


@cache
def _outside() -> int:
    """Return the uid by which owners outside of this user namespace show; -1: none."""
    try:
        outside = int(Path("/proc/sys/kernel/overflowuid").read_text())
        lines = Path("/proc/self/uid_map").read_text().splitlines()
    except (OSError, ValueError):
        return -1
    for first, _, count in [map(int, line.split()) for line in lines]:
        if first <= outside < first + count:
            return -1  # a user like any other
    return outside


def _judged(fd: int, path: Path, circle: Circle) -> BinaryIO:
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise StrangerError(f"{path} is no regular file")
        _refuse(fault(path, status, circle))
        return os.fdopen(fd, "rb")
    except BaseException:
        os.close(fd)
        raise


def _refuse(wrong: str) -> None:
    if wrong:
        raise StrangerError(wrong)


def _way(path: Path) -> Iterator[Path]:
    """Yield a path and what leads to it, as it is written and as it really is."""
    real = Path(os.path.realpath(path))
    yield from dict.fromkeys([*path.parents, *real.parents, path, real])


def _is_group_fine(path: Path | str, status: os.stat_result, circle: Circle) -> bool:
    """Return whether nobody but the circle may write by way of the group's bits."""
    if status.st_gid in circle.gids:
        return not _has_list(path)
    try:
        group = grp.getgrgid(status.st_gid)
        owner = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        return False
    # a directory of users need not tell of all of them: their groups have other names
    if status.st_uid != 0 and group.gr_name != owner:
        return False
    members = {user.pw_uid for user in pwd.getpwall() if user.pw_gid == group.gr_gid}
    for name in group.gr_mem:
        try:
            members.add(pwd.getpwnam(name).pw_uid)
        except KeyError:
            return False
    return members <= circle.uids and not _has_list(path)


def _has_list(path: Path | str) -> bool:
    """Return whether an access control list stands behind the group's bits."""
    try:
        return _ACL in os.listxattr(path)
    except OSError:
        return False
