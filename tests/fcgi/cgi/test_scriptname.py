import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcgi.cgi import params
from fcgi.cgi.refusal import Refusal
from fcgi.cgi.scriptname import MAX_PATH, script_path, told_apart, url_path
from tests.fcgi.fastcgi import wire


def found(script: bytes, **pairs: str) -> bytes | Refusal:
    return script_path(script, wire.blob(pairs))


@pytest.mark.parametrize(
    ("script", "path"),
    [
        (b"/srv/x.lua", b"/srv/x.lua"),
        (b"/srv/.hidden/..x/x..lua", b"/srv/.hidden/..x/x..lua"),
        (b"/srv/a b%20c?d\xff\n.lua", b"/srv/a b%20c?d\xff\n.lua"),
        (b"/srv/x.lua/extra/path", b"/srv/x.lua/extra/path"),
        (b"//srv///x.lua", b"/srv/x.lua"),
        (b"/srv/./x.lua/.", b"/srv/x.lua"),
        (b"/srv/x.lua/", b"/srv/x.lua"),
        (b"proxy:fcgi://127.0.0.1:9000/srv/x.lua/extra", b"/srv/x.lua/extra"),
        (b"proxy:fcgi://[::1]:9000//srv/x.lua", b"/srv/x.lua"),
        (b"proxy:fcgi://localhost/srv/x.lua", b"/srv/x.lua"),
        (b"PROXY:FCGI://localhost/srv/x.lua", b"/srv/x.lua"),
        (b"proxy:balancer://pool/srv/x.lua", b"/srv/x.lua"),
        (b"proxy:unix:/run/x.sock|fcgi://localhost/srv/x.lua", b"/srv/x.lua"),
        (b"proxy:unix:/run/x.sock|fcgi:///srv/x.lua", b"/srv/x.lua"),
    ],
)
def test_the_forms_of_web_servers_lead_to_the_path(script: bytes, path: bytes) -> None:
    assert found(script) == path


@pytest.mark.parametrize(
    ("script", "refusal"),
    [
        (b"", Refusal.BAD_PATH),
        (b"x.lua", Refusal.BAD_PATH),
        (b"./x.lua", Refusal.BAD_PATH),
        (b"/srv/x.lua\0.txt", Refusal.BAD_PATH),
        (b"\0", Refusal.BAD_PATH),
        (b"/srv/../etc/x.lua", Refusal.BAD_PATH),
        (b"/srv/..", Refusal.BAD_PATH),
        (b"/..", Refusal.BAD_PATH),
        (b"..", Refusal.BAD_PATH),
        (b"proxy:fcgi://host:9000", Refusal.BAD_PATH),
        (b"proxy:fcgi://host:9000/../x.lua", Refusal.BAD_PATH),
        (b"proxy:unix:/run/x.sock|/srv/x.lua", Refusal.BAD_PATH),
        (b"http://host/srv/x.lua", Refusal.BAD_PATH),
        (b"/", Refusal.NOT_FOUND),
        (b"//", Refusal.NOT_FOUND),
        (b"/" + b"x" * MAX_PATH, Refusal.PATH_TOO_LONG),
        (b"/a" * 2048, Refusal.PATH_TOO_LONG),
    ],
)
def test_what_is_no_absolute_path_is_refused(script: bytes, refusal: Refusal) -> None:
    assert found(script) is refusal


def test_path_translated_stands_in_for_script_filename() -> None:
    assert found(b"", PATH_TRANSLATED="/srv/x.lua") == b"/srv/x.lua"
    assert found(b"/a.lua", PATH_TRANSLATED="/srv/x.lua") == b"/a.lua"
    assert found(b"", PATH_TRANSLATED="../x") is Refusal.BAD_PATH


APACHE = b"proxy:fcgi://h:1/srv"


def test_apaches_query_string_is_cut_off() -> None:
    path = found(APACHE + b"/x.lua?a=b", QUERY_STRING="a=b", REQUEST_URI="/x.lua?a=b")
    assert path == b"/srv/x.lua"


@pytest.mark.parametrize(
    ("uri", "query"),
    [
        ("/admin.lua%3Fx.lua", ""),
        ("/admin.lua%3Fx.lua", "a=b"),
        ("/admin.lua%3fx.lua?x.lua", "x.lua"),
        ("/admin.lua%253Fx.lua?x.lua", "x.lua"),
    ],
)
def test_a_forged_question_mark_stays_part_of_the_name(uri: str, query: str) -> None:
    path = found(APACHE + b"/admin.lua?x.lua", QUERY_STRING=query, REQUEST_URI=uri)
    assert path == b"/srv/admin.lua?x.lua"


