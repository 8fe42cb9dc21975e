"""The front's own paths: what they answer, and that nothing else is theirs."""

import pytest

from fcgi.cgi import params
from fcgi.endpoints import Endpoints, endpoints
from luafarm.config.settings import Front
from tests.fcgi.idle import gauges


def pairs(name: bytes | None) -> bytes:
    found = [] if name is None else [(b"SCRIPT_NAME", name)]
    return params.encode_pairs([(b"REQUEST_METHOD", b"GET"), *found])


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        (b"/ping", b"pong"),
        (b"/status", b"a page"),
        (b"/ping/", None),
        (b"/a.lua", None),
        (b"", None),
        (None, None),
    ],
)
def test_only_the_names_of_the_settings_are_answered(
    name: bytes | None, answer: bytes | None
) -> None:
    front = Front(ping_path="/ping", status_path="/status")
    assert Endpoints(front, lambda: b"a page").answer(pairs(name)) == answer


def test_a_path_that_is_not_set_does_not_answer_requests_without_a_name() -> None:
    found = endpoints(Front(status_path="/status"), lambda: b"a page")
    assert found is not None
    assert found.answer(pairs(b"")) is None
    assert found.answer(pairs(None)) is None
    assert endpoints(Front(), lambda: b"a page") is None


def test_the_status_page_has_a_line_for_each_count_in_order() -> None:
    counts = gauges()
    counts.requests = 7
    lines = counts.page(has_broker=True).decode().splitlines()
    assert lines == sorted(lines)
    assert {"requests: 7", "broker: 1", "outstanding: 0"} <= set(lines)
    assert {name for name, _ in counts.rows()} < {x.partition(":")[0] for x in lines}
