"""`os` of sandboxed scripts: polite refusals, and an exit that ends the request."""

import time

import pytest

from luafarm.dialects import Dialect
from tests.vmhost.lua.test_io import values
from tests.vmhost.states import (
    Script,
    attack_on_every_dialect,
    every_dialect,
    every_sandboxed_dialect,
    params,
)
from vmhost.lua.limits import StateLimits

RIGHT = {
    "os.remove('x')": "nil x: Read-only file system 30",
    "os.tmpname()": "nil Read-only file system 30",
    "os.execute('ls')": "nil ls: Operation not permitted 1",
    "os.getenv('PATH')": "nil",
    "select(2, pcall(function() os.remove() end))": (
        "/srv/www/page.lua:2: "
        "bad argument #1 to 'remove' (string expected, got no value)"
    ),
    "select(2, pcall(function() os.getenv({}) end))": (
        "/srv/www/page.lua:2: bad argument #1 to 'getenv' (string expected, got table)"
    ),
}


@every_sandboxed_dialect
@pytest.mark.parametrize("code", RIGHT)
def test_os_fails_as_stock_lua_does_where_everything_is_forbidden(
    dialect: Dialect, code: str
) -> None:
    assert values(code, dialect) == RIGHT[code]


@every_sandboxed_dialect
def test_what_the_dialects_say_differently_is_said_as_they_do(dialect: Dialect) -> None:
    is_old = dialect is Dialect.LUAJIT21
    assert values("os.execute()", dialect) == ("0" if is_old else "false")
    assert values("os.rename('a', 'b')", dialect) == (
        f"nil {'a: ' if is_old else ''}Read-only file system 30"
    )


EXITS = {
    "at once": "os.exit()",
    "with a code": "os.exit(1)",
    "with true": "os.exit(true, true)",
    "in pcall": "pcall(os.exit)",
    "caught and tried again": "while true do pcall(os.exit) end",
    "in xpcall": "xpcall(os.exit, function() con:puts('handler') end)",
    "in a coroutine": "coroutine.wrap(function() os.exit() end)()",
    "in a resumed coroutine": "coroutine.resume(coroutine.create(os.exit))",
    "in a callback": "string.gsub('x', 'x', function() os.exit() end)",
    "in a sort": "table.sort({ 3, 2, 1 }, function() os.exit() end)",
    "in a metamethod": "local meta = { __index = function() os.exit() end }"
    " local t = setmetatable({}, meta)"
    " local x = t.x",
    "after a flush": "con:flush() os.exit()",
}


@attack_on_every_dialect
@pytest.mark.parametrize("way", EXITS)
def test_exit_ends_the_request_with_what_was_put(dialect: Dialect, way: str) -> None:
    script = Script(
        "served = 0\nfunction main(env, con)\n"
        "  served = served + 1\n"
        "  if env.EXIT then con:status(202) con:puts('done') io.write('said')\n"
        f"  {EXITS[way]}\n con:puts('too much') end\n"
        "  con:puts('served ' .. served)\nend",
        dialect,
    )
    for served in (2, 4):
        reply = script.run(params(EXIT="1"))
        assert reply.text == "done"
        assert "Status: 202 Accepted" in reply.headers
        if dialect is not Dialect.LUA51:  # a trusted pool writes to its real output
            assert reply.log == [("info", "said")]
        assert script.state.must_close == ""
        assert script.run().text == f"served {served}"


@attack_on_every_dialect
def test_budgets_hold_after_an_exit(dialect: Dialect) -> None:
    script = Script(
        "function main(env, con) if env.EXIT then os.exit() end while true do end end",
        dialect,
        limits=StateLimits(cpu_s=0.05),
    )
    script.run(params(EXIT="1"))
    assert script.run().failure.budget == "cpu"


@every_dialect
@pytest.mark.parametrize("where", ["", "function startup()"])
def test_there_is_nothing_to_exit_while_a_script_loads(
    dialect: Dialect, where: str
) -> None:
    end = "end" if where else ""
    script = Script(f"function main() end {where} os.exit() {end}", dialect)
    assert "'exit' called while no request is running" in script.loaded.failure.message


@every_sandboxed_dialect
def test_dates_of_all_years_are_those_of_the_c_library(dialect: Dialect) -> None:
    template = "%C|%D|%e|%F|%g|%G|%h|%n|%r|%R|%t|%T|%u|%V|%Y|%j"
    first = [
        int(time.mktime((year, 1, 1, 12, 0, 0, 0, 0, 0))) for year in range(1900, 2110)
    ]
    times = [begin + day * 86400 for begin in first for day in range(-4, 5)]
    code = f"""
      function main(_, con)
        for _, time in ipairs{{ {", ".join(map(str, times))} }} do
          con:puts(os.date("!{template}", time) .. ";" .. os.date("%Z", time) .. "\\0")
        end
      end
    """
    limits = StateLimits(cpu_s=60.0, load_cpu_s=60.0)
    found = Script(code, dialect, limits=limits).run().text.split("\0")[:-1]
    zones = {time.localtime(at).tm_isdst: time.localtime(at).tm_zone for at in times}
    assert found == [
        time.strftime(template, time.gmtime(at))
        + ";"
        + zones[time.localtime(at).tm_isdst]
        for at in times
    ]
