"""WSAPI applications: status, headers, iterator = run(wsapi_env)."""

import pytest

from luafarm.dialects import Dialect
from tests.vmhost.states import Op, Reply, Script, every_dialect, params
from vmhost.lua.limits import StateLimits

ONE = """
local function one(text)
  return coroutine.wrap(function() coroutine.yield(text) end)
end
"""


def serve(
    code: str,
    dialect: Dialect = Dialect.LUAJIT21,
    body: bytes = b"",
    env: dict[str, str] | None = None,
    *,
    pulled: bool = False,
) -> Reply:
    """Return the reply of an application that runs code."""
    script = Script(f"{ONE}return function(wsapi_env)\n{code}\nend", dialect)
    values = dict(env or {})
    if body:
        values["CONTENT_LENGTH"] = str(len(body))
    return script.run(params(**values), body, pulled=pulled)


# ---- what is an application ----------------------------------------------------------


APPLICATION = "function(e) return 200, {}, one('text' .. e.PATH_INFO) end"


@every_dialect
@pytest.mark.parametrize(
    "source",
    [
        f"return {APPLICATION}",
        f"return {{ run = {APPLICATION} }}",
        f"local M = {{}} M.run = {APPLICATION} return M",
        f"return setmetatable({{}}, {{ __index = {{ run = {APPLICATION} }} }})",
        "return 'app'",
    ],
)
def test_a_function_a_table_with_run_or_a_modules_name(
    dialect: Dialect, source: str
) -> None:
    modules = {"app": f"{ONE} return {{ run = {APPLICATION} }}"}
    script = Script(ONE + source, dialect, modules=modules)
    assert [script.run().text, script.run().text] == ["text/", "text/"]


@pytest.mark.dialects(Dialect.LUAJIT21, Dialect.LUA51)
@pytest.mark.parametrize("name", ["'page'", "..."])
def test_a_module_of_lua_51_with_run(dialect: Dialect, name: str) -> None:
    source = f"""
      module({name}, package.seeall)
      function run(wsapi_env) return 200, {{}}, coroutine.wrap(function()
        coroutine.yield(_NAME)
      end) end
    """
    assert Script(source, dialect).run().text == "page"


@every_dialect
@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("{}", "table without it"),
        ("{ run = 1 }", "table without it"),
        ("'app'", "string value"),
    ],
)
def test_what_is_no_application_does_not_load(
    dialect: Dialect, value: str, what: str
) -> None:
    script = Script(f"return {value}", dialect, modules={"app": "return 'other'"})
    message = script.loaded.failure.message
    assert message.startswith("not a WSAPI application: ")
    assert message.endswith(f"it gave a {what}")


# ---- the environment -----------------------------------------------------------------


@every_dialect
def test_variables_that_are_absent_read_as_the_empty_text(dialect: Dialect) -> None:
    reply = serve(
        """
        wsapi_env.OWN = "own"
        local names = {}
        return 200, {}, one(#wsapi_env.HTTP_X .. wsapi_env.OWN .. wsapi_env.A
          .. wsapi_env.LUAFCGID_VERSION .. wsapi_env.headers.A .. wsapi_env.APP_PATH)
        """,
        dialect,
        env={"A": "a", "SCRIPT_FILENAME": "/srv/www/app.lua"},
    )
    assert reply.text == "0ownaa/srv/www"


@every_dialect
@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ({}, "/"),
        ({"PATH_INFO": "/a"}, "/a"),
        ({"PATH_INFO": "/x.lua/a", "SCRIPT_NAME": "/x.lua"}, "/a"),
    ],
)
def test_path_info_begins_behind_the_script_and_is_never_empty(
    dialect: Dialect, sent: dict[str, str], seen: str
) -> None:
    assert (
        serve("return 200, {}, one(wsapi_env.PATH_INFO)", dialect, env=sent).text
        == seen
    )


@every_dialect
@pytest.mark.parametrize("pulled", [False, True])
def test_input_is_read_in_pieces_or_whole_and_then_is_nil(
    dialect: Dialect, pulled: bool
) -> None:
    reply = serve(
        """
        local input = wsapi_env.input
        local a, b = input:read(2), input:read()
        return 200, {}, one(a .. "," .. b .. "," .. input.length
          .. tostring(input:read()) .. tostring(input:read(0)))
        """,
        dialect,
        b"hello",
        pulled=pulled,
    )
    assert reply.text == "he,llo,5nilnil"


@every_dialect
def test_what_fills_the_environment_cannot_be_reached(dialect: Dialect) -> None:
    code = "return 200, {}, one(tostring(getmetatable(wsapi_env)))"
    assert serve(code, dialect).text == "false"


@every_dialect
def test_error_writes_to_the_log(dialect: Dialect) -> None:
    reply = serve("wsapi_env.error:write('a', 1, '\\n') return 200, {}", dialect)
    assert reply.log == [("error", "a1")]


# ---- the reply -----------------------------------------------------------------------


