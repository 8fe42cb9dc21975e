"""LuaState as its host uses it: order of calls, shapes of steps, freeing."""

import gc

import pytest

from luafarm.dialects import UNSOUND, Dialect
from tests.vmhost.states import EVERY, Op, every_dialect, params
from vmhost.host.services.table import OPERATIONS
from vmhost.lua.limits import StateLimits
from vmhost.lua.state import MESSAGE_BYTES, LuaState, prepare

HELLO = b"function main(env, con) con:puts('Hello World') end"
ASK = b"""
local luafarm = require "luafarm"
function main(env, con)
  if env.FLUSH then con:puts("a") con:flush()
  elseif env.READ then con:gets()
  elseif env.REQUIRE then require "x"
  elseif env.CHUNK then dofile "x"
  elseif env.FILE then luafarm.read("x")
  elseif env.SLEEP then luafarm.sleep(1)
  elseif env.ERROR then error("x") end
end
"""


def state(dialect: Dialect = Dialect.LUAJIT21, source: bytes = HELLO) -> LuaState:
    made = LuaState(dialect, StateLimits(), OPERATIONS, trusted=dialect in UNSOUND)
    assert made.load(source, b"/p.lua")[0] == Op.DONE
    return made


@every_dialect
def test_hello(dialect: Dialect) -> None:
    assert state(dialect).run(b"", b"") == (
        Op.DONE,
        b"Status: 200 OK\r\nContent-Type: text/html\r\nX-Powered-By: Lua",
        b"Hello World",
        b"",
    )


@every_dialect
@pytest.mark.parametrize(
    "op", ["FLUSH", "READ", "REQUIRE", "CHUNK", "FILE", "SLEEP", "ERROR"]
)
def test_every_step_has_its_shape(dialect: Dialect, op: str) -> None:
    step = state(dialect, ASK).run(params(**{op: "1"}), None, 5)
    assert step[0] == Op[op]
    assert tuple(map(type, step)) == OPERATIONS.steps[step[0]]


@pytest.mark.parametrize(
    ("op", "answer"),
    [
        ("FLUSH", ()), ("FLUSH", (1,)), ("READ", ("text",)), ("READ", (None,)),
        ("READ", (b"", b"")), ("REQUIRE", (True, b"")), ("CHUNK", (b"", b"", b"")),
        ("FILE", (True,)), ("FILE", (True, "text")), ("SLEEP", ()), ("SLEEP", (None,)),
    ],
)  # fmt: skip
def test_answers_of_another_shape_never_get_into_lua(
    op: str, answer: tuple[bytes, ...]
) -> None:
    waiting = state(Dialect.LUAJIT21, ASK)
    waiting.run(params(**{op: "1"}), None, 5)
    with pytest.raises(AssertionError, match="answer of wrong shape"):
        waiting.resume(*answer)


def test_a_state_is_entered_in_order_only() -> None:
    idle = state(Dialect.LUAJIT21, ASK)
    with pytest.raises(AssertionError, match="does not wait"):
        idle.resume(True)
    with pytest.raises(AssertionError, match="does not wait"):
        idle.cancel()
    idle.run(params(SLEEP="1"), b"")
    with pytest.raises(AssertionError, match="waits or must close"):
        idle.run(b"", b"")
    with pytest.raises(AssertionError, match="waits or must close"):
        idle.shutdown()
    assert idle.resume(True)[0] == Op.DONE
    assert idle.run(b"", b"")[0] == Op.DONE


def test_a_state_that_must_close_is_not_entered() -> None:
    stopped = LuaState(Dialect.LUAJIT21, StateLimits(cpu_s=0.01), OPERATIONS)
    stopped.load(b"function main() while true do end end", b"/p.lua")
    assert stopped.run(b"", b"")[7] is True
    assert stopped.must_close == "cpu"
    with pytest.raises(AssertionError, match="waits or must close"):
        stopped.run(b"", b"")
    stopped.close()
    stopped.close()
    assert stopped.must_close == "cpu"


def test_a_closed_state_is_not_entered() -> None:
    closed = state()
    closed.close()
    assert closed.must_close == "closed"
    with pytest.raises(AssertionError, match="waits or must close"):
        closed.run(b"", b"")


@every_dialect
def test_a_state_that_waits_can_be_closed(dialect: Dialect) -> None:
    waiting = state(dialect, ASK)
    assert waiting.run(params(SLEEP="1"), b"")[0] == Op.SLEEP
    waiting.close()


@every_dialect
def test_states_are_freed(dialect: Dialect) -> None:
    for _ in range(50):
        freed = state(dialect)
        freed.run(params(A="x" * 1000), b"y" * MESSAGE_BYTES)
        freed.close()
    gc.collect()


def test_memory_is_told_and_falls_when_garbage_goes() -> None:
    source = b"""
      function main(env, con)
        keep = env.KEEP and ("x"):rep(1e6) .. "y"
        collectgarbage()
      end
    """
    told = state(Dialect.LUA54, source)
    before = told.memory_bytes
    told.run(params(KEEP="1"), b"")
    assert told.memory_bytes > before + 900_000
    told.run(b"", b"")
    assert told.memory_bytes < before + 100_000


@every_dialect
def test_memory_does_not_grow_with_requests(dialect: Dialect) -> None:
    source = b"""
      function main(env, con)
        con:header("X-A", env.A) con:puts(env.A) print(env.A)
        coroutine.wrap(function() con:puts("x") end)()
        if env.B then error({}) end
      end
    """
    steady = state(dialect, source)
    for _ in range(200):
        steady.run(params(A="a" * 1000), b"")
        steady.run(params(A="a", B="1"), b"")
    before = steady.memory_bytes
    for number in range(2000):
        steady.run(params(A="a" * 500 + str(number)), b"")
        steady.run(params(A="a", B=str(number)), b"")
    assert steady.memory_bytes < before + 1_000_000


def test_a_prepared_dialect_makes_states_without_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepare(Dialect.LUA54, OPERATIONS)
    monkeypatch.setattr("vmhost.lua.prelude.files", None)
    assert state(Dialect.LUA54).run(b"", b"")[2] == b"Hello World"


def test_every_dialect_has_its_own_code() -> None:
    preludes = {prepare(dialect, OPERATIONS).prelude for dialect in EVERY}
    assert len(preludes) == len(EVERY)


def test_the_prelude_works_while_the_real_globals_are_empty() -> None:
    for dialect in (Dialect.LUA52, Dialect.LUA54, Dialect.LUAJIT21):
        script = state(
            dialect,
            b"""
            package.searchers = { (package.searchers or package.loaders)[3] }
            package.loaders = package.searchers  -- nobody answers for files here
            local json, luafcgid = require "json", require "luafcgid"
            local luafarm = require "luafarm"
            local md5, base64 = require "md5", require "base64"
            function main(env, con)
              con:header{ A = "b" } con:cookie("a", "b", 1, "/", "d") con:status(404)
              con:puts(json.encode(json.decode('{"a":[1,"\\\\u00e9"]}')))
              con:puts(luafcgid.serialize(luafcgid.parse("a=b&a=c")))
              con:puts(luafarm.escape_html(luafarm.urlencode("<&>")))
              con:puts(base64.decode(base64.encode(md5.sum("x"))))
              con:parse("a=b") con:log("x") con:reset() con:puts(con:gets())
              print(math.random(), os.date(), os.clock(), ("x"):rep(3))
            end
            """,
        )
        assert script.run(params(A="1"), b"body")[2] == b"body"
