"""The one door: what clients bring becomes the same request, or the same refusal."""

import pytest

from fcgi.arrival import admit, admit_pairs, limits
from fcgi.cgi import params
from fcgi.cgi.refusal import Refusal
from fcgi.dispatch.tables import Entry, Pending
from luafarm.config.settings import Front
from luafarm.wire.messages import FILTER, SAFE

LIMITS = limits(Front(max_params=4096, max_param=2048, max_body=100))
OWNER = object()


def of_pairs(
    method: bytes = b"GET", script: bytes = b"/srv/a.lua", **more: str
) -> Pending | Refusal:
    """Come in by HTTP, or from the command line."""
    pairs = [(b"SCRIPT_FILENAME", script), (b"REQUEST_METHOD", method)]
    pairs += [(name.encode(), value.encode()) for name, value in more.items()]
    return admit_pairs(OWNER, pairs, b"body", 4, LIMITS, 7.0)


def of_fastcgi(
    method: bytes = b"GET",
    script: bytes = b"/srv/a.lua",
    pairs: bytes = b"",
    flags: int = 0,
) -> Pending | Refusal:
    return admit(OWNER, script, method, pairs, None, 9, 7.0, 3, flags)


def row(pending: Pending | Refusal, script: bytes) -> dict[bytes, bytes]:
    """Return the parameters that a VM host is sent."""
    assert isinstance(pending, Pending)
    pending.entry = Entry(script)
    return dict(params.decode_pairs(pending.row()[4]))


def test_a_request_holds_what_came_and_when() -> None:
    pending = of_fastcgi(pairs=b"\1\1ab")
    assert isinstance(pending, Pending)
    assert pending.owner is OWNER
    assert (pending.path, pending.params) == (b"/srv/a.lua", b"\1\1ab")
    assert (pending.body, pending.body_bytes, pending.data_bytes) == (None, 9, 3)
    assert pending.arrival == 7.0


def test_pairs_make_the_request_that_their_bytes_make() -> None:
    ours = of_pairs(QUERY_STRING="a=b")
    assert isinstance(ours, Pending)
    theirs = admit(OWNER, b"/srv/a.lua", b"GET", ours.params, b"body", 4, 7.0)
    assert isinstance(theirs, Pending)
    theirs.entry = ours.entry = Entry(b"/srv/a.lua")
    assert ours.row() == theirs.row()


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"POST", b"get", b""])
def test_only_methods_that_change_nothing_are_safe(method: bytes) -> None:
    for pending in (of_fastcgi(method, flags=FILTER), of_pairs(method)):
        assert isinstance(pending, Pending)
        assert bool(pending.flags & SAFE) == (method in {b"GET", b"HEAD", b"OPTIONS"})
    assert isinstance(found := of_fastcgi(flags=FILTER), Pending)
    assert found.flags & FILTER


@pytest.mark.parametrize("script", [b"", b"a.lua", b"/srv/../a.lua", b"/srv/\0.lua"])
def test_a_path_that_is_none_is_refused_from_everywhere(script: bytes) -> None:
    assert of_fastcgi(script=script) is Refusal.BAD_PATH
    assert of_pairs(script=script) is Refusal.BAD_PATH


def test_parameters_beyond_their_limits_are_refused() -> None:
    assert isinstance(of_pairs(X="x" * 2047), Pending)
    assert of_pairs(X="x" * 2048) is Refusal.PARAMS_TOO_LARGE
    long = "x" * 1500
    assert of_pairs(A=long, B=long, C=long) is Refusal.PARAMS_TOO_LARGE


def test_a_body_beyond_its_limit_is_refused() -> None:
    pairs = [(b"SCRIPT_FILENAME", b"/srv/a.lua")]
    assert isinstance(admit_pairs(OWNER, pairs, None, 100, LIMITS, 0.0), Pending)
    assert admit_pairs(OWNER, pairs, None, 101, LIMITS, 0.0) is Refusal.BODY_TOO_LARGE


def test_a_script_sees_its_own_path_and_not_apaches() -> None:
    apache = b"proxy:fcgi://localhost//srv/a.lua"
    found = row(of_fastcgi(script=apache), b"/srv/a.lua")
    assert found[b"SCRIPT_FILENAME"] == b"/srv/a.lua"


@pytest.mark.parametrize("info", [b"/x", b"/x/", b"/x//y"])
def test_what_is_behind_a_script_is_its_path_info(info: bytes) -> None:
    script = b"/srv/a.lua"
    path = script + info
    pairs = params.encode_pairs([(b"SCRIPT_FILENAME", path)])
    for pending in (of_fastcgi(script=path, pairs=pairs), of_pairs(script=path)):
        found = row(pending, script)
        assert found[b"SCRIPT_FILENAME"] == script
        assert found[b"PATH_INFO"] == info.replace(b"//", b"/")


def test_limits_are_those_of_the_settings() -> None:
    front = Front(receive_timeout=3.0, send_timeout=4.0, idle_timeout=5.0)
    found = limits(front)
    assert (found.receive_s, found.send_s, found.idle_s) == (3.0, 4.0, 5.0)
    assert found.max_body == front.max_body
