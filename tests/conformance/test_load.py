"""K: many at once."""

import contextlib
import time

import pytest

from tests.conformance.client import Client, connected
from tests.conformance.site import Site

pytestmark = pytest.mark.process


def opened(stack: contextlib.ExitStack, site: Site, count: int) -> list[Client]:
    return [stack.enter_context(connected(site.address)) for _ in range(count)]


def test_k01_two_hundred_connections_are_served(site: Site) -> None:
    with contextlib.ExitStack() as stack:
        clients = opened(stack, site, 200)
        for client in clients:
            client.send(site.get(keep=True))
            assert client.answer().status == 200
        clients[0].send(site.get())
        assert clients[0].answer().status == 200


def test_k02_sixty_four_requests_at_once_are_answered(site: Site) -> None:
    with contextlib.ExitStack() as stack:
        clients = opened(stack, site, 64)
        for number, client in enumerate(clients):
            client.send(site.post("echo.lua", b"%d" % number))
        for number, client in enumerate(clients):
            assert client.answer().body == b"%d" % number


def test_k03_no_answer_waits_for_an_acknowledgement(site: Site) -> None:
    def is_quick() -> bool:
        start = time.monotonic()
        client.send(site.post("echo.lua", b"x" * 5000, keep=True))
        client.answer()
        # Nagle against delayed acknowledgements costs 0.04 each time
        return time.monotonic() - start < 0.03

    with connected(site.address) as client:
        assert any(is_quick() for _ in range(2000))


def test_k04_slow_scripts_do_not_hold_up_a_quick_one(site: Site) -> None:
    with contextlib.ExitStack() as stack:
        slow = opened(stack, site, 16)
        for client in slow:
            client.send(site.get("slow.lua", QUERY_STRING="20"))
            client.wait_until_heard()
        for _ in range(5):
            assert site.is_well()
        assert all(client.is_silent(0.0) for client in slow)


def test_k05_clients_that_do_not_close_stop_nobody(site: Site) -> None:
    with contextlib.ExitStack() as stack:
        for client in opened(stack, site, 30):
            client.send(site.get())
            assert client.answer().status == 200
        assert site.is_well()


def test_k06_a_script_that_costs_its_process_fails_alone(site: Site) -> None:
    with contextlib.ExitStack() as stack:
        culprit, *others = opened(stack, site, 21)
        culprit.send(site.get("spin.lua", keep=True))
        for number, client in enumerate(others):
            client.send(site.post("echo.lua", b"%d" % number))
        for number, client in enumerate(others):
            assert client.answer().body == b"%d" % number
        assert culprit.answer().status in {502, 503, 504}
        culprit.send(site.get(keep=True))
        assert culprit.answer().status == 200
