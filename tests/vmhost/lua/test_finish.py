"""con:finish and con:detach: a script that goes on without its client."""

from luafarm.dialects import Dialect
from tests.vmhost.states import Op, Script, every_dialect
from vmhost.lua.limits import StateLimits


@every_dialect
def test_a_finished_reply_is_whole_and_the_script_goes_on(dialect: Dialect) -> None:
    script = Script(
        """
        local luafarm = require "luafarm"
        function main(env, con)
          con:status(202) con:puts("answer") con:log("before")
          con:finish()
          luafarm.sleep(1) con:log("work done")
        end
        """,
        dialect,
    )
    for _ in range(2):
        reply = script.run()
        assert reply.operations == [Op.FINISH, Op.SLEEP, Op.DONE]
        whole, _, end = reply.steps
        assert whole[1].startswith(b"Status: 202 Accepted")
        assert whole[2:] == (b"answer", b"ibefore\0")
        assert end[1:] == (b"", b"", b"iwork done\0")


@every_dialect
def test_what_is_put_after_the_end_is_for_nobody(dialect: Dialect) -> None:
    script = Script(
        """
        function main(env, con)
          con:puts("a") con:flush() con:puts("b") con:finish() con:finish()
          con:puts("c") con:header("X-Y", "z") con:flush() con:reset()
          con:puts(("d"):rep(300000)) con:finish() con:puts("e")
        end
        """,
        dialect,
        limits=StateLimits(reply_bytes=100000),
    )
    reply = script.run()
    assert reply.operations == [Op.FLUSH, Op.FINISH, Op.DONE]
    assert reply.text == "ab"
    assert reply.log == [
        ("warning", "header 'X-Y' ignored: the headers were sent before")
    ]
    assert script.run().text == "ab"


def test_a_finished_reply_has_its_budget() -> None:
    script = Script(
        "function main(env, con) con:puts(('x'):rep(101)) con:finish() end",
        limits=StateLimits(reply_bytes=100),
    )
    assert script.run().failure.budget == "reply"


def test_an_error_after_the_end_is_told_as_any_other() -> None:
    script = Script("function main(env, con) con:finish() error('late') end")
    failure = script.run().failure
    assert failure.message.endswith(":1: late")


@every_dialect
def test_a_body_that_was_not_read_before_the_end_is_gone(dialect: Dialect) -> None:
    script = Script(
        """
        function main(env, con)
          if env.FIRST then con:gets() end
          con:finish()
          local ok, why = pcall(env.ALL and con.gets or con.read, con)
          con:log(tostring(ok) .. tostring(why))
        end
        """,
        dialect,
    )
    why = "after con:finish(): what was not read of the request is gone"
    for blob, name in ((b"", "read"), (b"\3\1ALL1", "gets")):
        (_, text), *_ = script.run(blob, b"body", pulled=True).log
        assert text.startswith("false")
        assert text.endswith(f"'{name}' {why}")
    assert script.run(b"\5\1FIRST1", b"body", pulled=True).log == [("info", "truenil")]
    assert script.run(b"", b"").log == [("info", "truenil")]
    (_, text), *_ = script.run(b"", b"body").log  # also if it has come already
    assert text.endswith(f"'read' {why}")


@every_dialect
def test_detach_asks_the_host(dialect: Dialect) -> None:
    script = Script("function main(env, con) con:detach() con:puts('x') end", dialect)
    reply = script.run()
    assert reply.operations == [Op.DETACH, Op.DONE]
    assert reply.text == "x"


def test_inside_a_callback_both_say_that_they_cannot_ask() -> None:
    for name in ("finish", "detach"):
        script = Script(
            "function main(env, con) con:puts('x') "
            f"local f = function() con:{name}() end ('x'):gsub('x', f) end"
        )
        message = script.run().failure.message
        assert f"'{name}' is not possible inside a callback" in message
