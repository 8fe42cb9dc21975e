"""Programs that were written for other servers, as a browser uses them, through nginx.

Orbit and its blog come from Debian's package, and so does WSAPI's library; the others
are written as such programs are.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.farm import farms
from tests.libraries.shelf import NotFetchedError, Shelf
from tests.servers import nginx
from tests.servers.client import Reply, ask
from tests.servers.conftest import INSTALL
from tests.servers.server import Application

pytestmark = pytest.mark.process

PROGRAMS = Path(__file__).with_name("programs")
LFS = PROGRAMS.parents[1] / "libraries" / "lua"
MODULES = "usr/share/lua/5.1"
BLOG = "usr/share/doc/lua-orbit/blog"
FORM = "application/x-www-form-urlencoded"

# Posts, notes and entries lie in the memory of a state: there is to be one of each.
POOL = """\
library = {libraries}
[[script]]
pattern = "*.lua"
clones = 1
"""


class Browser:
    """Somebody who keeps cookies, and follows no redirection by himself."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookies: dict[str, str] = {}

    def get(self, target: str, **headers: str) -> Reply:
        return self._ask(target, "GET", None, headers)

    def send(self, target: str, method: str = "POST", **fields: str) -> Reply:
        body = urlencode(fields).encode()
        return self._ask(target, method, body, {"Content-Type": FORM})

    def upload(self, target: str, name: str, content: bytes, **fields: str) -> Reply:
        parts = [
            f'Content-Disposition: form-data; name="{key}"\r\n\r\n{value}'.encode()
            for key, value in fields.items()
        ]
        head = f'Content-Disposition: form-data; name="file"; filename="{name}"\r\n'
        parts.append(head.encode() + b"Content-Type: image/png\r\n\r\n" + content)
        body = (
            b"".join(b"--edge\r\n" + part + b"\r\n" for part in parts) + b"--edge--\r\n"
        )
        kind = {"Content-Type": "multipart/form-data; boundary=edge"}
        return self._ask(target, "POST", body, kind)

    def _ask(
        self, target: str, method: str, body: bytes | None, headers: dict[str, str]
    ) -> Reply:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        if self.cookies:
            pairs = (f"{key}={value}" for key, value in self.cookies.items())
            named["Cookie"] = "; ".join(pairs)
        reply = ask(self.port, target, method=method, body=body, headers=named)
        assert reply.whole, target
        for line in reply.headers.get_all("Set-Cookie") or []:
            for key, morsel in SimpleCookie(line).items():
                self.cookies[key] = morsel.coded_value
        return reply


def where(reply: Reply) -> str:
    """Return the path that a reply leads to, whatever names the server before it."""
    return re.sub(r"^https?://[^/]*", "", reply.headers["Location"])


@pytest.fixture(scope="module")
def served() -> Iterator[int]:
    """Return the port of nginx before a farm with all programs."""
    absent = nginx.missing()
    if absent:
        pytest.skip(f"{absent}: {INSTALL}")
    try:
        packages = [
            Shelf().get(f"deb:{name}")
            for name in ("lua-orbit", "lua-wsapi", "lua-coxpcall")
        ]
    except NotFetchedError as error:
        pytest.skip(f"cannot be fetched: {error}")
    with farms.directory() as beside:
        lfs = beside / "lfs"
        lfs.mkdir(0o755)
        shutil.copy(LFS / "lfs.lua", lfs)
        libraries = [str(package / MODULES) for package in packages] + [str(lfs)]
        with farms.up(pool=POOL.format(libraries=json.dumps(libraries))) as farm:
            shutil.copytree(packages[0] / BLOG, farm.root / "orbit")
            shutil.copytree(PROGRAMS, farm.root, dirs_exist_ok=True)
            (farm.place / "nginx").mkdir(0o755)
            application = Application(Path(farm.socket), 0, farm.root)
            with nginx.serve(farm.place / "nginx", application) as running:
                yield running.port


@pytest.fixture
def browser(served: int) -> Browser:
    return Browser(served)


# ---- Orbit's blog -------------------------------------------------------------------


