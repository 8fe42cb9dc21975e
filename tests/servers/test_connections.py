"""Connections between web server and farm: kept, reused, and found closed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import farm
from tests.servers.client import ask
from tests.servers.conftest import INSTALL, SERVERS
from tests.servers.farm import Farm
from tests.servers.relay import relaying
from tests.servers.server import Application, Server

pytestmark = pytest.mark.process

KEEPERS = [server for server in SERVERS if server.keeps and "tcp" not in server.name]
REQUESTS = 30


@pytest.fixture
def room() -> Iterator[Path]:
    with farm.directory() as made:
        yield made


@pytest.fixture(params=KEEPERS, ids=lambda server: server.name)
def keeper(request: pytest.FixtureRequest) -> Server:
    server: Server = request.param
    absent = server.missing()
    if absent:
        pytest.skip(f"{absent}: {INSTALL}")
    return server


def test_connections_are_kept_and_reused(
    keeper: Server, served_farm: Farm, room: Path
) -> None:
    with relaying(room / "relay.sock", served_farm.socket) as relay:
        application = Application(relay.path, served_farm.port, served_farm.root)
        with keeper.serve(room, application) as running:
            for number in range(REQUESTS):
                body = b"x" * (number * 1000)
                reply = ask(running.port, "/echo.lua", body=body)
                assert (reply.status, reply.body) == (200, body)
            assert 1 <= relay.accepted <= REQUESTS // 3


def test_no_request_fails_on_connections_from_before_a_restart(
    keeper: Server, room: Path
) -> None:
    place = room / "farm"
    place.mkdir(mode=0o755)
    with farm.serving(place) as first:
        application = Application(first.socket, first.port, first.root)
        with keeper.serve(room, application) as running:
            assert ask(running.port, "/hello.lua").status == 200
            first.daemon.stop()
            with farm.serving(place):
                assert ask(running.port, "/echo.lua", body=b"posted").body == b"posted"
                assert ask(running.port, "/hello.lua").status == 200
