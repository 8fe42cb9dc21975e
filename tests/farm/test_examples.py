"""What people learn from: the examples, and the blocks of docs/lua-api.md."""

import http.client
import json
import re
import shutil
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import md5
from html import escape
from pathlib import Path

import pytest

from bench import daemon
from luafarm.dialects import UNSOUND, Dialect
from tests.farm.farms import up

pytestmark = [pytest.mark.process, pytest.mark.dialects(*Dialect, scope="module")]

PROJECT = Path(__file__).parents[2]
EXAMPLES = PROJECT / "examples"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
SLY = "%3Cscript%3Ealert(1)%3C/script%3E"
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Answer:
    """A reply over HTTP."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass(frozen=True)
class Site:
    """A farm with one pool, whose root has the examples."""

    port: int
    root: Path

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            data = body.encode() if body is not None else None
            connection.request(method, path, data, headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def post(self, path: str, body: str) -> Answer:
        return self.ask(path, "POST", body, FORM)


@pytest.fixture(scope="module")
def site(dialect: Dialect) -> Iterator[Site]:
    port = daemon.free_port()
    pool = f'dialect = "{dialect}"'
    if dialect in UNSOUND:
        pool += '\ntrust = "trusted"'
    with up(f'[front]\nhttp = "127.0.0.1:{port}"', hosts=2, pool=pool) as farm:
        shutil.copytree(EXAMPLES, farm.root, dirs_exist_ok=True)
        farm.daemons["up"].wait_until(
            lambda: daemon.accepts(("127.0.0.1", port)), "HTTP is served"
        )
        yield Site(port, farm.root)


def digest(text: str) -> str:
    encoded = b64encode(text.encode())
    return md5(encoded, usedforsecurity=False).hexdigest()


# ---- luafcgid's scripts --------------------------------------------------------------


def test_test1_is_eleven_bytes(site: Site) -> None:
    answer = site.ask("/test1.lua")
    assert (answer.status, answer.body) == (200, b"Hello World")
    assert answer.headers["Content-Type"] == "text/html"


def test_test4_is_the_line_of_the_readme(site: Site) -> None:
    assert site.ask("/test4.lua").text == f"Hello World = {digest('Hello World')}"


def test_bench1_is_a_hundred_digests(site: Site) -> None:
    lines = [f"Hello World + {i} = {digest(f'Hello World{i}')}" for i in range(1, 101)]
    assert site.ask("/bench1.lua").text == "\r\n".join(["<pre>", *lines, "</pre>"])


def test_dumpenv_shows_repeated_names_and_the_body(site: Site) -> None:
    path = f"/dumpenv.lua?colour=red&colour=blue&none=&x={SLY}"
    answer = site.post(path, f"note={SLY}&note=2")
    assert answer.status == 200
    assert "<tr><th>colour<td>red, blue\n<tr><th>none<td>\n" in answer.text
    assert "<tr><th>REQUEST_METHOD<td>POST\n" in answer.text
    assert "<tr><th>LUAFCGID_VERSION<td>1\n" in answer.text
    assert f"<pre>note={SLY}&amp;note=2</pre>" in answer.text
    assert "<tr><th>note<td>&lt;script&gt;alert(1)&lt;/script&gt;, 2\n" in answer.text
    assert "<script" not in answer.text
    assert "<h2>Body" not in site.ask("/dumpenv.lua").text


def test_dumpenv_of_2011_parses_as_then(site: Site) -> None:
    answer = site.post("/dumpenv_2011.lua?a=1&a=2&none=", "</textarea><script>")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<h2>Query</h2>\n<table>\n<tr><th>a<td>2\n</table>" in answer.text
    assert "\n&lt;/textarea&gt;&lt;script&gt;</textarea>" in answer.text
    assert "<textarea" not in site.ask("/dumpenv_2011.lua").text
    assert site.ask("/dumpenv_2011.lua", "POST").status == 200


# ---- our own -------------------------------------------------------------------------


def test_the_index_links_every_file(site: Site) -> None:
    page = site.ask("/").text
    links = set(re.findall(r'href="([^"]*)"', page))
    files = [p.relative_to(EXAMPLES) for p in EXAMPLES.rglob("*") if p.is_file()]
    assert len(files) > 15
    for file in map(str, files):
        source = "source.lua?file=" + file.replace("/", "%2F")
        assert source in links
        assert (file in links) == (file.endswith(".lua") and "/" not in file)
    for link in links:
        answer = site.ask("/" + link)
        assert answer.status == {"error.lua": 500, "redirect.lua": 302}.get(link, 200)


def test_source_shows_files_of_the_list_only(site: Site) -> None:
    shown = site.ask("/source.lua?file=lib%2Fpage.lua").text
    text = (EXAMPLES / "lib" / "page.lua").read_text()
    assert text in shown.replace("&lt;", "<").replace("&gt;", ">").replace(
        "&quot;", '"'
    ).replace("&#39;", "'").replace("&amp;", "&")
    (site.root / "secret.lua").write_text("-- secret")
    for name in ("secret.lua", "../luafarm.toml", "/etc/passwd", "", SLY):
        answer = site.ask(f"/source.lua?file={name}")
        assert answer.status == 404
        assert "<script" not in answer.text


def test_hello_says_hello(site: Site) -> None:
    answer = site.ask("/hello.lua")
    assert answer.body == b"Hello, World!\n"
    assert answer.headers["Content-Type"] == TEXT


def test_counter_counts_its_requests_and_the_visitors(site: Site) -> None:
    counts = []
    for cookie in ("visits=41", "a=b; visits=41", "visits=99999", "xvisits=4", SLY):
        answer = site.ask("/counter.lua", headers={"Cookie": cookie})
        counts.append(int(re.findall(r"class='big'>(\d+)<", answer.text)[0]))
        yours = 42 if cookie.endswith("visits=41") else 1
        assert f"your number {yours}." in answer.text
        assert answer.headers["Set-Cookie"].startswith(f"visits={yours}; Expires=")
    assert counts == [counts[0] + more for more in range(5)]


def test_form_greets_and_turns_round(site: Site) -> None:
    assert "class='note'" not in site.ask("/form.lua").text
    greeted = site.ask(f"/form.lua?name={SLY}").text
    sly = "&lt;script&gt;alert(1)&lt;/script&gt;"
    assert f"<p class='note'>Hello, {sly}!</p>" in greeted
    assert f'value="{sly}"' in greeted
    turned = site.post("/form.lua", "text=a+%3Cb%3E+c").text
    assert "3 words, backwards: c &gt;b&lt; a" in turned
    assert "0 words" in site.post("/form.lua", "").text


def test_form_says_that_there_is_too_much_of_it(site: Site) -> None:
    long = site.post("/form.lua", "text=" + "x" * (1 << 20))
    assert (long.status, long.headers["Content-Type"]) == (413, TEXT)
    assert "limits.bytes" in long.text
    many = site.ask("/form.lua?" + "a&" * 1100)
    assert many.status == 414
    assert "limits.pairs" in many.text


@pytest.mark.parametrize("name", ["modules", "redirect", "source"])
def test_a_query_with_too_much_in_it_counts_as_none(site: Site, name: str) -> None:
    asked, plain = (site.ask(f"/{name}.lua{q}") for q in ("?" + "a&" * 1100, ""))
    assert (asked.status, asked.body) == (plain.status, plain.body)


def test_form_takes_forms_only(site: Site) -> None:
    assert site.ask("/form.lua", "POST", "x").status == 415
    odd = {"Content-Type": "application/json"}
    assert site.ask("/form.lua", "POST", "{}", odd).status == 415


def test_stream_is_sent_in_parts(site: Site) -> None:
    answer = site.ask("/stream.lua")
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert re.findall(r"(\d) of 5", answer.text) == list("12345")
    assert answer.text.endswith("</html>\n")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "part"),
    [
        ("GET", "", None, 200, "routes"),
        ("GET", "/time", None, 200, "seconds"),
        ("HEAD", "/time", None, 200, ""),
        ("POST", "/sum", '{"numbers": [1, 2, 3.5]}', 200, "sum"),
        ("POST", "/sum", '{"numbers": []}', 200, "sum"),
        ("POST", "/sum", '{"numbers": ["1"]}', 400, "error"),
        ("POST", "/sum", "[1]", 400, "error"),
        ("POST", "/sum", "{", 400, "error"),
        ("POST", "/sum", "", 400, "error"),
        ("GET", "/sum", None, 405, "error"),
        ("DELETE", "/time", None, 405, "error"),
        ("GET", "/none", None, 404, "error"),
    ],
)
def test_json_has_routes(
    site: Site, method: str, path: str, body: str | None, status: int, part: str
) -> None:
    answer = site.ask("/routes.lua" + path, method, body)
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/json"
    assert ("Allow" in answer.headers) == (status == 405)
    assert (part in json.loads(answer.body)) if part else answer.body == b""


def test_json_adds_up(site: Site) -> None:
    answer = site.ask("/routes.lua/sum", "POST", '{"numbers": [1, 2, 3.5]}')
    assert answer.body == b'{"count":3,"sum":6.5}\n'


def test_modules_greets(site: Site) -> None:
    page = site.ask(f"/modules.lua?name={SLY}").text
    assert "<td>Good night</td>" in page
    assert ", &lt;script&gt;alert(1)&lt;/script&gt;!</p>" in page
    assert re.search(r"class='big'>Good \w+!<", site.ask("/modules.lua").text)


def test_readfile_shows_a_line_of_its_file(site: Site) -> None:
    quotes = (EXAMPLES / "quotes.txt").read_text().splitlines()
    page = site.ask("/readfile.lua").text
    [shown] = re.findall(r"class='note'>([^<]*)<", page)
    assert shown in map(escape, quotes)
    assert re.search(r"\.\./secret\.txt: [^<]*\b(not found|no such file)\b", page)


def test_redirect_sends_elsewhere(site: Site) -> None:
    for query, status in (("", 302), ("?code=301", 301), ("?code=200", 302)):
        answer = site.ask("/redirect.lua" + query)
        assert (answer.status, answer.body) == (status, b"")
        assert answer.headers["Location"] == f"/redirect.lua?from={status}"
    arrived = site.ask(f"/redirect.lua?from={SLY}")
    assert arrived.status == 200
    assert "<script" not in arrived.text


def test_error_shows_the_page_for_developers(site: Site) -> None:
    answer = site.ask("/error.lua")
    assert answer.status == 500
    assert "Runtime Error" in answer.text
    assert f"{site.root}/error.lua, line 10" in answer.text
    assert "  return prices[item] * count</span>" in answer.text
    assert "Traceback" in answer.text
    assert "This is not sent" not in answer.text


def test_log_goes_to_the_log(site: Site) -> None:
    assert site.ask("/log.lua").body == b"Now look at the log.\n"
    log = (site.root.parent / "up.log").read_text()
    for line in (
        "info script={}/log.lua startup of state ",
        "info {}/log.lua: request\t1\tGET\n",
        "info {}/log.lua: 100 % as it is\n",
        "warning {}/log.lua: something that a person may act on\n",
        "error {}/log.lua: something that went wrong\n",
    ):
        assert line.format(site.root) in log


# ---- other servers' handlers ---------------------------------------------------------


def test_mod_lua_greets_by_form_and_cookie(site: Site) -> None:
    page = site.ask("/modlua.lua?name=" + SLY)
    assert (page.status, escape("<script>") in page.text) == (200, True)
    sent = site.post("/modlua.lua", "name=a%20b")
    assert (sent.status, sent.headers["Location"]) == (303, "/modlua.lua")
    cookie = sent.headers["Set-Cookie"].split(";")[0]
    known = site.ask("/modlua.lua", headers={"Cookie": cookie})
    assert "Hello, a b!" in known.text
    assert site.post("/modlua.lua", "x=1").status == 400
    assert site.ask("/modlua.lua", "PUT", "x").headers["Allow"] == "GET, POST"


def test_wsapi_tells_what_it_was_asked(site: Site) -> None:
    assert "200: you asked for /<" in site.ask("/wsapi.lua").text
    answer = site.ask("/wsapi.lua/a?b=" + SLY, "POST", "12345")
    assert answer.status == 404
    assert "you asked for /a<" in answer.text
    assert "a body of 5 bytes" in answer.text


def test_ngx_greets_redirects_and_exits(site: Site) -> None:
    assert "Hello, you!" in site.ask("/ngx.lua?name=you").text
    assert site.ask("/ngx.lua?name=nobody").status == 403
    sent = site.post("/ngx.lua", "name=a%20b")
    assert (sent.status, sent.headers["Location"]) == (303, "/ngx.lua?name=a%20b")


# ---- docs/lua-api.md -----------------------------------------------------------------

BLOCKS = re.findall(
    r"^```lua\n(.*?)^```$",
    (PROJECT / "docs" / "lua-api.md").read_text(),
    re.MULTILINE | re.DOTALL,
)
SCRIPTS = [
    block
    for block in BLOCKS
    if re.search(r"^(local )?function [\w.]+\(", block, re.MULTILINE)
]
CLAIMS = [block for block in BLOCKS if block not in SCRIPTS]

CHECKER = """
local luafarm, luafcgid = require("luafarm"), require("luafcgid")
local md5, base64, json = require("md5"), require("base64"), require("json")
local crypto = require("luafarm.crypto")
local function shown(...)
  return select("#", ...) .. " " .. luafcgid.serialize({ ... })
