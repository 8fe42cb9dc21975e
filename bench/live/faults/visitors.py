"""Visitors: each asks for one thing after the other, and keeps what it gets.

Each request has a connection of its own: on a kept one nobody can tell a request that
was lost from one that met the end of the connection between two requests.
"""

import contextlib
import http.client
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from bench.live.faults import order
from bench.live.faults.order import Order
from bench.live.faults.verdict import Answer

PATIENCE_S: Final = 12.0
"""Who has got nothing for so long goes away."""

VISITORS: Final = 8
_AFTER_LOSS_S: Final = 0.25  # who was turned away does not ask again at once
NO_ANSWER: Final = "no answer"
CLOSED: Final = "closed"  # the connection, before there was an answer

_MOST: Final = 200  # bytes of an error page that are kept


def get(port: int, path: str) -> int:
    """Ask for something; return the status, 0 if there is none."""
    try:
        with contextlib.closing(_connect(port)) as connection:
            connection.request("GET", path, headers={"Connection": "close"})
            return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0


def ask(port: int, wanted: Order, suffix: str) -> Answer:
    """Ask, and wait for all of the answer."""
    sent = time.monotonic()
    status, content, why = 0, b"", ""
    try:
        with contextlib.closing(_connect(port)) as connection:
            _send(connection, wanted, suffix)
            response = connection.getresponse()
            status = response.status
            content = response.read()
    except TimeoutError:
        why = NO_ANSWER
    except (OSError, http.client.HTTPException) as error:
        why = "cut" if status else CLOSED
        if isinstance(error, http.client.IncompleteRead):
            content = error.partial
    kept = content if status == http.HTTPStatus.OK else content[:_MOST]
    return Answer(wanted, sent, time.monotonic(), status, kept, why)


def _connect(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)


def _send(connection: http.client.HTTPConnection, wanted: Order, suffix: str) -> None:
    connection.request(
        wanted.method,
        wanted.target(suffix),
        body=wanted.body or None,
        headers={"Connection": "close"},
    )


class Visitors:
    """All of them; use `asking`."""

    def __init__(self, port: int, suffix: str, seed: str) -> None:
        self.answers: list[Answer] = []
        self._port = port
        self._suffix = suffix
        self._seed = seed
        self._is_over = threading.Event()
        self._is_dismissed = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, number: int) -> None:
        """Let one come whose answers are judged."""
        self._start(lambda: self._ask_on(number))

    def start_leaving(self, number: int) -> None:
        """Let one come who never waits for the answer, until `dismiss`."""
        self._start(lambda: self._leave_on(number))

    def start_once(self, path: str) -> None:
        """Let one come who asks for something, whatever the answer."""
        self._start(lambda: get(self._port, path))

    def start_repeating(self, path: str) -> None:
        """Let one come who asks for the same again and again, until `dismiss`."""
        self._start(lambda: self._repeat(path))

    def dismiss(self) -> None:
        """Let only those go on whose answers are judged."""
        self._is_dismissed.set()

    def stop(self) -> None:
        """Let everybody have the answer that he waits for, and ask no more."""
        self._is_dismissed.set()
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _start(self, live: Callable[[], object]) -> None:
        thread = threading.Thread(target=live)
        self._threads.append(thread)
        thread.start()

    def _ask_on(self, number: int) -> None:
        for wanted in order.orders(self._seed, number):
            if self._is_over.wait(wanted.pause_s):
                return
            answer = ask(self._port, wanted, self._suffix)
            self.answers.append(answer)
            if answer.loss:
                self._is_over.wait(_AFTER_LOSS_S)

    def _leave_on(self, number: int) -> None:
        for wanted in order.leaving(self._seed, number):
            assert wanted.leaves_s is not None
            with (
                contextlib.suppress(OSError),
                contextlib.closing(_connect(self._port)) as connection,
            ):
                _send(connection, wanted, self._suffix)
                if self._is_dismissed.wait(wanted.leaves_s):
                    return

    def _repeat(self, path: str) -> None:
        while not self._is_dismissed.is_set():
            get(self._port, path)


@contextlib.contextmanager
def asking(port: int, suffix: str, seed: str) -> Iterator[Visitors]:
    """Have visitors ask while the block runs."""
    visitors = Visitors(port, suffix, seed)
    try:
        for number in range(VISITORS):
            visitors.start(number)
        yield visitors
    finally:
        visitors.stop()
