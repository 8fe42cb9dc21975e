"""Handlers of other servers are told apart at loading, and cost others nothing."""

from pathlib import Path

import pytest

from luafarm.config.settings import Compat
from luafarm.dialects import Dialect
from tests.vmhost.states import Script, every_dialect, every_sandboxed_dialect, params

EXAMPLES = Path(__file__).parents[3] / "examples"
OURS = "function main(env, con) con:puts('ours') end\n"
WSAPI = """return function()
  return 200, {}, coroutine.wrap(function() coroutine.yield('wsapi') end)
end
"""


@every_dialect
@pytest.mark.parametrize(
    ("source", "text"),
    [
        (OURS + "function handle(r) r:puts('mod_lua') end", "ours"),
        (OURS + WSAPI, "ours"),
        (OURS + "local nginx = ngx and ngx.now", "ours"),
        (
            "function handler() return 'old' end function handle(r) r:puts('x') end",
            "old",
        ),
        ("handler = function() return 'old' end return { run = 1 }", "old"),
        ("function handle(r) r:puts('mod_lua') end " + WSAPI, "mod_lua"),
        ("_G['han' .. 'dle'] = function(r) r:puts('mod_lua') end", "mod_lua"),
        (WSAPI, "wsapi"),
        ("ngx.print('ngx')", "ngx"),
        ("local function main() ngx.print('ngx') end main()", "ngx"),
        ("local function handle() ngx.print('ngx') end\nhandle()", "ngx"),
        ("-- a wsapi program, not ngx.\n" + WSAPI, "wsapi"),
    ],
)
def test_our_functions_go_first_then_mod_luas_then_what_is_returned(
    dialect: Dialect, source: str, text: str
) -> None:
    assert Script(source, dialect).run().text == text


@every_dialect
def test_a_main_that_was_made_elsewhere_serves_though_the_text_names_ngx(
    dialect: Dialect,
) -> None:
    script = Script(
        "local there = ngx and ngx.null\nrequire 'app'",
        dialect,
        modules={"app": OURS},
    )
    assert [script.run().text, script.run().text] == ["ours", "ours"]


@every_dialect
@pytest.mark.parametrize("value", ["5", "true", "nil", "print == nil"])
def test_a_script_that_returns_no_application_has_no_handler(
    dialect: Dialect, value: str
) -> None:
    failure = Script(f"return {value}", dialect).loaded.failure
    assert failure.message.startswith("main() function not found: ")


def test_the_configured_name_counts() -> None:
    source = "function main() return 1 end\n" + WSAPI
    assert Script(source, compat=Compat(handler="serve")).run().text == "wsapi"


@every_sandboxed_dialect
def test_a_state_of_a_script_of_ours_holds_nothing_of_other_servers_handlers(
    dialect: Dialect,
) -> None:
    def size(source: str) -> int:
        script = Script(source, dialect)
        script.state.collect()
        return script.state.memory_bytes

    plain = size(OURS)
    mentioned = size("-- apache2, ngx.say and wsapi: handle(r), return\n" + OURS)
    assert mentioned - plain < 512
    assert size("function handle() end") - plain > 10_000


@every_sandboxed_dialect
@pytest.mark.parametrize("name", ["foreign_modlua", "foreign_ngx", "apache2", "ngx"])
def test_parts_of_them_are_no_modules(dialect: Dialect, name: str) -> None:
    script = Script(
        "function main(env, con)\n"
        f"  con:puts(tostring(pcall(require, '{name}')))\n"
        "  con:puts(tostring(ngx) .. tostring(apache2))\n"
        "end",
        dialect,
    )
    assert script.run().text == "falsenilnil"


@every_dialect
@pytest.mark.parametrize(
    ("name", "query", "text"),
    [
        ("modlua", "name=%3Cyou", "Hello, &lt;you!"),
        ("wsapi", "a=%3C", "with the query 'a=%3C'"),
        ("ngx", "name=%3Cyou", "Hello, &lt;you!"),
    ],
)
def test_the_examples_serve(dialect: Dialect, name: str, query: str, text: str) -> None:
    script = Script((EXAMPLES / f"{name}.lua").read_text(), dialect)
    blob = params(REQUEST_METHOD="GET", QUERY_STRING=query)
    assert text in script.run(blob).text


@every_dialect
def test_startup_runs_for_them_too(dialect: Dialect) -> None:
    script = Script("function startup() print('up') end\n" + WSAPI, dialect)
    assert script.loaded.log == [("info", "up")]
    assert script.run(params()).text == "wsapi"


@every_dialect
@pytest.mark.parametrize(
    "comment",
    ["-- ngx.say was here\n", "--[[ ngx.say\n]] ", "--[==[ ngx.say ]] ]==] "],
)
def test_what_a_comment_mentions_tells_nothing(dialect: Dialect, comment: str) -> None:
    app = "return function() return 200, {}, 'an application' end"
    assert Script(comment + app, dialect).run().text == "an application"


@every_dialect
def test_a_script_of_ngx_that_turns_out_to_be_another_s(dialect: Dialect) -> None:
    there = "local there = ngx and ngx.null\n"
    app = "return { run = function() return 200, {}, 'an application' end }"
    handle = "_G['handle'] = function(r) r:puts('handled') end"
    for source, text in ((app, "an application"), (handle, "handled")):
        script = Script(there + source, dialect)
        assert [script.run().text, script.run().text] == [text, text]


@every_dialect
@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("function main(env, con) con:puts('main') end", "main"),
        ("function handler() return 'handler' end", "handler"),
        ("function handle(r) r:puts('handle') end", "handle"),
        ("return function() return 200, {}, 'application' end", "application"),
        ("local there = ngx and ngx.say('ngx')", "ngx\n"),
    ],
)
def test_scripts_with_strict_globals_load(
    dialect: Dialect, source: str, text: str
) -> None:
    strict = (
        "setmetatable(_G, { __index = function(_, k)"
        " error('undeclared variable ' .. k, 2) end })\n"
    )
    assert Script(strict + source, dialect).run().text == text
