"""`luafarm reload`: what a deploy can rely on once it has returned."""

import functools
import re
import time
from collections.abc import Iterator

import pytest

from tests.farm.client import Seen, ask, asking
from tests.farm.farms import Farm, kill, until, up

pytestmark = pytest.mark.process

DEPLOYS = 5
SETTINGS = '[[script]]\npattern = "hot.lua"\nmin_clones = 3\n'


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with up(SETTINGS) as running:
        yield running


def says(text: str) -> str:
    return f"function main(env, con) con:puts({text!r}) end"


def body(farm: Farm, name: str) -> str:
    return ask(farm.socket, farm.root / name).body.decode()


def reload(farm: Farm, *arguments: str) -> tuple[int, str]:
    """Run it; return the exit code and what it says."""
    done = farm.command("reload", *arguments)
    assert done.stdout == ""
    return done.returncode, done.stderr


def is_longer(seen: list[Seen], length: int) -> bool:
    return len(seen) > length


def test_under_load_no_old_reply_comes_after_it_has_returned(farm: Farm) -> None:
    path = farm.write("hot.lua", says("0"))
    assert body(farm, "hot.lua") == "0"
    until(lambda: len(farm.script("hot.lua")["states"]) == 3, "it has its clones")
    returned: list[float] = []
    with asking(farm.socket, [path]) as seen:
        for number in range(1, DEPLOYS + 1):
            farm.write("hot.lua", says(str(number)))
            assert reload(farm, "--wait", str(path)) == (0, "")
            returned.append(time.monotonic())
            asked = len(seen)
            until(functools.partial(is_longer, seen, asked + 20), "requests go on")
    assert {one.reply.status for one in seen} == {200}
    for number, at in enumerate(returned, start=1):
        later = [int(one.reply.body) for one in seen if one.started > at]
        assert min(later) >= number


def test_a_broken_file_is_exit_code_1_with_the_error(farm: Farm) -> None:
    path = farm.write("broken.lua", says("good"))
    assert body(farm, "broken.lua") == "good"
    farm.write("broken.lua", "function main(")
    code, said = reload(farm, "--wait", str(path))
    assert code == 1
    assert said.startswith("luafarm: ")
    assert f"{path}:1:" in said
    assert body(farm, "broken.lua") == "good"
    # as long as it is broken, whoever asks is told so
    assert reload(farm, "--wait", str(path)) == (1, said)
    farm.write("broken.lua", says("mended"))
    assert reload(farm, "--wait", str(path)) == (0, "")
    assert body(farm, "broken.lua") == "mended"


def test_a_path_that_nothing_can_be_served_from_is_an_error(farm: Farm) -> None:
    outside = farm.place / "outside.lua"
    code, said = reload(farm, "--wait", str(outside))
    assert code == 1
    assert said == f"luafarm: {outside} is in no script root and no library\n"
    typo = farm.root / "tpyo.lua"
    for arguments in (["--wait", str(typo)], [str(typo)]):
        code, said = reload(farm, *arguments)
        assert (code, said) == (1, f"luafarm: {typo}: no such file or directory\n")


def test_what_nobody_has_asked_for_yet_needs_no_reload(farm: Farm) -> None:
    path = farm.write("later.lua", says("later"))
    assert reload(farm, "--wait", str(path)) == (0, "")


def test_a_module_a_directory_or_everything_can_be_named(farm: Farm) -> None:
    source = 'local w = require "words.m"\nfunction main(e, c) c:puts(w) end'
    farm.write("uses.lua", source)
    module = farm.write("words/m.lua", "return 'none'")
    assert body(farm, "uses.lua") == "none"
    for number, arguments in enumerate(
        ([str(module)], [str(module.parent)], [str(farm.root)], [])
    ):
        farm.write("words/m.lua", f"return '{number}'")
        assert reload(farm, "--wait", *arguments) == (0, "")
        assert body(farm, "uses.lua") == str(number)


def test_a_file_may_be_named_by_its_real_path(farm: Farm) -> None:
    farm.write("releases/1/app.lua", says("one"))
    (farm.root / "current").symlink_to("releases/1")
    assert body(farm, "current/app.lua") == "one"
    real = farm.root / "releases/1/app.lua"
    real.write_text("function main(")
    code, said = reload(farm, "--wait", str(real))
    assert (code, "app.lua:1:" in said) == (1, True)
    real.write_text(says("two"))
    assert reload(farm, "--wait", str(real)) == (0, "")
    assert body(farm, "current/app.lua") == "two"


def test_a_deleted_script_is_gone_when_it_returns(farm: Farm) -> None:
    path = farm.write("gone.lua", says("here"))
    assert body(farm, "gone.lua") == "here"
    path.unlink()
    assert reload(farm, "--wait", str(path)) == (0, "")
    assert ask(farm.socket, path).status == 404


def test_a_new_broker_answers_when_it_knows_what_the_hosts_hold(farm: Farm) -> None:
    path = farm.write("over.lua", says("one"))
    assert body(farm, "over.lua") == "one"
    broker = farm.one("luafarm-broker")
    kill(broker)
    farm.write("over.lua", says("two"))
    code, said = reload(farm, "--wait", str(path))
    assert code == 0, said
    # it says that it waits when no broker answers at once, and nothing else
    assert said == "" or re.fullmatch(r"[^\n]* Waiting for it for 30 s\.\n", said)
    assert [body(farm, "over.lua") for _ in range(20)] == ["two"] * 20


def test_without_a_farm_the_error_says_so(farm: Farm) -> None:
    code, said = reload(
        farm, "--set", f"paths.run={farm.place}/nowhere", "--timeout", "0.3"
    )
    assert code == 1
    assert "no broker answers at ipc://" in said
    assert "does the farm run?" in said