def test_orbit_s_blog_shows_its_posts(browser: Browser) -> None:
    reply = browser.get("/orbit/blog.lua")
    assert reply.status == 200
    text = reply.body.decode()
    assert "<h3>First post</h3>" in text
    assert "It <em>begins</em>." in text
    assert text.index("Second post") < text.index("First post")
    assert 'href="/orbit/blog.lua/post/1"' in text


def test_orbit_s_blog_shows_one_post_a_page_and_an_archive(browser: Browser) -> None:
    post = browser.get("/orbit/blog.lua/post/1").body.decode()
    assert "New comment" in post
    assert 'action="/orbit/blog.lua/post/1/addcomment"' in post
    page = browser.get("/orbit/blog.lua/page/1").body.decode()
    assert "We are <strong>few</strong>." in page
    archive = browser.get("/orbit/blog.lua/archive/2024/05").body.decode()
    assert "<h3>First post</h3>" in archive
    assert "<h3>Second post</h3>" not in archive


def test_orbit_s_blog_takes_a_comment_and_leads_back_to_its_post(
    browser: Browser,
) -> None:
    before = browser.get("/orbit/blog.lua/post/2").body.decode()
    assert "Comments (0)" in before
    fields = {
        "author": "Ann",
        "email": "",
        "url": "http://a.example/",
        "comment": "So *true*",
    }
    reply = browser.send("/orbit/blog.lua/post/2/addcomment", **fields)
    assert reply.status == 302
    assert where(reply) == "/orbit/blog.lua/post/2"
    after = browser.get(where(reply)).body.decode()
    assert "Comments (1)" in after
    assert '<a href="http://a.example/">Ann</a>' in after
    assert "So <em>true</em>" in after


def test_orbit_s_blog_tells_that_the_comment_is_missing(browser: Browser) -> None:
    empty = {"author": "Bob", "email": "", "url": "", "comment": " "}
    reply = browser.send("/orbit/blog.lua/post/1/addcomment", **empty)
    assert reply.status == 200
    assert "You forgot the comment!" in reply.body.decode()


def test_orbit_s_blog_serves_its_own_files_and_tells_what_is_not_there(
    browser: Browser,
) -> None:
    style = browser.get("/orbit/blog.lua/style.css")
    assert style.headers.get_content_type() == "text/css"
    assert b"blogentry" in style.body or b"{" in style.body
    for path in ("/post/99", "/no/such/path"):
        reply = browser.get(f"/orbit/blog.lua{path}")
        assert reply.status == 404, path
        assert b"Not found!" in reply.body, path


# ---- WSAPI --------------------------------------------------------------------------


def test_a_wsapi_program_takes_a_form_and_redirects(browser: Browser) -> None:
    reply = browser.send("/wsapi/notes.lua", title="a & b", text="two\nlines")
    assert reply.status == 303
    note = browser.get(where(reply))
    assert note.body == b"two\nlines"
    assert note.headers.get_content_type() == "text/plain"
    assert note.headers.get_all("X-Name") == ["a & b", "second line"]


def test_a_wsapi_program_takes_an_upload_of_any_bytes(browser: Browser) -> None:
    content = bytes(range(256)) * 300
    reply = browser.upload("/wsapi/notes.lua", "x.png", content, title="picture")
    assert reply.status == 303
    note = browser.get(where(reply))
    assert note.body == content
    assert note.headers.get_content_type() == "image/png"


def test_a_wsapi_program_knows_a_visitor_by_a_cookie(browser: Browser) -> None:
    for visit in (1, 2, 3):
        reply = browser.get("/wsapi/notes.lua?q=a%20b+c")
        assert f"visit {visit}, query a b c".encode() in reply.body
    assert browser.cookies["visits"] == "3"


def test_a_wsapi_program_answers_with_the_statuses_that_it_chose(
    browser: Browser,
) -> None:
    assert browser.get("/wsapi/notes.lua/999").status == 404
    untitled = browser.send("/wsapi/notes.lua", title="")
    assert (untitled.status, untitled.body) == (422, b"a note without a title\n")
    refused = browser.send("/wsapi/notes.lua", "PUT")
    assert refused.status == 405
    assert refused.headers["Allow"] == "GET, POST, DELETE"
    assert browser.send("/wsapi/notes.lua", "DELETE").status == 500


