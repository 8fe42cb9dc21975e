"""However a request ends, the next one finds its state as if it were new."""

from dataclasses import replace
from typing import Final

import pytest

from luafarm.dialects import Dialect
from tests.vmhost.states import Op, Script, every_dialect, params
from vmhost.lua.limits import StateLimits
from vmhost.lua.operation import Step

LIMITS: Final = StateLimits(
    memory_bytes=4 << 20,
    cpu_s=20.0,
    reply_bytes=20_000,
    part_bytes=6_000,
    head_bytes=2_000,
    log_lines=20,
    log_bytes=1_000,
)
MODULES: Final = {
    "good": "return 'a module'",
    "bad": "error('of a module')",
    "circle": "return require 'circle'",
    "waits": "require('luafarm').sleep(1) return 'waited'",
}

SCRIPT: Final = """
local luafarm = require "luafarm"
local kept = {}

local function fail(env, con)
  %s
end

-- Whatever a request can see of what belongs to it, to the limits.
local function probe(env, con)
  local seen = {}
  local function see(...)
    for i = 1, select("#", ...) do seen[#seen + 1] = tostring((select(i, ...))) end
  end
  see(env.QUERY_STRING, env.REQUEST_METHOD, env.WAY)
  local names = {}
  for name, value in pairs(env) do names[#names + 1] = name .. "=" .. value end
  table.sort(names)
  see(table.concat(names, ","))
  see(con:read(3), con:gets(), con:read(), luafarm.data(4), luafarm.data())
  local headers = 0
  while pcall(con.header, con, "X-Filler", ("f"):rep(40)) do headers = headers + 1 end
  see(headers, select(2, pcall(con.cookie, con, "name", "value")))
  con:status(201)
  see(pcall(require, "bad"))
  see(pcall(require, "good"))
  see(pcall(require, "circle"))
  local function nest(n)
    local ok, deeper = pcall(nest, n + 1)
    return ok and deeper or n
  end
  see(nest(1))
  local function chain(n)
    local ok, deeper = coroutine.resume(coroutine.create(chain), n + 1)
    return ok and deeper or n
  end
  see(chain(1))
  see(pcall(coroutine.yield, 1))
  local thread, is_main = coroutine.running()
  see(type(thread), is_main)
  see(coroutine.wrap(function() return type((coroutine.running())) end)())
  for i = 1, 25 do print("line " .. i) end
  con:puts("dropped")
  con:reset()
  con:puts(table.concat(seen, "\\n"))
  con:flush()
  con:puts(("b"):rep(4000))
  con:puts(("b"):rep(4000))
  con:header("X-Late", "is ignored")
  con:puts("the end")
end

function main(env, con)
  if env.WAY then fail(env, con) else probe(env, con) end
end
"""

