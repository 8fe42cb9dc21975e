"""Clients that ask what was drawn for them, and keep what they get."""

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.chaos import client, mix

if TYPE_CHECKING:
    from tests.chaos.record import Seen

_CLIENTS = 8


class Load:
    """All clients; use `loading`."""

    def __init__(self, port: int, seed: int, clients: int) -> None:
        self.seen: list[Seen] = []
        self.failures: list[BaseException] = []
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._guarded, args=(port, seed, number))
            for number in range(clients)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let everybody have the answer that he waits for, and ask no more."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _guarded(self, port: int, seed: int, number: int) -> None:
        try:
            self._ask_on(port, seed, number)
        except BaseException as error:  # noqa: BLE001 - raised where it is seen
            self.failures.append(error)

    def _ask_on(self, port: int, seed: int, number: int) -> None:
        for order in mix.orders(seed, number):
            if self._is_over.wait(order.pause_s):
                return
            self.seen.append(client.ask(port, order))


@contextlib.contextmanager
def loading(port: int, seed: int, clients: int = _CLIENTS) -> Iterator[Load]:
    """Have clients ask while the block runs."""
    load = Load(port, seed, clients)
    try:
        yield load
    finally:
        load.stop()
    if load.failures:
        raise load.failures[0]