end
local function fails(text, f)
  local ok, message = pcall(f)
  if ok then return "no error" end
  return tostring(message):find(text, 1, true) and "" or message
end
function main(env, con)
  local wrong
%s  con:puts("all checked")
end
"""


def checked(block: str) -> str:
    """Return a script that checks each line `EXPRESSION  --> RESULT` of a block."""
    code = ""
    for line in block.splitlines():
        expression, arrow, result = line.partition("-->")
        assert arrow, f"neither a script nor a claim: {line}"
        expression, result = expression.strip(), result.strip()
        if result.startswith("error: "):
            text = f"[==[{result.removeprefix('error: ')}]==]"
            code += f"  wrong = fails({text}, function() return {expression} end)\n"
        else:
            code += f"  wrong = shown({expression})\n"
            code += f"  if wrong == shown({result}) then wrong = '' end\n"
        code += f"  if wrong ~= '' then error([==[{expression}]==] .. wrong, 0) end\n"
    return CHECKER % code


@pytest.mark.parametrize("number", range(len(SCRIPTS)))
def test_every_script_of_the_manual_runs(site: Site, number: int) -> None:
    (site.root / f"script{number}.lua").write_text(SCRIPTS[number])
    for method, body in (("GET", None), ("POST", "x" * 100_000)):
        answer = site.ask(f"/script{number}.lua", method, body, FORM if body else None)
        assert answer.status in {200, 201}, answer.text


@pytest.mark.parametrize("number", range(len(CLAIMS)))
def test_every_claim_of_the_manual_holds(site: Site, number: int) -> None:
    block = CLAIMS[number]
    if (
        "Read-only file system" in block
        and "lua51" in (site.root.parent / "luafarm.toml").read_text()
    ):
        pytest.skip("trusted pools may write")
    (site.root / f"claim{number}.lua").write_text(checked(block))
    answer = site.ask(f"/claim{number}.lua")
    assert answer.text == "all checked"