@every_dialect
@pytest.mark.parametrize(
    ("status", "line"),
    [
        ("200", "200 OK"),
        ("'404'", "404 Not Found"),
        ("308", "308 Permanent Redirect"),
        ("422", "422 Unprocessable Content"),
        ("429", "429 Too Many Requests"),
        ("'200 Ok'", "200 Ok"),
        ("404.0", "404 Not Found"),
        ("599", "599 Status"),
    ],
)
def test_every_status_is_sent(dialect: Dialect, status: str, line: str) -> None:
    assert serve(f"return {status}, {{}}", dialect).headers[0] == f"Status: {line}"


@every_dialect
@pytest.mark.parametrize(
    ("results", "message"),
    [
        ("99, {}", "'99' is no status of a reply"),
        ("{}, {}", "must be a status, not a table value"),
        ("", "the first result of run(wsapi_env) must be a status, not nil"),
        ("200, {}, {}", "must be an iterator or a text, not a table value"),
        ("200, 'x'", "the second result of run(wsapi_env) must be a table of headers"),
        ("200, { ['a b'] = '1' }", "'a b' is no header name"),
        ("200, { A = 'x\\r\\nB: y' }", "line break"),
    ],
)
def test_results_that_are_no_reply_are_errors(
    dialect: Dialect, results: str, message: str
) -> None:
    assert message in serve(f"return {results}", dialect).failure.message


@every_dialect
def test_a_header_may_have_several_values_of_any_type(dialect: Dialect) -> None:
    reply = serve(
        "return 200, { ['Set-Cookie'] = { 'a=1', 'b=2' }, ['X-N'] = 5,"
        " ['Content-Type'] = 'text/plain' }",
        dialect,
    )
    assert reply.headers[1:] == [
        "Content-Type: text/plain",
        "X-Powered-By: Lua",
        "Set-Cookie: a=1",
        "Set-Cookie: b=2",
        "X-N: 5",
    ]


@every_dialect
def test_each_piece_is_sent_when_it_comes(dialect: Dialect) -> None:
    reply = serve(
        """
        local n = 0
        return 200, {}, function() n = n + 1 if n < 3 then return "piece" .. n end end
        """,
        dialect,
    )
    assert reply.operations == [Op.FLUSH, Op.FLUSH, Op.DONE]
    assert [step[2] for step in reply.steps[:2]] == [b"piece1", b"piece2"]


@every_dialect
def test_a_reply_with_a_length_is_collected(dialect: Dialect) -> None:
    reply = serve("return 200, { ['Content-Length'] = 4 }, one('text')", dialect)
    assert reply.operations == [Op.DONE]
    assert "Content-Length: 4" in reply.headers


@every_dialect
def test_pieces_may_wait_and_read(dialect: Dialect) -> None:
    script = Script(
        """
        local luafarm = require("luafarm")
        return function(wsapi_env)
          return 200, {}, coroutine.wrap(function()
            for n = 1, 2 do
              luafarm.sleep(0.1)
              coroutine.yield(n .. wsapi_env.input:read(1))
            end
          end)
        end
        """,
        dialect,
    )
    assert script.run(params(CONTENT_LENGTH="2"), b"ab").text == "1a2b"


@every_dialect
def test_an_error_before_the_first_piece_is_a_page_and_leaves_the_state(
    dialect: Dialect,
) -> None:
    script = Script(
        """
        local n = 0
        return function()
          n = n + 1
          if n == 1 then error("one") end
          return 200, {}, nil
        end
        """,
        dialect,
    )
    assert script.run().failure.message == "/srv/www/page.lua:5: one"
    assert script.run().text == ""


def test_a_program_that_never_ends_its_body_is_stopped() -> None:
    script = Script(
        "return function() return 200, {}, function() return 'x' end end",
        limits=StateLimits(reply_bytes=1000),
    )
    assert script.run().failure.budget == "reply"


# ---- programs in the style of frameworks that stand on it ----------------------------

ORBIT = """
  local function new()
    local app = { routes = {} }
    function app:dispatch_get(f, pattern) table.insert(self.routes, { pattern, f }) end
    app.run = function(wsapi_env)
      for _, route in ipairs(app.routes) do
        local captures = { string.match(wsapi_env.PATH_INFO, "^" .. route[1] .. "$") }
        if captures[1] then
          local web = { headers = {}, status = "200 Ok" }
          local body = route[2](web, captures[1])
          return web.status, web.headers, one(body)
        end
      end
      return 404, {}, one("none")
    end
    return app
  end
  return { new = new }
"""


@every_dialect
def test_an_application_object_that_dispatches_by_path(dialect: Dialect) -> None:
    script = Script(
        """
        local app = require("small_orbit").new()
        app:dispatch_get(function(web, name) return "Hello " .. name end, "/say/(%a+)")
        return app
        """,
        dialect,
        modules={"small_orbit": ONE + ORBIT},
    )
    assert script.run(params(PATH_INFO="/say/you")).text == "Hello you"
    assert script.run(params(PATH_INFO="/")).headers[0] == "Status: 404 Not Found"
