"""What a script may use: CPU, memory, reply; and that no trick gets it more."""

import pytest

from luafarm.dialects import Dialect
from tests.vmhost.states import (
    Op,
    Script,
    attack_on_every_sandboxed_dialect,
    every_dialect,
    every_sandboxed_dialect,
    params,
)
from vmhost.host.services.table import OPERATIONS
from vmhost.lua.limits import StateLimits
from vmhost.lua.state import RESERVE_BYTES, LuaState

pytestmark = pytest.mark.long

SHORT = StateLimits(cpu_s=0.02, load_cpu_s=0.02)

LOOPS = {
    "while": "while true do end",
    "pcall": "while true do pcall(function() while true do end end) end",
    "pcall tree": (
        "local function f() pcall(f) pcall(f) end f() while true do pcall(f) end"
    ),
    "xpcall": (
        "while true do xpcall(function() while true do end end, function() end) end"
    ),
    "xpcall handler": (
        "xpcall(error, function() while true do end end) while true do end"
    ),
    "coroutine": "coroutine.wrap(function() while true do end end)() while true do end",
    "coroutines": (
        "while true do coroutine.resume(coroutine.create(function()"
        " while true do end end)) end"
    ),
    "coroutine tree": (
        "local function f() pcall(coroutine.wrap(f)) pcall(coroutine.wrap(f)) end"
        " while true do f() end"
    ),
    "recursion": "local function f() return f() end f()",
    "metamethod": (
        "local t = setmetatable({}, { __index = function(t, k) return t[k + 1] end })"
        " while true do pcall(function() return t[1] end) end"
    ),
    "gsub callback": (
        "while true do pcall(string.gsub, ('x'):rep(1000), 'x', function()"
        " while true do end end) end"
    ),
    "sort callback": (
        "while true do pcall(table.sort, { 3, 2, 1 }, function()"
        " while true do end end) end"
    ),
    "tostring": (
        "while true do pcall(tostring, setmetatable({}, { __tostring = function()"
        " while true do end end })) end"
    ),
    "load reader": "while true do pcall(load, function() while true do end end) end",
    "module": "while true do pcall(require, 'none') end",
    "loader": "package.preload.x = function() while true do end end require 'x'",
    "string building": (
        "while true do local s = '' for i = 1, 100 do s = s .. i end end"
    ),
    "error object": (
        "error(setmetatable({}, { __tostring = function() while true do end end }))"
    ),
    "collect": "while true do collectgarbage() end",
    "operations": (
        "local luafarm = require 'luafarm' while true do pcall(luafarm.now) end"
    ),
    "digests": (
        "local md5 = require 'md5' while true do md5.digest(('x'):rep(1000)) end"
    ),
}


@attack_on_every_sandboxed_dialect
@pytest.mark.parametrize("loop", LOOPS)
def test_the_cpu_budget_stops(dialect: Dialect, loop: str) -> None:
    script = Script(f"function main(env, con) {LOOPS[loop]} end", dialect, limits=SHORT)
    failure = script.run().failure
    assert (failure.kind, failure.budget) == ("Budget Exceeded", "cpu")
    assert failure.message == "CPU time of 0.02 s used up"
    assert script.state.must_close == "cpu"


@pytest.mark.parametrize("dialect", [Dialect.LUA51])
@pytest.mark.parametrize("loop", ["while", "pcall", "coroutines", "coroutine tree"])
def test_the_cpu_budget_stops_in_trusted_pools_as_well(
    dialect: Dialect, loop: str
) -> None:
    script = Script(f"function main() {LOOPS[loop]} end", dialect, limits=SHORT)
    assert script.run().failure.budget == "cpu"


@pytest.mark.parametrize("dialect", [Dialect.LUA54, Dialect.LUA55])
def test_the_cpu_budget_stops_closing_variables(dialect: Dialect) -> None:
    loop = "setmetatable({}, { __close = function() while true do end end })"
    for code in (
        f"local x <close> = {loop}",
        f"local x <close> = {loop} error('x')",
        f"local co = coroutine.create(function() local x <close> = {loop}"
        " coroutine.yield() end) coroutine.resume(co) coroutine.close(co)",
        f"for i = 1, 1e9 do pcall(function() local x <close> = {loop} end) end",
    ):
        script = Script(f"function main() {code} end", dialect, limits=SHORT)
        assert script.run().failure.budget == "cpu", code


@attack_on_every_sandboxed_dialect
def test_loading_has_a_budget_of_its_own(dialect: Dialect) -> None:
    limits = StateLimits(cpu_s=60.0, load_cpu_s=0.05)
    for source in (
        "while true do end",
        "function main() end function startup() while true do end end",
    ):
        script = Script(source, dialect, limits=limits)
        assert script.loaded.failure.budget == "cpu"


@every_sandboxed_dialect
def test_the_stop_names_the_line(dialect: Dialect) -> None:
    source = "function main()\n local n = 0\n while true do\n n = n + 1\n end end"
    failure = Script(source, dialect, limits=SHORT).run().failure
    assert failure.file == "/srv/www/page.lua"
    assert failure.line in (3, 4)