WAYS: Final = {
    "an end": "con:puts('a')",
    "an end without a body": "con:status(404)",
    "an end in pieces": "con:puts('a') con:puts('b') print('c')",
    "an error": "error('a')",
    "an error of no text": "error({})",
    "an error of nothing": "error()",
    "an error after everything": """
        con:status(404) con:header("Content-Type", "a/b") con:header("Location", "/x")
        con:cookie("a", "b") con:puts("a") con:puts("b") print("c") con:gets()
        error("late")
    """,
    "an error after a flush": "con:puts('a') con:flush() con:puts('b') error('c')",
    "an error whose text fails": """
        error(setmetatable({}, { __tostring = function()
          con:puts('a') print('b') error('c')
        end }))
    """,
    "an error whose text waits": """
        error(setmetatable({}, { __tostring = function()
          con:puts('a') con:flush() luafarm.sleep(1) return 'c'
        end }))
    """,
    "an error in a callback": "return ('a'):gsub('.', function() error('b') end)",
    "a caught error in a callback": """
        for i = 1, 300 do pcall(string.gsub, 'a', '.', function() error('b') end) end
    """,
    "an error in a metamethod": """
        local t = setmetatable({}, { __index = function() error('a') end })
        return t.x
    """,
    "an error in a comparison": "table.sort({ 3, 2, 1 }, function() error('a') end)",
    "an error in an error handler": "xpcall(error, function() error('a') end)",
    "errors deep in coroutines": """
        coroutine.wrap(function()
          coroutine.wrap(function() pcall(error) error('a') end)()
        end)()
    """,
    "a value too long for Location": """
        pcall(con.header, con, "Location", "/next?" .. ("q"):rep(7200))
    """,
    "values too long": """
        for _, name in ipairs { "Status", "Content-Type", "Location", "X-A" } do
          for i = 1, 9 do pcall(con.header, con, name, ("404 "):rep(2000)) end
        end
        pcall(con.cookie, con, "a", ("q"):rep(7200))
        pcall(con.header, con, "X-A: " .. ("q"):rep(7200))
        pcall(con.header, con, { ["X-A"] = { "a", ("q"):rep(7200) } })
        con:puts("fine")
    """,
    "a value too long and an error": "con:header('X-A', ('q'):rep(7200))",
    "headers to the limit": "while true do con:header('X-A', 'b') end",
    "what is no header": """
        pcall(con.header, con, "X-A", "a\\nb") pcall(con.header, con, "X A", "b")
        pcall(con.status, con, "none") pcall(con.header, con, "X: 1\\r\\nnone")
        pcall(con.header, con, {}) pcall(con.header, con, { X = print })
    """,
    "a log to the limit": "for i = 1, 100 do print(('l'):rep(i)) end",
    "a log to the limit and an error": """
        for i = 1, 100 do luafarm.log("error", ("l"):rep(i)) end
        error("a")
    """,
    "a log that cannot be sent": """
        return ("a"):gsub(".", function() print("b") con:puts("c") con:flush() end)
    """,
    "half of the body read": "con:read(2) error('a')",
    "half of the data read": "luafarm.data(2)",
    "a body that cannot be read here": """
        return ("a"):gsub(".", function() con:gets() end)
    """,
    "a module that fails": "require 'bad'",
    "a module that fails and is caught": "pcall(require, 'bad')",
    "a module that waits": "require 'waits'",
    "a module that requires itself": "require 'circle'",
    "a module that is not there": "require 'none'",
    "a module of ours": "require 'json' error('a')",
    "parameters changed": """
        env.QUERY_STRING = "mine" env.NEW = 1 env.REQUEST_METHOD = nil
        pcall(function() env[nil] = 1 end)
        for name in pairs(env) do env[name] = nil end
    """,
    "a coroutine left over": """
        kept.co = coroutine.create(function() con:puts("a") coroutine.yield() end)
        coroutine.resume(kept.co)
    """,
    "coroutines left over in protected calls": """
        for i = 1, 50 do
          kept[i] = coroutine.wrap(function()
            pcall(pcall, function() coroutine.yield(i) error("a") end)
          end)
          kept[i]()
        end
    """,
    "a coroutine left over while it waits": """
        kept.co = coroutine.wrap(function()
          pcall(function() con:puts("a") con:flush() end)
          con:read()
        end)
        kept.co()
    """,
    "waiting in a deep place": """
        local function deep(n)
          if n == 0 then con:puts("a") print("b") con:flush() luafarm.sleep(1) end
          pcall(coroutine.wrap(function() deep(n - 1) end))
        end
        con:header("X-A", "b")
        deep(20)
    """,
    "recursion without end": "local function f() return 1 + f() end f()",
    "protected recursion without end": "local function f() pcall(f) error('a') end f()",
    "coroutines without end": """
        local function f() coroutine.wrap(f)() end
        f()
    """,
    "memory used up": """
        local t = {} while true do t[#t + 1] = ('m'):rep(1000) .. #t end
    """,
    "memory used up and caught": """
        pcall(function()
          local t = {} while true do t[#t + 1] = ('m'):rep(1000) .. #t end
        end)
        con:puts("went on")
    """,
    "memory used up by the reply": """
        local t = {}
        pcall(function() for i = 1, 1e5 do t[i] = ("x"):rep(100) .. i end end)
        for i = 1, 1e5 do con:header("X-A", i) end
    """,
    "a reply over its budget": "for i = 1, 1000 do con:puts(('x'):rep(100)) end",
    "CPU time used up": "while true do end",
    "CPU time used up and caught": """
        while true do pcall(function() while true do end end) end
    """,
}

