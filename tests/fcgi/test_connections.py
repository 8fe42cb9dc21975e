"""All connections of a front: what becomes of them at its end."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest
import uvloop

from fcgi.channel import Channel
from fcgi.connections import Connections
from tests.fcgi.idle import gauges

HIGH = 1 << 16
REQUEST = b"a request"
MANY = 200  # more than are looked at in one pass


class Peer:
    """Answers each request a moment later; closes when it has drained."""

    def __init__(self, connections: Connections, ours: socket.socket) -> None:
        self._connections = connections
        self._channel = Channel(connections.channels, ours, self, HIGH)
        self._is_busy = self._is_last = False

    def data_received(self, data: bytes) -> None:
        assert data == REQUEST
        self._is_busy = True
        asyncio.get_running_loop().call_soon(self._answer)

    def _answer(self) -> None:
        self._channel.write(b"an answer")
        self._is_busy = False
        if self._is_last:
            self._channel.close()

    def drain(self) -> None:
        self._is_last = True
        if not self._is_busy:
            self._channel.close()

    def eof_received(self) -> None:
        self._channel.close()

    def connection_lost(self) -> None:
        self._connections.gone(self)

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def sweep(self, now: float) -> None: ...

    def make_way(self, now: float) -> bool:
        return False

    def pass_on(self, give: Callable[[int], bool]) -> None: ...


class Listener:
    """Makes peers."""

    mark: ClassVar[bytes] = b"t"

    def __init__(self) -> None:
        self.connections: Connections | None = None

    def is_allowed(self, connection: socket.socket, address: object) -> bool:
        return True

    def take_in(self, connection: socket.socket) -> Peer:
        assert self.connections is not None
        return Peer(self.connections, connection)


@pytest.fixture(params=[socket.AF_UNIX, socket.AF_INET], ids=["unix", "tcp"])
def listening(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[socket.socket]:
    with socket.socket(request.param) as sock:
        is_unix = request.param == socket.AF_UNIX
        path = tmp_path_factory.mktemp("s") / "s"
        sock.bind(str(path) if is_unix else ("127.0.0.1", 0))
        sock.listen(MANY)
        yield sock


def test_what_came_before_the_end_is_answered_though_nobody_has_looked_yet(
    listening: socket.socket,
) -> None:
    clients: list[socket.socket] = []

    async def run() -> list[bytes]:
        listener = Listener()
        loop = asyncio.get_running_loop()
        connections = Connections(loop, MANY, MANY, gauges())
        listener.connections = connections
        connections.listen([(listening, listener)])
        for _ in range(MANY):
            client = socket.socket(listening.family)
            clients.append(client)
            client.connect(listening.getsockname())
        async with asyncio.timeout(60.0):
            while len(connections) < MANY:  # noqa: ASYNC110 - of the kernel's doing
                await asyncio.sleep(0.001)
            for client in clients[1::2]:
                client.sendall(REQUEST)
            connections.drain()
            while connections:  # noqa: ASYNC110 - of the peers' doing
                await asyncio.sleep(0.001)
        connections.close()
        return [client.recv(100) for client in clients]

    try:
        got = uvloop.run(run())
    finally:
        for client in clients:
            client.close()
    assert got == [b"", b"an answer"] * (MANY // 2)
