"""The prelude is checked when it is put together: no name of it is nobody's."""

import pytest

from vmhost.host.services.table import OPERATIONS
from vmhost.lua import prelude
from vmhost.lua.prelude import PreludeError

GOOD = "-- Provides: one, two,\n--   three.\nlocal T = ...\nT.one, T.two = 1, 2\n"
WHOLE = GOOD + "function T.three() return T.one end\n"


def check(*sources: str, modules: tuple[str, ...] = ()) -> None:
    prelude.check(
        {f"file{number}": source for number, source in enumerate(sources)},
        {f"module{number}": source for number, source in enumerate(modules)},
        ["READ"],
    )


def test_the_prelude_is_whole() -> None:
    assert b"T.OP.READ = 3\n" in prelude.text(OPERATIONS.numbers)


def test_files_use_what_they_or_files_before_them_provide() -> None:
    check(WHOLE, "local two = T.two", modules=("return T.three",))


def test_a_name_that_nobody_provides_is_an_error() -> None:
    with pytest.raises(PreludeError, match=r"file1.lua: nobody .* T.four"):
        check(WHOLE, "local four = T.four")
    with pytest.raises(PreludeError, match=r"module0.lua: nobody .* T.four"):
        check(WHOLE, modules=("return function() return T.four end",))


def test_a_name_that_comes_too_late_is_an_error() -> None:
    with pytest.raises(PreludeError, match=r"file0.lua: nobody before it .* T.one"):
        check("local one = T.one", WHOLE)


def test_a_file_says_all_that_it_provides_and_nothing_else() -> None:
    with pytest.raises(PreludeError, match=r"file0.lua: .*three"):
        check(GOOD)
    with pytest.raises(PreludeError, match=r"file0.lua: .*four"):
        check(WHOLE + "T.four = 4\n")


def test_a_name_is_provided_once() -> None:
    with pytest.raises(PreludeError, match=r"file1.lua: T.one is file0.lua's"):
        check(WHOLE, "-- Provides: one.\nT.one = 1")


@pytest.mark.parametrize(
    ("code", "what"),
    [("T.config.memory", "T.config.memory"), ("OP.WRITE", "T.OP.WRITE")],
)
def test_settings_and_operations_that_do_not_exist_are_errors(
    code: str, what: str
) -> None:
    with pytest.raises(PreludeError, match=what):
        check(WHOLE, f"local x = {code}")


def test_what_stands_in_comments_and_strings_is_no_use() -> None:
    check(WHOLE, "-- T.four\nlocal text = 'T.four' .. \"T.four\" -- T.four")


def test_a_comparison_is_no_assignment() -> None:
    check(WHOLE, "if T.one == T.two then return end")
