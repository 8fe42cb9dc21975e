"""A relay between a web server and the farm that counts connections."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

CHUNK = 65536


class Relay:
    """Passes bytes on both ways; ``accepted`` counts connections of the web server."""

    def __init__(self, path: Path, target: Path) -> None:
        """Listen on ``path``; every connection is continued to ``target``."""
        self.path = path
        self.accepted = 0
        self._target = target
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        path.chmod(0o666)
        self._listener.listen(64)
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = [self._listener]
        self._start(self._accept)

    def close(self) -> None:
        """Close every connection and wait for the threads."""
        for one in list(self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(10)
        for one in self._sockets:
            one.close()
        self.path.unlink()

    def _start(self, target: object, *arguments: object) -> None:
        assert callable(target)
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.accepted += 1
                farm = socket.socket(socket.AF_UNIX)
                self._sockets += [client, farm]
                farm.connect(str(self._target))
                self._start(_pass_on, client, farm)
                self._start(_pass_on, farm, client)


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def relaying(path: Path, target: Path) -> Iterator[Relay]:
    """Run a relay that is closed at the end of the block."""
    relay = Relay(path, target)
    try:
        yield relay
    finally:
        relay.close()