TO_BE_CLOSED: Final = {
    "an error with something to close": """
        local a <close> = setmetatable({}, { __close = function()
          con:puts("a") con:header("X-A", "b") print("c") pcall(error)
        end })
        con:puts("b")
        error("c")
    """,
    "an error with something that fails to close": """
        local a <close> = setmetatable({}, { __close = function()
          pcall(pcall, error) con:flush() error("d")
        end })
        luafarm.sleep(1)
        error("c")
    """,
    "waiting with something to close": """
        local a <close> = setmetatable({}, { __close = function()
          print("closed") pcall(con.puts, con, "a")
          pcall(coroutine.wrap(function() pcall(error) end))
          luafarm.sleep(1)
        end })
        luafarm.sleep(1)
    """,
    "waiting with something that takes for ever to close": """
        local a <close> = setmetatable({}, { __close = function()
          while true do end
        end })
        luafarm.sleep(1)
    """,
}

FIRST: Final = params(WAY="1", QUERY_STRING="first", REQUEST_METHOD="POST")
SECOND: Final = params(QUERY_STRING="second", REQUEST_METHOD="GET", OTHER="x")
QUICK: Final = (Dialect.LUAJIT21, Dialect.LUA55)


def cases() -> list[tuple[str, Dialect]]:
    """Return every way in two dialects, in the others but those that are slow."""
    found: list[tuple[str, Dialect]] = []
    for dialect in Dialect:
        for name in WAYS:
            is_slow = "used up" in name or "without end" in name
            if dialect in QUICK or not is_slow:
                found.append((name, dialect))
        if dialect in {Dialect.LUA54, Dialect.LUA55}:
            found += [(name, dialect) for name in TO_BE_CLOSED]
    return found


def code_of(name: str) -> str:
    return WAYS.get(name) or TO_BE_CLOSED[name]


def has_used_up(name: str) -> bool:
    """Say whether a budget may have ended it, and the state with it."""
    return any(word in name for word in ("used up", "over its budget", "for ever"))


def script(code: str, dialect: Dialect) -> Script:
    limits = LIMITS
    if "while true do end" in code:
        limits = replace(LIMITS, cpu_s=0.05)
    return Script(SCRIPT % code, dialect, limits=limits, modules=MODULES)


def second(of: Script, *, pulled: bool) -> list[Step]:
    """Return all that the probing request does, step by step."""
    body = b"the second body"
    return of.run(SECOND, body, pulled=pulled, data=b"the second file").steps


@pytest.fixture(scope="module")
def fresh() -> dict[tuple[Dialect, bool], list[Step]]:
    """Return what the probe does in a state of its own."""
    found: dict[tuple[Dialect, bool], list[Step]] = {}
    for dialect in Dialect:
        for pulled in (False, True):
            steps = second(script("", dialect), pulled=pulled)
            assert steps[-1][0] == Op.DONE, steps[-1]
            found[dialect, pulled] = steps
    return found


@pytest.mark.parametrize(("name", "dialect"), cases())
def test_a_request_finds_nothing_of_one_that_came_to_its_end(
    fresh: dict[tuple[Dialect, bool], list[Step]],
    name: str,
    dialect: Dialect,
) -> None:
    for pulled in (False, True):
        state = script(code_of(name), dialect)
        state.run(FIRST, b"the first body", pulled=pulled, data=b"the first file")
        if state.state.must_close:
            assert has_used_up(name)
            continue
        assert second(state, pulled=pulled) == fresh[dialect, pulled]