@every_sandboxed_dialect
def test_each_request_has_the_whole_budget(dialect: Dialect) -> None:
    limits = StateLimits(cpu_s=0.4)
    source = "function main(env, con) local n = 0 for i = 1, 4e5 do n = n + i end end"
    script = Script(source, dialect, limits=limits)
    for _ in range(40):
        assert script.run().error is None


DEEP = """
  -- Go down until nothing but the work below fits the stack, then work there for ever.
  function main(env, con)
    local work = function() local n = 0 while true do n = n + 1 end end
    local function dive()
      local ok, message = pcall(DIVE)
      while true do pcall(work) end
    end
    while true do pcall(dive) end
  end
"""


@attack_on_every_sandboxed_dialect
@pytest.mark.parametrize(
    "dive",
    [
        "dive",
        "function() return setmetatable({}, { __index = dive }).x end",
        "coroutine.wrap(dive)",
        "function() local _ = ('x'):gsub('x', dive) end",
        "function() return 1 + dive() end",
        "function() local function f(n) if n == 0 then return dive() end"
        " return 1 + f(n - 1) end return f(100) end",
    ],
)
def test_the_cpu_budget_stops_at_the_end_of_the_stack(
    dialect: Dialect, dive: str
) -> None:
    limits = StateLimits(cpu_s=0.05, memory_bytes=256 << 20)
    script = Script(DEEP.replace("DIVE", dive), dialect, limits=limits)
    assert script.run().failure.budget == "cpu"


# ---- memory --------------------------------------------------------------------------

SMALL = StateLimits(memory_bytes=2 << 20, cpu_s=60.0)

FILLERS = {
    "strings": "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end",
    "one string": "local s = 'x' while true do s = s .. s end",
    "rep": "local t = {} while true do t[#t + 1] = ('x'):rep(2^20) .. #t end",
    "table": "local t = {} for i = 1, 1e9 do t[i] = i end",
    "hash": "local t = {} for i = 1, 1e9 do t['k' .. i] = i end",
    "closures": "local t = {} for i = 1, 1e9 do t[i] = function() return t, i end end",
    "coroutines": "local t = {} for i = 1, 1e9 do t[i] = coroutine.create(print) end",
    "recursion": "local function f(...) return 1 + f(1, 2, 3, ...) end f()",
    "concat": "local t = {} for i = 1, 1e4 do t[i] = ('x'):rep(1000) end"
    " while true do t[1] = table.concat(t) end",
    "gsub": "local s = 'x' while true do s = s:gsub('.', '%0%0') end",
    "format": "local s = 'x' while true do s = ('%s%s'):format(s, s) end",
    "load": "local s = 'x = 1 ' while true do s = s .. s load(s) end",
    "unpack": "local u, t = table.unpack or unpack, {} for i = 1, 7000 do t[i] = i end"
    " local all = {} while true do all[#all + 1] = { u(t) } end",
    "puts": "for i = 1, 1e9 do con:puts(('x'):rep(1000) .. i) end",
    "upvalues": "function f() end for i = 1, 1e9 do _G['g' .. i] = i end",
    "metatables": "local t = {} for i = 1, 1e9 do t[i] = setmetatable({}, {}) end",
}


@attack_on_every_sandboxed_dialect
@pytest.mark.parametrize("filler", FILLERS)
def test_the_memory_quota_holds(dialect: Dialect, filler: str) -> None:
    script = Script(
        f"function main(env, con) {FILLERS[filler]} end",
        dialect,
        limits=StateLimits(memory_bytes=2 << 20, cpu_s=60.0, part_bytes=1 << 30),
    )
    reply = script.run()
    assert (
        reply.failure.kind == "Memory Error"
        or "overflow" in reply.failure.message
        or ("too large" in reply.failure.message)
    ), reply.failure
    assert script.state.memory_bytes <= (2 << 20) + RESERVE_BYTES


@attack_on_every_sandboxed_dialect
@pytest.mark.parametrize(
    "filler", ["strings", "table", "hash", "closures", "coroutines"]
)
def test_a_script_that_catches_memory_errors_is_served_or_closed(
    dialect: Dialect, filler: str
) -> None:
    source = """
      keep = {}
      function main(env, con)
        for i = 1, 6 do
          local ok, message = pcall(function()
            FILL
          end)
          if env.KEEP then keep[i] = message end
        end
        con:puts("survived")
      end
    """.replace("FILL", FILLERS[filler])
    script = Script(source, dialect, limits=SMALL)
    for _ in range(2):
        reply = script.run()
        assert reply.error or reply.text == "survived"
        if script.state.must_close:
            assert script.state.must_close == "memory"
            break


@every_sandboxed_dialect
def test_a_state_may_use_most_of_its_quota_and_make_garbage(dialect: Dialect) -> None:
    source = """
      keep = {}
      function main(env, con)
        for i = 1, 3000 do keep[i] = ("k"):rep(950) .. i end  -- 3 MB of 4 MiB
        local bytes = 0
        for i = 1, 5000 do
          local s = ("x"):rep(4000) .. i
          bytes = bytes + #s
        end
        con:puts(bytes)
      end
    """
    limits = StateLimits(memory_bytes=4 << 20, cpu_s=60.0)
    script = Script(source, dialect, limits=limits)
    assert script.run().text == "20018893"
    assert script.run().text == "20018893"
    assert script.state.must_close == ""


