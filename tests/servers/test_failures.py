"""What goes wrong is said at once, by the right status, through each web server."""

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.servers.client import ask, send
from tests.servers.conftest import Site

pytestmark = [pytest.mark.process, pytest.mark.long]

PATIENCE_S = 120.0


def becomes_true(claim: Callable[[], bool]) -> bool:
    """Poll until the claim holds, or patience ends."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if claim():
            return True
        time.sleep(0.05)
    return False


def test_an_error_reaches_the_web_servers_log(site: Site) -> None:
    marker = f"mark-{time.monotonic_ns()}"
    assert ask(site.port, f"/fail.lua?{marker}").status == 500
    assert becomes_true(lambda: marker in site.running.log.read_text(errors="replace"))


def test_a_script_over_its_time_is_a_504(site: Site) -> None:
    assert ask(site.port, "/spin.lua").status == 504
    assert ask(site.port, "/hello.lua").status == 200


def test_overload_is_refused_with_503_and_never_hangs(site: Site) -> None:
    with ThreadPoolExecutor(32) as crowd:
        replies = list(crowd.map(lambda _: ask(site.port, "/slow.lua"), range(32)))
    statuses = {reply.status for reply in replies}
    assert statuses == {200, 503}
    refused = [reply for reply in replies if reply.status == 503]
    assert all(int(reply.headers["Retry-After"]) > 0 for reply in refused)
    assert all(reply.body for reply in refused)


def test_a_client_that_leaves_while_a_script_talks_frees_its_state(site: Site) -> None:
    with contextlib.closing(send(site.port, "/wait.lua?talking")) as leaver:
        assert leaver.getresponse().status == 200
        assert becomes_true(lambda: site.farm.is_running("wait.lua"))
    assert becomes_true(lambda: not site.farm.is_running("wait.lua"))
    assert ask(site.port, "/wait.lua").status == 200


def test_a_client_that_leaves_a_silent_script_frees_its_state(site: Site) -> None:
    if not site.server.tells_abort:
        pytest.skip(f"{site.server.name} does not tell before it has to write")
    with contextlib.closing(send(site.port, "/wait.lua?idle")):
        assert becomes_true(lambda: site.farm.is_running("wait.lua"))
    assert becomes_true(lambda: not site.farm.is_running("wait.lua"))
    assert ask(site.port, "/wait.lua").status == 200


def test_a_client_that_leaves_in_mid_reply_disturbs_nobody(site: Site) -> None:
    for _ in range(5):
        leaver = send(site.port, "/reply.lua?4000000")
        assert leaver.getresponse().read(1000)
        leaver.close()
    assert ask(site.port, "/reply.lua?100000").whole