# ---- in the style of Lapis ----------------------------------------------------------


def test_a_lapis_program_keeps_a_session_in_a_signed_cookie(browser: Browser) -> None:
    reply = browser.send("/lapis/shop.lua/login", user="<Ann>")
    assert reply.status == 302
    assert where(reply) == "/lapis/shop.lua/"
    for item in ("bread", "butter"):
        added = browser.send("/lapis/shop.lua/add", item=item)
        assert added.status == 303
    text = browser.get("/lapis/shop.lua/").body.decode()
    assert "<h1>Basket of &lt;Ann&gt;</h1>" in text
    assert '<ul class="basket"><li>bread</li><li>butter</li></ul>' in text
    assert "<p>seen 4</p>" in text


def test_a_lapis_program_takes_no_session_that_it_did_not_sign(
    browser: Browser,
) -> None:
    browser.send("/lapis/shop.lua/login", user="Ann")
    session = browser.cookies["session"]
    browser.cookies["session"] = ("A" if session[0] != "A" else "B") + session[1:]
    assert b"Basket of nobody" in browser.get("/lapis/shop.lua/").body


def test_a_lapis_program_gives_json_and_names_its_routes(browser: Browser) -> None:
    reply = browser.get("/lapis/shop.lua/item/a%20b?q=1%262")
    assert reply.headers.get_content_type() == "application/json"
    said = json.loads(reply.body)
    assert said == {"name": "a b", "q": "1&2", "url": "/lapis/shop.lua/item/x%20y"}


def test_a_lapis_program_takes_an_upload_of_any_bytes(browser: Browser) -> None:
    content = bytes(range(256)) * 100
    reply = browser.upload("/lapis/shop.lua/upload", "x.png", content, note="n")
    assert json.loads(reply.body) == {
        "name": "x.png",
        "bytes": len(content),
        "md5": hashlib.md5(content).hexdigest(),
        "note": "n",
    }


def test_a_lapis_program_answers_with_the_statuses_that_it_chose(
    browser: Browser,
) -> None:
    assert browser.get("/lapis/shop.lua/nothing").status == 404
    assert browser.send("/lapis/shop.lua/login").status == 422
    banned = browser.get("/lapis/shop.lua/?banned=1")
    assert banned.status == 403
    assert b"<h1>Go away</h1>" in banned.body


# ---- mod_lua ------------------------------------------------------------------------


def test_a_mod_lua_program_takes_a_form_and_redirects(browser: Browser) -> None:
    reply = browser.send("/modlua/guestbook.lua", name="Ann", text="<hello> & ä")
    assert reply.status == 303
    assert where(reply) == "/modlua/guestbook.lua"
    text = browser.get(where(reply)).body.decode()
    assert "<p>Ann: &lt;hello&gt; &amp; ä</p>" in text


def test_a_mod_lua_program_takes_an_upload_of_any_bytes(browser: Browser) -> None:
    content = bytes(range(256)) * 100
    reply = browser.upload("/modlua/guestbook.lua/upload", "x", content, note="n")
    digest = hashlib.md5(content).hexdigest()
    assert reply.body == f"{len(content)} {digest} n".encode()


def test_a_mod_lua_program_knows_a_visitor_by_a_cookie(browser: Browser) -> None:
    for seen in (0, 1, 2):
        text = browser.get("/modlua/guestbook.lua?name=a%26b").body.decode()
        assert f"seen {seen}, for a&amp;b" in text


def test_a_mod_lua_program_answers_with_the_statuses_that_it_chose(
    browser: Browser,
) -> None:
    assert browser.get("/modlua/guestbook.lua/nothing").status == 404
    refused = browser.send("/modlua/guestbook.lua", text="")
    assert (refused.status, refused.body) == (400, b"nothing to say?")
    told = browser.get("/modlua/guestbook.lua/headers", X_Asked="for it")
    assert told.body == b"for it GET"
