"""The three generations of luafcgid's handlers."""

import pytest

from luafarm.config.settings import Compat
from luafarm.dialects import Dialect
from tests.vmhost.states import Script, every_dialect, params


@every_dialect
def test_main_gets_environment_and_request(dialect: Dialect) -> None:
    script = Script(
        "function main(env, con) con:puts('Hello ' .. env.NAME) end", dialect
    )
    assert script.run(params(NAME="World")).text == "Hello World"


@every_dialect
def test_results_of_main_are_ignored(dialect: Dialect) -> None:
    script = Script("function main(env, con) con:puts('a') return 'b' end", dialect)
    assert script.run().text == "a"


@every_dialect
def test_the_handler_setting_names_another_function(dialect: Dialect) -> None:
    script = Script(
        "function main() error('no') end\nfunction serve(env, con) con:puts('x') end",
        dialect,
        compat=Compat(handler="serve"),
    )
    assert script.run().text == "x"


@every_dialect
def test_handler_of_2009_returns_the_body(dialect: Dialect) -> None:
    script = Script(
        "function handler(...) return 'Hello World ' .. select('#', ...) end", dialect
    )
    assert script.run(params(NAME="x")).text == "Hello World 0"


@every_dialect
def test_handler_of_2009_may_return_a_number(dialect: Dialect) -> None:
    assert Script("function handler() return 12 end", dialect).run().text == "12"


@pytest.mark.parametrize("value", ["nil", "{}", "true", "print"])
def test_handler_of_2009_that_returns_no_string_is_an_error(value: str) -> None:
    failure = Script(f"function handler() return {value} end").run().failure
    assert failure.message == "handler() must return string"
    assert failure.kind == "Runtime Error"


def test_main_is_preferred_to_handler() -> None:
    script = Script(
        "function handler() return 'old' end\n"
        "function main(env, con) con:puts('new') end"
    )
    assert script.run().text == "new"


@every_dialect
def test_a_script_of_early_2011_parses_and_sets_headers_by_table(
    dialect: Dialect,
) -> None:
    script = Script(
        """
        function main(env, req)
          req:header{ Status = "201 Created", ["Content-Type"] = "text/plain" }
          local query = req:parse(env.QUERY_STRING)
          req:puts(query.a .. "," .. tostring(query.empty))
        end
        """,
        dialect,
    )
    reply = script.run(params(QUERY_STRING="a=1&a=2&empty="))
    assert reply.text == "2,nil"
    assert reply.headers == [
        "Status: 201 Created",
        "Content-Type: text/plain",
        "X-Powered-By: Lua",
    ]


@every_dialect
@pytest.mark.parametrize("source", ["", "x = 1", "main = 5", "main = {}"])
def test_a_script_without_handler_does_not_load(dialect: Dialect, source: str) -> None:
    failure = Script(source, dialect).loaded.failure
    assert failure.message == (
        "main() function not found: the script defines no global function main,"
        " handler or handle, and returns no application"
    )
    assert failure.kind == "Runtime Error"


def test_the_missing_function_is_named_as_configured() -> None:
    failure = Script("x = 1", compat=Compat(handler="serve")).loaded.failure
    assert failure.message.startswith("serve() function not found: ")
    assert "no global function serve, handler or handle" in failure.message


@every_dialect
def test_a_handler_that_the_script_removes_is_an_error_of_the_request(
    dialect: Dialect,
) -> None:
    script = Script("function main() main = nil end", dialect)
    assert script.run().text == ""
    assert script.run().failure.message == "main() function not found"


@every_dialect
def test_a_handler_that_the_script_replaces_counts_at_once(dialect: Dialect) -> None:
    script = Script(
        """
        function main(env, con)
          con:puts("first")
          function main(env, con) con:puts("then") end
        end
        """,
        dialect,
    )
    assert [script.run().text, script.run().text] == ["first", "then"]


