"""Listening sockets of the fronts, from the settings' words.

They are opened once, by the parent of the fronts, which hands them down: all fronts
take connections from the same queue in the kernel. So no connection depends on which
front it was meant for; what waits outlives a front that dies or is replaced. (Sockets
of their own with SO_REUSEPORT would lose what waits with a front, spread a few kept
connections by the luck of a hash, and do not exist for UNIX sockets.)
"""

# Impure.

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from luafarm.config.endpoints import Listener, parse_listener, parse_web
from luafarm.config.settings import Front
from luafarm.errors import ListenError, SettingsError
from luafarm.process import access, addresses


@dataclass(frozen=True, slots=True)
class Kept:
    """A listening socket that goes on, under the word of the settings that it is for.

    path, inode: of a UNIX socket that was made for it; empty and 0: of none. address:
    as `luafarm.process.addresses` writes it; empty: nothing else is the same.
    """

    text: str
    fd: int
    path: str = ""
    inode: int = 0
    address: str = ""

    @property
    def is_there(self) -> bool:
        """Whether clients still find it: nobody has taken or removed its path."""
        try:
            return not self.path or Path(self.path).stat().st_ino == self.inode
        except OSError:
            return False


class Listening:
    """The listening sockets of a front's settings; UNIX paths that it made are its own.

    `close` must be called. Raises ListenError when one cannot be had.
    """

    def __init__(
        self, front: Front, kept: Sequence[Kept] = (), *, owns: bool = False
    ) -> None:
        """kept: what listens already. What is for other words ends.

        owns: what was handed in is closed with the rest, and nobody listens there any
        more if no other process does.
        """
        self.fastcgi: list[socket.socket] = []
        self.http: socket.socket | None = None
        #: all that go on in whatever takes over from this process
        self._kept: list[Kept] = []
        found = _Search(front, kept)
        for ear in found.ears:
            sock = ear.sock or socket.socket(fileno=ear.kept.fd)
            self._kept.append(ear.kept)
            if owns and ear.listener.fd >= 0:
                os.close(ear.listener.fd)  # `sock` has its own
            if ear.setting == "http":
                self.http = sock
            else:
                self.fastcgi.append(sock)
            try:
                if ear.sock is None:
                    _renew(sock, ear, front)
            except ListenError:
                found.close()
                for open_one in filter(None, [*self.fastcgi, self.http]):
                    open_one.detach()  # what listened before does so still
                raise
        for one in found.left:
            os.close(one.fd)
            _remove(one)

    def kept(self) -> tuple[Kept, ...]:
        """Return what can go on in another program that this process executes."""
        return tuple(self._kept)

    def close(self) -> None:
        """Close all and remove the paths, unless somebody else has taken them since."""
        for one in self._kept:
            _remove(one)
        self._kept = []
        for sock in self.fastcgi:
            sock.close()
        if self.http is not None:
            self.http.close()


def attempt(front: Front, kept: Sequence[Kept] = ()) -> None:
    """Raise ListenError when Listening would; else all is as it was before.

    What is not kept is opened, all of it at once, and closed again; no client can
    connect meanwhile. kept: what this process listens on, or the one that has started
    it; its descriptors are not used.
    """
    found = _Search(front, kept, listens=False)
    try:
        for ear in found.ears:
            if ear.sock is None and ear.kept.path:
                access.try_give_again(Path(ear.kept.path), front)
    finally:
        found.close()


@dataclass(frozen=True, slots=True)
class _Ear:
    """A listener as the settings want it. sock: None: it is kept, and goes on."""

    setting: str
    listener: Listener
    kept: Kept
    sock: socket.socket | None = None


