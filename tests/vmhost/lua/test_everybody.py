"""What people's own Lua and their libraries take for granted, in a sandboxed state."""

import pytest

from luafarm.dialects import Dialect
from tests.vmhost.states import (
    Script,
    attack_on_every_sandboxed_dialect,
    evaluate,
)

GUARANTEED = {
    "tables_are_told_apart_by_their_text": (
        """
        local out, seen = {}, {}
        local function walk(t)
          if seen[tostring(t)] then out[#out + 1] = "*" return end
          seen[tostring(t)] = true
          for _, v in ipairs(t) do
            if type(v) == "table" then walk(v) else out[#out + 1] = v end
          end
        end
        walk { 1, { 2 }, { 3, { 4 } } }
        return table.concat(out, ",")
        """,
        "1,2,3,4",
    ),
    "an_object_may_have_an_array_part": (
        """
        local Stack = {} Stack.__index = Stack
        function Stack:push(x) table.insert(self, x) return self end
        local s = setmetatable({}, Stack):push("a"):push("b")
        return #s .. " " .. table.concat(s, ",")
        """,
        "2 a,b",
    ),
    "a_traceback_is_a_handler": (
        """
        local ok, e = xpcall(function() error("boom", 0) end, debug.traceback)
        return tostring(ok) .. " " .. e:match("^[^\\n]*")
        """,
        "false boom",
    ),
    "a_number_names_a_chunk": (
        'return (loadstring or load)(("return ONE + 1"):gsub("ONE", "1"))()',
        "2",
    ),
    "classes_copy_their_finalizers": (
        "return type(setmetatable({}, { __gc = function() end }))",
        "table",
    ),
    "the_collector_takes_settings": (
        """
        for _, option in ipairs { "stop", "restart" } do collectgarbage(option) end
        pcall(collectgarbage, "setpause", 100) pcall(collectgarbage, "setstepmul", 200)
        return "ok"
        """,
        "ok",
    ),
    "strings_get_operators": (
        """
        getmetatable("").__mod = function(f, a) return f:format(a) end
        return ("%d!") % 3
        """,
        "3!",
    ),
    "the_locale_is_c": ('return os.setlocale("C")', "C"),
    "an_environment_is_set_by_joining_upvalues": (
        """
        local setfenv = setfenv or function(f, env)
          local i = 1
          while true do
            local name = debug.getupvalue(f, i)
            if name == "_ENV" then
              debug.upvaluejoin(f, i, function() return env end, 1)
              break
            elseif not name then break end
            i = i + 1
          end
          return f
        end
        return setfenv((loadstring or load)("return a"), { a = 3 })()
        """,
        "3",
    ),
    "a_coroutine_gives_no_more_results_than_its_function": (
        """
        local function n(...) return select("#", ...) end
        return n(coroutine.resume(coroutine.create(function() end)))
          .. " " .. n(coroutine.wrap(function() end)())
        """,
        "1 0",
    ),
}


@attack_on_every_sandboxed_dialect
@pytest.mark.parametrize("claim", GUARANTEED)
def test_people_take_for_granted_that(dialect: Dialect, claim: str) -> None:
    code, result = GUARANTEED[claim]
    assert evaluate(code, dialect) == result


@attack_on_every_sandboxed_dialect
def test_globals_may_be_watched_with_debug_getinfo(dialect: Dialect) -> None:
    source = """
      local mt = {} setmetatable(_G, mt)
      mt.__newindex = function(t, n, v)
        local w = debug.getinfo(2, "S").what
        if w ~= "main" and w ~= "C" then error("undeclared '" .. n .. "'", 2) end
        rawset(t, n, v)
      end
      function main(env, con) con:puts(tostring(pcall(function() typo = 1 end))) end
    """
    assert Script(source, dialect).run().text == "false"


@pytest.mark.parametrize("dialect", [Dialect.LUA52, Dialect.LUA53, Dialect.LUA54])
def test_math_is_as_distributions_build_it(dialect: Dialect) -> None:
    code = "return math.pow(2, 3) .. ' ' .. table.concat({ math.frexp(8) }, ' ')"
    power = "8" if dialect is Dialect.LUA52 else "8.0"
    assert evaluate(code, dialect) == f"{power} 0.5 4"


HIDDEN = [
    "debug.getupvalue(con.puts, 1)", "debug.getupvalue(pcall, 1)",
    "debug.setupvalue(print, 1, 1)", "debug.getupvalue(coroutine.wrap(print), 1)",
    "debug.getupvalue(string.find, 1)", "debug.getupvalue(require, 1)",
    "debug.getlocal(con.puts, 1)", "debug.getlocal(2, 1)", "debug.getlocal(3, 1)",
    "debug.getinfo(2, 'f').func", "debug.getinfo(3, 'f')",
    "debug.getmetatable(con)", "debug.getmetatable(env) or nil",
    "select(2, pcall(debug.getregistry)):match('^table')",
    "debug.getuservalue and debug.getuservalue(con)", "debug.gethook()",
    "select(2, pcall(debug.setmetatable, print, {})).x",
    "select(2, pcall(debug.setmetatable, nil, {})).x",
]  # fmt: skip


@attack_on_every_sandboxed_dialect
@pytest.mark.parametrize("expression", HIDDEN)
def test_debug_opens_nothing_of_ours(dialect: Dialect, expression: str) -> None:
    source = f"""
      function main(env, con)
        local value = {expression}
        con:puts(tostring(value))
      end
    """
    reply = Script(source, dialect).run()
    if reply.error is None:
        assert reply.text in ("nil", "false")
    else:
        assert "level out of range" in reply.failure.message


@attack_on_every_sandboxed_dialect
def test_no_loop_variable_gets_another_type(dialect: Dialect) -> None:
    code = """
      local kinds = {}
      for i = 1, 3 do
        local function f() return i end
        local function write() local t = {} return function() t = "text" end end
        pcall(debug.setupvalue, f, 1, {})
        for index = 1, 9 do pcall(debug.setlocal, 1, index, "text") end
        if debug.upvaluejoin then
          local g = write()
          pcall(debug.upvaluejoin, g, 1, f, 1)
          g()
        end
        kinds[#kinds + 1] = "round"
      end
      return "done"
    """
    script = Script(
        f"function main(env, con) con:puts((function() {code} end)()) end", dialect
    )
    reply = script.run()
    assert reply.error is not None or reply.text == "done"


@attack_on_every_sandboxed_dialect
def test_a_finalizer_that_is_false_at_first_never_runs(dialect: Dialect) -> None:
    code = """
      local ran, meta = false, { __gc = false }
      for i = 1, 10 do setmetatable({}, meta) end
      meta.__gc = function() ran = true end
      collectgarbage() collectgarbage()
      return tostring(ran)
    """
    assert evaluate(code, dialect) == "false"
