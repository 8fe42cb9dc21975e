"""Listening sockets of the fronts, from the settings' words.

They are opened once, by the parent of the fronts, which hands them down: all fronts
take connections from the same queue in the kernel. So no connection depends on which
front it was meant for; what waits outlives a front that dies or is replaced. (Sockets
of their own with SO_REUSEPORT would lose what waits with a front, spread a few kept
connections by the luck of a hash, and do not exist for UNIX sockets.)
"""

# Impure.

import contextlib
import grp
import os
import pwd
import socket
import stat
from pathlib import Path
from typing import Final

from luafarm.config.endpoints import Listener, parse_listener, parse_web
from luafarm.config.settings import Front
from luafarm.errors import SettingsError

WEB_SERVERS: Final = ("www-data", "nginx", "http", "apache")
"""Groups that web servers run in: on Debian, of nginx's own packages, on Arch, on Red
Hat. The first that there is gets root's UNIX listeners unless a group is named."""


class Listening:
    """The listening sockets of a front's settings; UNIX paths that it made are its own.

    `close` must be called. Raises SettingsError when one cannot be had.
    """

    def __init__(self, front: Front) -> None:
        self.fastcgi: list[socket.socket] = []
        self.http: socket.socket | None = None
        self._made: list[tuple[Path, int]] = []  # path and inode of our UNIX sockets
        try:
            for text in front.listen:
                self._name = f'listen = "{text}"'
                self.fastcgi.append(self._open(parse_listener(text), front))
            if front.http:
                self._name = f'http = "{front.http}"'
                self.http = self._open(parse_web(front.http), front)
        except OSError as error:
            self.close()
            reason = error.strerror or error
            raise SettingsError(f"[front] {self._name}: {reason}") from None
        except SettingsError:
            self.close()
            raise

    def close(self) -> None:
        """Close all and remove the paths, unless somebody else has taken them since."""
        for path, inode in self._made:
            with contextlib.suppress(OSError):
                if path.stat().st_ino == inode:
                    path.unlink()
        self._made = []
        for sock in self.fastcgi:
            sock.close()
        if self.http is not None:
            self.http.close()

    def _open(self, listener: Listener, front: Front) -> socket.socket:
        if listener.fd >= 0:
            return inherited(listener.fd)
        if not listener.path:
            return _tcp(listener.host, listener.port, front.backlog)
        path = Path(listener.path)
        sock = _unix(path, front)
        self._made.append((path, path.stat().st_ino))
        return sock


def inherited(fd: int) -> socket.socket:
    """Return the listening socket that somebody handed in. Raise OSError."""
    sock = socket.socket(fileno=os.dup(fd))
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.close()
        raise OSError(0, "not a listening socket")
    return sock


def _tcp(host: str, port: int, backlog: int) -> socket.socket:
    """Return a socket that listens on a host and port; no host: all addresses."""
    found = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    # an unspecified host listens on both families through one IPv6 socket
    family, _, _, _, address = found[0]
    if not host and socket.has_dualstack_ipv6():
        return socket.create_server(
            ("", port), family=socket.AF_INET6, backlog=backlog, dualstack_ipv6=True
        )
    return socket.create_server(address[:2], family=family, backlog=backlog)


def _unix(path: Path, front: Front) -> socket.socket:
    """Listen on a path; take the place of a socket that nobody listens on."""
    uid, gid = _owner(front)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            try:
                sock.connect(os.fspath(path))
            except ConnectionRefusedError:
                path.unlink()
            else:
                raise OSError(0, "somebody listens there already")
            finally:
                sock.close()
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(os.fspath(path))
    except OSError:
        sock.close()
        raise
    try:
        # nobody can connect before `listen`: there is no moment with other rights
        _give(path, uid, gid, front)
        path.chmod(front.listen_mode)
        sock.listen(front.backlog)
    except (OSError, SettingsError):
        sock.close()
        path.unlink()
        raise
    return sock


def _give(path: Path, uid: int, gid: int, front: Front) -> None:
    try:
        os.chown(path, uid, gid)
    except PermissionError:
        if front.listen_user:
            name, reason = "listen_user", "only root gives sockets to others"
        else:
            name, reason = "listen_group", "one of your own groups belongs here"
        value = front.listen_user or front.listen_group
        raise SettingsError(f'[front] {name} = "{value}": {reason}') from None


def _owner(front: Front) -> tuple[int, int]:
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


def access(path: str) -> list[str]:
    """Say in lines who may connect to a UNIX listener, and how that is changed."""
    found = Path(path).stat()
    owner, members = _user_name(found.st_uid), _group_name(found.st_gid)
    if found.st_mode & stat.S_IWOTH:
        return ["anybody may connect, and run scripts with any parameters"]
    if not found.st_mode & stat.S_IWGRP:
        return [f"{owner} may connect"]
    others = "another" if os.geteuid() == 0 else "another of your groups"
    lines = [f"{owner} and group {members} may connect (--listen-group names {others})"]
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


def _nobody(kind: str, name: str) -> SettingsError:
    return SettingsError(f'[front] listen_{kind} = "{name}": no such {kind}')