class _Search:
    """What the settings want to listen on: found among what is kept, or opened.

    What is kept is left as it is. Raises ListenError, and has closed all then.
    """

    def __init__(
        self, front: Front, kept: Sequence[Kept], *, listens: bool = True
    ) -> None:
        """Find or open them. listens: else who connects to an opened one is refused."""
        self._front = front
        self._listens = listens
        self.ears: list[_Ear] = []
        #: kept ones that nothing is wanted of
        self.left = list(kept)
        wanted = [("listen", text, parse_listener(text)) for text in front.listen]
        if front.http:
            wanted.append(("http", front.http, parse_web(front.http)))
        self._words = {text for _, text, _ in wanted}
        try:
            for setting, text, listener in wanted:
                kept_one, sock = self._find(setting, text, listener)
                self.ears.append(_Ear(setting, listener, kept_one, sock))
        except SettingsError:
            self.close()
            raise

    def close(self) -> None:
        """Close what was opened here, and remove its paths."""
        for ear in self.ears:
            if ear.sock is not None:
                _remove(ear.kept)
                ear.sock.close()

    def _find(
        self, setting: str, text: str, listener: Listener
    ) -> tuple[Kept, socket.socket | None]:
        """Return what listens, and its socket if that was opened just now."""
        before = self._take(lambda one: one.text == text)
        if before is not None:
            return before, None
        address = ""
        try:
            if listener.fd >= 0:
                sock = inherited(listener.fd)
                address = addresses.of_socket(sock)
                return Kept(text, sock.fileno(), address=address), sock
            if listener.path:
                address = addresses.of_path(listener.path)
                self._keep_apart(address)
                return self._same(text, address) or self._on_path(text, listener.path)
            target = addresses.target(listener.host, listener.port)
            address = target.address
            self._keep_apart(address)
            return self._same(text, address) or self._on_tcp(text, target)
        except OSError as error:
            reason = self._reason(error, address)
            raise ListenError(setting, text, reason) from None

    def _keep_apart(self, address: str) -> None:
        """Raise OSError for an address of another setting, as `listen` would."""
        # two can be bound to one address as long as neither of them listens
        if any(addresses.overlap(ear.kept.address, address) for ear in self.ears):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))

    def _same(self, text: str, address: str) -> tuple[Kept, None] | None:
        """Return a kept one that has another word for the same address."""
        before = self._take(lambda one: one.address == address)
        return None if before is None else (replace(before, text=text), None)

    def _on_path(self, text: str, path: str) -> tuple[Kept, socket.socket]:
        sock = _unix(Path(path), self._front)
        if self._listens:
            sock.listen(self._front.backlog)
        inode, address = Path(path).stat().st_ino, addresses.of_path(path)
        return Kept(text, sock.fileno(), path, inode, address), sock

    def _on_tcp(
        self, text: str, target: addresses.Target
    ) -> tuple[Kept, socket.socket]:
        sock = _tcp(target)
        if self._listens:
            sock.listen(self._front.backlog)
        return Kept(text, sock.fileno(), address=addresses.of_socket(sock)), sock

    def _take(self, is_it: Callable[[Kept], bool]) -> Kept | None:
        """Take the kept one that it is, and that clients still find."""
        for one in self.left:
            if is_it(one) and one.is_there:
                self.left.remove(one)
                return one
        return None

    def _reason(self, error: OSError, address: str) -> str:
        """Return why there is no listener at an address, in words for who wrote it."""
        reason = error.strerror or str(error)
        if error.errno != errno.EADDRINUSE:
            return reason
        for one in [*[ear.kept for ear in self.ears], *self.left]:
            if not one.is_there or not addresses.overlap(one.address, address):
                continue
            if one.text in self._words:
                return f"{one.text}, which is configured as well, is there already"
            return (
                f"this farm itself listens there, as {one.text}; the change counts "
                "after a stop and a start"
            )
        return reason


def _renew(sock: socket.socket, ear: _Ear, front: Front) -> None:
    """Give what goes on the rights and the queue that the settings want by now.

    What was handed in is as whoever made it wanted it.
    """
    if ear.listener.fd >= 0:
        return
    try:
        if ear.kept.path:
            path = Path(ear.kept.path)
            access.give(path, access.owner_by_now(path, front), front)
        sock.listen(front.backlog)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ListenError(ear.setting, ear.kept.text, reason) from None


def _remove(one: Kept) -> None:
    """Remove the path that was made for a socket, unless it is somebody else's now."""
    with contextlib.suppress(OSError):
        if one.path and one.is_there:
            Path(one.path).unlink()


def inherited(fd: int) -> socket.socket:
    """Return the listening socket that somebody handed in. Raise OSError."""
    if not stat.S_ISSOCK(os.fstat(fd).st_mode):
        raise OSError(0, "the descriptor is no socket")
    sock = socket.socket(fileno=os.dup(fd))
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.close()
        raise OSError(0, "not a listening socket")
    return sock


def _tcp(target: addresses.Target) -> socket.socket:
    """Return a socket that is bound there."""
    sock = socket.socket(target.family, socket.SOCK_STREAM)
    try:
        # connections of an earlier one may be about to end
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if target.family == socket.AF_INET6:
            is_alone = int(not target.is_both)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, is_alone)
        sock.bind(target.place)
    except OSError:
        sock.close()
        raise
    return sock


def _unix(path: Path, front: Front) -> socket.socket:
    """Return a socket that is bound to a path, in place of one that nobody is on."""
    owner = access.owner(front)
    _make_room(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(os.fspath(path))
    except OSError:
        sock.close()
        raise
    try:
        # nobody can connect before `listen`: there is no moment with other rights
        access.give(path, owner, front)
    except (OSError, SettingsError):
        sock.close()
        path.unlink()
        raise
    return sock


def _make_room(path: Path) -> None:
    """Remove a socket that nobody listens on. Raise OSError: none can be made here."""
    parent = path.parent
    if not parent.is_dir():
        raise OSError(0, f"there is no directory {parent}")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OSError(0, f"the directory {parent} is not writable")
    if not path.exists():
        return
    if not path.is_socket():
        raise OSError(0, "a file that is no socket has this name")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)  # its queue may be full
        try:
            asking.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, "another process listens there")
