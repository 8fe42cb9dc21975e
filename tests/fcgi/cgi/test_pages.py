import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from msgspec.structs import replace

from fcgi.cgi import pages, reply
from fcgi.cgi.refusal import STATUS, Refusal
from luafarm.config.settings import PoolSettings
from luafarm.ends import Budget
from luafarm.wire.messages import ScriptError

ERROR = ScriptError(
    kind="Runtime Error",
    message="/srv/x.lua:3: attempt to index a <nil> value",
    traceback="stack traceback:\n\t/srv/x.lua:3: in function 'main'",
    file="/srv/x.lua",
    line=3,
    excerpt='  2| local a = nil\n  3| return a.b & "<x>"\n  4| end',
    budget=Budget.NONE,
)
SLY = "<script>alert('&\"')</script>"
HOSTILE = ScriptError(SLY, SLY, SLY, SLY, 7, f"7| {SLY}\n{SLY}", Budget.NONE)


Make = Callable[..., tuple[bytes, bytes]]


class Reader(HTMLParser):
    """Collects tags and text; fails on tags that stay open."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(body.decode())
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_every_refusal_has_its_status_and_its_sentence() -> None:
    for refusal in Refusal:
        head, body = pages.refusal(refusal)
        assert head.startswith(f"Status: {STATUS[refusal]}\r\n".encode())
        assert re.fullmatch(r"[45]\d\d [A-Z][A-Za-z ]+", STATUS[refusal])
        assert "<p>" in body.decode()
        assert pages.developer(refusal)[0].startswith(head[:12])


@pytest.mark.parametrize("make", [pages.refusal, pages.developer])
@pytest.mark.parametrize("error", [None, ERROR, HOSTILE])
@pytest.mark.parametrize("refusal", list(Refusal))
def test_pages_are_well_formed_and_pass_our_own_check(
    make: Make, refusal: Refusal, error: ScriptError | None
) -> None:
    head, body = make(refusal, url=SLY.encode() + b"\xff", error=error)
    assert head.endswith(b"\r\n\r\n")
    parsed = reply.parse(head[:-4], True)
    assert parsed.content_length == len(body)
    assert "script" not in Reader(body).tags


def test_what_is_missing_is_named_as_it_was_asked_for() -> None:
    body = Reader(pages.refusal(Refusal.NOT_FOUND, url=b"/srv/<b>.lua")[1])
    assert "/srv/<b>.lua" in body.text
    assert "b" not in body.tags


@pytest.mark.parametrize(
    ("kind", "title"),
    [
        ("Syntax Error", "Syntax Error"),
        ("Runtime Error", "Runtime Error"),
        ("Memory Error", "Memory Error"),
        ("File Error", "File Error"),
        ("Unknown Error", "Unknown Error"),
        ("whatever", "Unknown Error"),
    ],
)
def test_a_script_error_shows_its_class_and_message(kind: str, title: str) -> None:
    error = replace(ERROR, kind=kind)
    text = Reader(pages.refusal(Refusal.SCRIPT_FAILED, error=error)[1]).text
    assert title in text
    assert "attempt to index a <nil> value" in text


def test_a_budget_is_named() -> None:
    error = replace(ERROR, budget="memory", message="")
    for make in (pages.refusal, pages.developer):
        assert "memory" in Reader(make(Refusal.BUDGET, error=error)[1]).text


def test_without_show_errors_nothing_of_the_script_is_told() -> None:
    for refusal in (Refusal.SCRIPT_FAILED, Refusal.NOT_FOUND):
        with_error = pages.refusal(
            refusal, url=b"/srv/secret.lua", error=ERROR, show_errors=False
        )
        assert with_error == pages.refusal(refusal)
        assert b"srv" not in with_error[1]


def test_directories_are_not_named_on_the_page_of_a_site() -> None:
    pool = PoolSettings(root=("/srv/www/", "/srv"), library=("/opt/a.b+c",))
    directories = pages.Directories([pool, PoolSettings(root=("/srv/www/shop",))])
    texts = {
        "/srv/www/shop/x.lua:3: bad": "/x.lua:3: bad",
        "module '/opt/a.b+c/m.lua' and /srv/www/y.lua": "module '/m.lua' and /y.lua",
        "/srv/www-old/x.lua, /optical, /srvice": "/www-old/x.lua, /optical, /srvice",
    }
    for told, shown in texts.items():
        assert directories.hidden(told) == shown
        error = replace(ERROR, message=told)
        _, body = pages.refusal(
            Refusal.SCRIPT_FAILED, error=error, directories=directories
        )
        assert shown in Reader(body).text
    assert pages.Directories([]).hidden("/srv/x.lua") == "/srv/x.lua"


@pytest.mark.parametrize(
    ("refusal", "asked", "told"),
    [
        (Refusal.OVERLOADED, 0, b"1"),
        (Refusal.OVERLOADED, 7, b"7"),
        (Refusal.UNAVAILABLE, 30, b"30"),
    ],
)
def test_what_may_be_tried_again_says_when(
    refusal: Refusal, asked: int, told: bytes
) -> None:
    head, _ = pages.refusal(refusal, retry_after_s=asked)
    assert b"\r\nRetry-After: " + told + b"\r\n" in head


def test_what_would_fail_again_does_not() -> None:
    for refusal in set(Refusal) - {Refusal.OVERLOADED, Refusal.UNAVAILABLE}:
        assert b"Retry-After" not in pages.refusal(refusal, retry_after_s=9)[0]


def test_the_developers_page_shows_source_and_traceback() -> None:
    _, body = pages.developer(Refusal.SCRIPT_FAILED, error=ERROR)
    text = Reader(body).text
    assert "attempt to index a <nil> value" in text
    assert "/srv/x.lua, line 3" in text
    assert "in function 'main'" in text
    [here] = re.findall(r'<span class="here">(.*?)</span>', body.decode())
    assert here == "<i>3</i>return a.b &amp; &quot;&lt;x&gt;&quot;"


def test_endless_texts_are_cut() -> None:
    big = "x" * 10_000_000
    error = ScriptError(big, big, big, big, 1, big, Budget.NONE)
    for make in (pages.refusal, pages.developer):
        assert len(make(Refusal.SCRIPT_FAILED, error=error)[1]) < 100_000


def test_lone_surrogates_do_no_harm() -> None:
    error = replace(ERROR, message="\udcff")
    for make in (pages.refusal, pages.developer):
        assert b"?" in make(Refusal.SCRIPT_FAILED, error=error)[1]


def test_the_developers_page_names_files_as_people_do() -> None:
    error = replace(
        ERROR,
        message="/srv/x.lua:3: module /srv/m.lua:1: bad",
        traceback="stack traceback:\n\t/srv/x.lua:3: in function 'main'",
    )
    _, body = pages.developer(Refusal.SCRIPT_FAILED, error=error)
    text = Reader(body).text
    assert "\nmodule /srv/m.lua:1: bad\n" in text
    assert "/srv/x.lua, line 3" in text
    assert "/srv/x.lua:3: in function 'main'" in text
    assert "stack traceback:" not in text


def test_only_a_missing_script_can_be_put_there() -> None:
    for refusal in Refusal:
        _, body = pages.developer(refusal, url=b"/srv/x.lua")
        assert ("Put one there" in body.decode()) == (refusal is Refusal.NOT_FOUND)