@every_dialect
def test_the_main_chunk_runs_once_without_arguments(dialect: Dialect) -> None:
    script = Script(
        """
        count = (count or 0) + 1
        local arguments = select("#", ...)
        function main(env, con) con:puts(count .. " " .. arguments) end
        """,
        dialect,
    )
    assert [script.run().text, script.run().text] == ["1 0", "1 0"]


@every_dialect
def test_globals_live_from_request_to_request_and_through_errors(
    dialect: Dialect,
) -> None:
    script = Script(
        """
        count = 0
        function main(env, con)
          count = count + 1
          if count == 2 then error("two") end
          con:puts(count)
        end
        """,
        dialect,
    )
    assert script.run().text == "1"
    assert "two" in script.run().failure.message
    assert script.run().text == "3"


@every_dialect
def test_startup_and_shutdown_are_called_when_a_state_comes_and_goes(
    dialect: Dialect,
) -> None:
    script = Script(
        """
        function startup() print("up") end
        function shutdown() print("down") end
        function main() end
        """,
        dialect,
    )
    assert script.loaded.log == [("info", "up")]
    assert script.run().log == []
    assert script.finish(script.state.shutdown(), b"", b"").log == [("info", "down")]


def test_an_error_in_startup_is_an_error_of_loading() -> None:
    failure = Script("function main() end function startup() error('x') end").loaded
    assert failure.failure.message == "/srv/www/page.lua:1: x"


@every_dialect
def test_byte_order_mark_and_shebang_are_skipped(dialect: Dialect) -> None:
    source = b"\xef\xbb\xbf#!/usr/bin/lua\nfunction main(env, con) error('x') end"
    assert Script(source, dialect).run().failure.line == 2


@every_dialect
def test_the_environment_is_a_plain_fresh_table(dialect: Dialect) -> None:
    script = Script(
        """
        local old
        function main(env, con)
          local names = {}
          for name in pairs(env) do names[#names + 1] = name end
          table.sort(names)
          con:puts(table.concat(names, " ") .. " " .. tostring(old == env))
          con:puts(" " .. tostring(next(env) ~= nil) .. tostring(getmetatable(env)))
          con:puts(rawget(env, "A") .. tostring(env.OWN) .. env.LUAFCGID_VERSION)
          env.OWN, env.A = "kept", nil
          old = env
        end
        """,
        dialect,
    )
    expected = "A B LUAFCGID_VERSION false truenil1nil1"
    blob = params(A="1", B="")
    assert [script.run(blob).text, script.run(blob).text] == [expected, expected]


@every_dialect
def test_every_parameter_arrives_whatever_its_length(dialect: Dialect) -> None:
    script = Script(
        """
        function main(env, con)
          for _, name in ipairs{ "S", "L", ("n"):rep(127), ("n"):rep(128), "E" } do
            con:puts(#env[name] .. " ")
          end
          con:puts(env.S .. env.E)
        end
        """,
        dialect,
    )
    blob = params(
        **{"S": "s", "L": "x" * 70000, "n" * 127: "y" * 127, "n" * 128: "z" * 128},
        E="e",
    )
    assert script.run(blob).text == "1 70000 127 128 1 se"


@pytest.mark.parametrize("cut", range(1, 24))
def test_parameters_that_are_cut_off_do_no_harm(cut: int) -> None:
    script = Script("function main(env, con) con:puts(env.LUAFCGID_VERSION) end")
    blob = (params(A="1") + params(BB="x" * 200))[:cut]
    assert script.run(blob).text == "1"


def test_a_parameter_cannot_fake_the_version() -> None:
    script = Script("function main(env, con) con:puts(env.LUAFCGID_VERSION) end")
    assert script.run(params(LUAFCGID_VERSION="9")).text == "1"


def test_the_last_of_equal_parameters_counts() -> None:
    script = Script("function main(env, con) con:puts(env.A) end")
    assert script.run(params(A="1") + params(A="2")).text == "2"