@attack_on_every_sandboxed_dialect
def test_a_state_that_stays_full_must_close(dialect: Dialect) -> None:
    source = """
      keep = {}
      function main(env, con)
        pcall(function() for i = 1, 1e9 do keep[i] = ("x"):rep(1000) .. i end end)
        con:puts("full")
      end
    """
    script = Script(source, dialect, limits=SMALL)
    script.run()
    assert script.state.must_close == "memory"
    script.state.close()


@attack_on_every_sandboxed_dialect
def test_a_full_state_that_waits_for_an_answer_does_not_harm_the_process(
    dialect: Dialect,
) -> None:
    source = """
      local luafarm = require "luafarm"
      function main(env, con)
        local keep = {}
        pcall(function() for i = 1, 1e9 do keep[i] = ("x"):rep(100) .. i end end)
        pcall(function() for i = 1, 1e9 do keep[#keep + 1] = {} end end)
        con:puts(tostring(luafarm.read("file")))
      end
    """
    for size in (10, 1000, 100_000, 1_000_000):
        script = Script(source, dialect, limits=SMALL, files={"file": "x" * size})
        failure = script.run().failure
        assert (failure.kind, failure.budget) == ("Memory Error", "memory")


@attack_on_every_sandboxed_dialect
def test_full_states_never_abort_the_process_whatever_is_done_with_them(
    dialect: Dialect,
) -> None:
    source = b"""
      local luafarm, md5, keep = require "luafarm", require "md5", {}
      function main(env, con)
        local size = tonumber(env.SIZE)
        pcall(function()
          while true do keep[#keep + 1] = ("x"):rep(size) .. #keep end
        end)
        pcall(function() while true do keep[#keep + 1] = {} end end)
        for i = 1, 20 do
          pcall(con.puts, con, ("y"):rep(10) .. i)
          pcall(con.header, con, "X-A", i)
          pcall(print, i)
          pcall(luafarm.now)
          pcall(md5.digest, "x" .. i)
          pcall(coroutine.wrap(function() pcall(md5.digest, "z" .. i) end))
          pcall(require, "json")
        end
        error({})
      end
      function shutdown() error("x") end
    """
    for size in (1, 7, 40, 100, 1000, 30000):
        state = LuaState(
            dialect, StateLimits(memory_bytes=1 << 20, cpu_s=60.0), OPERATIONS
        )
        assert state.load(source, b"/p.lua")[0] == Op.REQUIRE  # an md5 of its own
        assert state.resume(False, b"no file", b"")[0] == Op.DONE
        for _ in range(3):
            if state.must_close:
                break
            step = state.run(params(SIZE=str(size)), b"body")
            while step[0] > Op.ERROR:
                step = state.cancel()
        state.close()


@every_dialect
def test_messages_larger_than_the_reserve_get_in(dialect: Dialect) -> None:
    script = Script(
        "function main(env, con) con:puts(#con:gets() .. ' ' .. #env.BIG) end", dialect
    )
    blob = params(BIG="p" * 3_000_000)
    assert script.run(blob, body=b"x" * 5_000_000).text == "5000000 3000000"
    assert script.run(params(BIG=""), body=b"x").text == "1 0"


@every_dialect
def test_a_large_source_loads(dialect: Dialect) -> None:
    source = "function main(env, con) con:puts(#s) end s = '" + "x" * 4_000_000 + "'"
    assert Script(source, dialect).run().text == "4000000"


# ---- reply ---------------------------------------------------------------------------


@attack_on_every_sandboxed_dialect
@pytest.mark.parametrize("puts", ["con:puts(text)", "pcall(con.puts, con, text)"])
def test_the_reply_budget_stops(dialect: Dialect, puts: str) -> None:
    source = (
        "function main(env, con) local text = ('x'):rep(1000)"
        f" while true do {puts} end end"
    )
    limits = StateLimits(reply_bytes=100_000, part_bytes=10_000)
    script = Script(source, dialect, limits=limits)
    reply = script.run()
    assert (reply.failure.kind, reply.failure.budget) == ("Budget Exceeded", "reply")
    assert reply.failure.message == "reply of more than 100000 bytes"
    assert len(reply.body) <= 100_000
    assert script.state.must_close == "reply"


def test_a_reply_of_exactly_the_budget_is_served() -> None:
    source = "function main(env, con) con:puts(('x'):rep(1000)) end"
    assert len(Script(source, limits=StateLimits(reply_bytes=1000)).run().body) == 1000
    failure = Script(source, limits=StateLimits(reply_bytes=999)).run().failure
    assert failure.budget == "reply"


def test_what_was_reset_does_not_count() -> None:
    source = """
      function main(env, con)
        for i = 1, 100 do con:puts(('x'):rep(500)) con:reset() end
        con:puts("end")
      end
    """
    assert Script(source, limits=StateLimits(reply_bytes=1000)).run().text == "end"
