"""Requests from several clients through nginx, every answer of which is looked at."""

import contextlib
import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.farm.farms import Farm, directory, until
from tests.servers import nginx
from tests.servers.server import Application, Running

SLOW = """
local luafarm = require "luafarm"
function main(env, con)
  luafarm.sleep(0.01)
  con:puts(env.QUERY_STRING)
end
"""

# nginx tries again what a front has not answered; four times, for it may take kept
# connections of the dead front before it has heard that they have ended
SERVER = "server unix:/run/luafarm.sock"
RETRY = {
    f"{SERVER};": "\n        ".join([f"{SERVER} max_fails=0;"] * 4),
    "fastcgi_next_upstream_tries 1;": "fastcgi_next_upstream_tries 4;",
}
FRESH = {
    "keepalive 64; ": "# ",
    "keepalive_timeout 60s; ": "# ",
    "fastcgi_keep_conn on;": "",
}


@contextlib.contextmanager
def behind_nginx(farm: Farm, changes: dict[str, str]) -> Iterator[Running]:
    absent = nginx.missing()
    if absent:
        pytest.skip(absent)
    with directory() as place:
        application = Application(Path(farm.socket), 0, farm.root)
        with nginx.serve(place, application, changes=changes) as running:
            yield running


class Load:
    """Requests through a web server from several clients; use `loading`."""

    def __init__(
        self, port: int, method: str, script: str = "slow.lua", clients: int = 6
    ) -> None:
        self.wrong: list[str] = []
        self.right: list[str] = []  # queries
        self.answered = 0
        self._port = port
        self._method = method
        self._script = script
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(n,)) for n in range(clients)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def go_on(self, requests: int) -> None:
        """Return after so many further answers."""
        goal = self.answered + requests
        until(lambda: self.answered >= goal, "requests are answered")

    def _run(self, client: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        number = 0
        while not self._is_over.is_set():
            number += 1
            query = f"{client}-{number}"
            body = b"x" if self._method == "POST" else None
            try:
                connection.request(self._method, f"/{self._script}?{query}", body)
                reply = connection.getresponse()
                text = reply.read().decode()
                if (reply.status, text) == (200, query):
                    self.right.append(query)
                else:
                    self.wrong.append(f"{reply.status} {text[:80]}")
            except (OSError, http.client.HTTPException) as error:
                self.wrong.append(repr(error))
                connection.close()
            self.answered += 1
        connection.close()


@contextlib.contextmanager
def loading(port: int, method: str, script: str = "slow.lua") -> Iterator[Load]:
    load = Load(port, method, script)
    try:
        load.go_on(20)
        yield load
    finally:
        load.stop()