@pytest.mark.parametrize("answers", [0, 1, 2])
@pytest.mark.parametrize(("name", "dialect"), cases())
def test_a_request_finds_nothing_of_one_that_was_given_up(
    fresh: dict[tuple[Dialect, bool], list[Step]],
    name: str,
    dialect: Dialect,
    answers: int,
) -> None:
    if "used up" in name:
        return  # it waits for nothing
    state = script(code_of(name), dialect)
    step = state.state.run(FIRST, None, 14, 14)
    for _ in range(answers):
        if step[0] <= Op.ERROR:
            break
        answer = {Op.READ: (b"the",), Op.REQUIRE: (False, b"not there", b"")}
        step = state.state.resume(*answer.get(Op(step[0]), (True,)))
    if step[0] > Op.ERROR:
        ended = state.state.cancel()
        assert ended[0] == (Op.ERROR if state.state.must_close else Op.DONE)
    if state.state.must_close:
        assert has_used_up(name)
        return
    assert second(state, pulled=True) == fresh[dialect, True]


@every_dialect
@pytest.mark.parametrize(
    "call",
    [
        "con.header, con, 'Location', ('q'):rep(7200)",
        "con.header, con, 'Content-Type', ('q'):rep(7200)",
        "con.header, con, 'X-A', ('q'):rep(7200)",
        "con.header, con, 'X-A', 'a\\nb'",
        "con.status, con, 'none'",
        "con.status, con, '404 ' .. ('q'):rep(7200)",
        "con.cookie, con, 'a', ('q'):rep(7200)",
        "con.header, con, 'X-B: c\\nStatus: 500\\nLocation: /x\\nno line'",
        "con.header, con, 'X-B: c\\nStatus: 500\\nLocation: /x\\nX B: no name'",
        "con.header, con, { ['X-A'] = 'b', Status = '500', ['X-B'] = ('q'):rep(7200) }",
        "con.header, con, { Location = '/x', ['X-B'] = { 'a', {} } }",
    ],
)
def test_a_header_that_is_refused_changes_nothing(dialect: Dialect, call: str) -> None:
    source = """
    function main(env, con)
      con:status(404) con:header("Content-Type", "a/b") con:header("X-A", "before")
      for i = 1, 10 do assert(not pcall(%s)) end
      con:header("X-A", "after")
    end
    """
    assert Script(source % call, dialect).run().headers == [
        "Status: 404 Not Found",
        "Content-Type: a/b",
        "X-Powered-By: Lua",
        "X-A: before",
        "X-A: after",
    ]


@pytest.mark.parametrize("dialect", QUICK)
@pytest.mark.parametrize("limit", range(130, 180, 7))
def test_what_headers_take_is_what_is_sent(dialect: Dialect, limit: int) -> None:
    source = """
    function main(env, con)
      for i = 1, 50 do
        con:status(i % 2 == 0 and 404 or 200)
        con:header("Content-Type", i % 2 == 0 and "text/plain" or "a/b")
        con:header("Location", ("/"):rep(i % 9))
      end
      local size = 200
      while not pcall(con.header, con, "L", ("l"):rep(size)) do size = size - 1 end
    end
    """
    limits = StateLimits(head_bytes=limit)
    head = Script(source, dialect, limits=limits).run().head
    assert len(head) + len(b"\r\n") == limit


@every_dialect
@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("function handler() return told() end", "2"),
        ("function main(env, req) req:puts(told()) end", "2"),
        ("function main(env, con) con.puts(con, told()) end", "2"),
    ],
)
def test_handlers_of_all_years_begin_anew(
    dialect: Dialect, source: str, text: str
) -> None:
    told = """
    local count = 0
    function told()
      count = count + 1
      if count == 1 then return nil end
      return count
    end
    """
    script = Script(told + source, dialect)
    assert script.run().failure.kind == "Runtime Error"
    reply = script.run()
    assert reply.text == text
    assert reply.headers == [
        "Status: 200 OK",
        "Content-Type: text/html",
        "X-Powered-By: Lua",
    ]