def test_apaches_percent_signs_are_decoded_only_into_script_name() -> None:
    script = APACHE + b"/a%20b.lua"
    assert found(script, SCRIPT_NAME="/a b.lua") == b"/srv/a b.lua"
    assert found(script, SCRIPT_NAME="/a%20b.lua") == b"/srv/a%20b.lua"
    assert found(script) == b"/srv/a%20b.lua"
    assert found(b"/srv/a%20b.lua", SCRIPT_NAME="/a b.lua") == b"/srv/a%20b.lua"


@pytest.mark.parametrize("sly", [b"/%00.lua", b"/%2e%2e/etc/x.lua"])
def test_decoding_does_not_smuggle(sly: bytes) -> None:
    name = sly.replace(b"%00", b"\0").replace(b"%2e", b".").decode()
    assert found(APACHE + sly, SCRIPT_NAME=name) is Refusal.BAD_PATH


@pytest.mark.parametrize(
    ("given_path", "name", "info", "short_name"),
    [
        ("/srv/x.lua/a/b", "/x.lua/a/b", b"/a/b", b"/x.lua"),
        ("/srv/x.lua/a/b/", "/x.lua/a/b/", b"/a/b/", b"/x.lua"),
        ("proxy:fcgi://h:1/srv/x.lua/a", "/x.lua/a", b"/a", b"/x.lua"),
        ("/srv/x.lua/a", "/x.lua", b"/a", b"/x.lua"),
        ("proxy:fcgi://h:1/srv/x.lua", "/x.lua", None, b"/x.lua"),
    ],
)
def test_script_and_path_info_are_told_apart(
    given_path: str, name: str, info: bytes | None, short_name: bytes
) -> None:
    pairs = wire.blob({"SCRIPT_FILENAME": given_path, "SCRIPT_NAME": name})
    path = script_path(given_path.encode(), pairs)
    assert isinstance(path, bytes)
    apart = told_apart(pairs, path, b"/srv/x.lua")
    assert params.find(apart, b"SCRIPT_FILENAME") == b"/srv/x.lua"
    assert params.find(apart, b"PATH_INFO") == info
    assert params.find(apart, b"SCRIPT_NAME") == short_name


def test_what_was_path_info_already_stays_behind_what_becomes_it() -> None:
    pairs = wire.blob(
        {
            "SCRIPT_FILENAME": "/srv/x.lua/a.lua",
            "SCRIPT_NAME": "/x.lua/a.lua",
            "PATH_INFO": "/b",
        }
    )
    apart = told_apart(pairs, b"/srv/x.lua/a.lua", b"/srv/x.lua")
    assert params.find(apart, b"SCRIPT_NAME") == b"/x.lua"
    assert params.find(apart, b"PATH_INFO") == b"/a.lua/b"


@given(st.lists(st.sampled_from([b"/", b".", b"..", b"a", b"\0", b"%2e", b"?"])))
def test_a_path_comes_out_clean_or_not_at_all(parts: list[bytes]) -> None:
    for start in (b"", APACHE):
        path = found(start + b"".join(parts), QUERY_STRING="", SCRIPT_NAME="/a")
        if isinstance(path, Refusal):
            continue
        assert path.startswith(b"/")
        assert b"\0" not in path
        names = path.split(b"/")[1:]
        assert not {b"", b".", b".."} & set(names)
        assert script_path(path, b"") == path


@pytest.mark.parametrize(
    ("pairs", "path"),
    [
        ({"REQUEST_URI": "/blog/5?a=/b", "SCRIPT_NAME": "/blog.lua"}, b"/blog/5"),
        ({"REQUEST_URI": "/caf%C3%A9.lua"}, b"/caf%C3%A9.lua"),
        ({"SCRIPT_NAME": "/x.lua", "PATH_INFO": "/a"}, b"/x.lua/a"),
        ({"SCRIPT_NAME": "/x.lua"}, b"/x.lua"),
        ({"SCRIPT_FILENAME": "/srv/x.lua", "DOCUMENT_ROOT": "/srv"}, b""),
        ({}, b""),
    ],
)
def test_the_path_that_was_asked_for_is_that_of_the_url(
    pairs: dict[str, str], path: bytes
) -> None:
    assert url_path(wire.blob(pairs)) == path
