"""Files change, and what is served follows."""

from collections.abc import Iterator

import pytest

from tests.farm.client import ask
from tests.farm.farms import Farm, until, up

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with up() as running:
        yield running


def says(text: str) -> str:
    return f"function main(env, con) con:puts({text!r}) end"


def body(farm: Farm, name: str) -> bytes:
    return ask(farm.socket, farm.root / name).body


def test_a_changed_script_is_served_without_an_error_between(farm: Farm) -> None:
    farm.write("a.lua", says("one"))
    assert body(farm, "a.lua") == b"one"
    farm.write("a.lua", says("two"))
    seen: list[bytes] = []

    def changed() -> bool:
        reply = ask(farm.socket, farm.root / "a.lua")
        assert reply.status == 200
        seen.append(reply.body)
        return reply.body == b"two"

    until(changed, "the new content is served")
    assert set(seen) <= {b"one", b"two"}
    assert [body(farm, "a.lua") for _ in range(20)] == [b"two"] * 20


def test_a_created_script_counts_although_it_was_missing(farm: Farm) -> None:
    assert ask(farm.socket, farm.root / "late.lua").status == 404
    farm.write("late.lua", says("here"))
    until(lambda: body(farm, "late.lua") == b"here", "it is found")


def test_a_deleted_script_is_missing_and_comes_back(farm: Farm) -> None:
    path = farm.write("gone.lua", says("here"))
    assert body(farm, "gone.lua") == b"here"
    path.unlink()
    until(lambda: ask(farm.socket, path).status == 404, "it is gone")
    farm.write("gone.lua", says("again"))
    until(lambda: body(farm, "gone.lua") == b"again", "it is back")


def test_a_changed_module_renews_the_scripts_that_require_it(farm: Farm) -> None:
    farm.write("lib/words.lua", 'return { word = "old" }')
    farm.write(
        "uses.lua",
        'local words = require "lib.words"\n'
        "function main(env, con) con:puts(words.word) end",
    )
    assert body(farm, "uses.lua") == b"old"
    farm.write("lib/words.lua", 'return { word = "new" }')
    until(lambda: body(farm, "uses.lua") == b"new", "the module counts")


def test_the_last_good_content_is_served_while_the_file_is_broken(farm: Farm) -> None:
    path = farm.write("good.lua", says("good"))
    assert body(farm, "good.lua") == b"good"
    farm.write("good.lua", "function main(env, con con:puts( end")
    until(lambda: "good.lua" in farm.log(), "the error is logged")
    assert [body(farm, "good.lua") for _ in range(20)] == [b"good"] * 20
    farm.write("good.lua", says("better"))
    until(lambda: ask(farm.socket, path).body == b"better", "the repair counts")


def test_a_flipped_symlink_deploys(farm: Farm) -> None:
    farm.write("releases/1/app.lua", says("first"))
    farm.write("releases/2/app.lua", says("second"))
    current = farm.root / "current"
    current.symlink_to("releases/1")
    assert body(farm, "current/app.lua") == b"first"
    fresh = farm.root / "current.new"
    fresh.symlink_to("releases/2")
    fresh.rename(current)
    until(lambda: body(farm, "current/app.lua") == b"second", "the new release")


def test_a_file_that_was_read_is_a_dependency(farm: Farm) -> None:
    farm.write("words.txt", "old words")
    farm.write(
        "reads.lua",
        'local text = require("luafarm").read("words.txt")\n'
        "function main(env, con) con:puts(text) end",
    )
    assert body(farm, "reads.lua") == b"old words"
    farm.write("words.txt", "new words")
    until(lambda: body(farm, "reads.lua") == b"new words", "the file counts")


def test_a_symlink_out_of_the_root_is_not_served(farm: Farm) -> None:
    outside = farm.place / "outside.lua"
    outside.write_text(says("secret"))
    (farm.root / "escape.lua").symlink_to(outside)
    reply = ask(farm.socket, farm.root / "escape.lua")
    assert reply.status == 404
    assert b"secret" not in reply.body


def test_what_a_script_says_on_its_way_out_is_in_the_log(farm: Farm) -> None:
    hook = " function shutdown() print('last words') error('and a slip') end"
    farm.write("bye.lua", says("one") + hook)
    assert body(farm, "bye.lua") == b"one"
    farm.write("bye.lua", says("two"))
    until(lambda: body(farm, "bye.lua") == b"two", "the new content is served")
    until(lambda: "last words" in farm.log(), "the words are logged")
    until(lambda: "shutdown: " in farm.log(), "the slip is logged")
    lines = [line for line in farm.log().splitlines() if "bye.lua" in line]
    assert any(line.endswith("bye.lua last words") for line in lines), lines
    assert any("and a slip" in line and " error " in line for line in lines), lines
