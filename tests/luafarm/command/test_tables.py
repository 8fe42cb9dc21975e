"""Tables for a terminal."""

from luafarm.command import tables


def test_columns_are_as_wide_as_they_must_be_and_numbers_stand_right() -> None:
    assert tables.render(
        ["name", "pool", "requests"],
        [["a", "main", "7"], ["long one", "b", "12345"]],
    ) == (
        "name      pool  requests\na         main         7\nlong one  b        12345\n"
    )


def test_the_first_column_gives_way_and_keeps_its_end() -> None:
    text = tables.render(["script", "n"], [["/srv/" + "x" * 200 + "/end.lua", "1"]], 30)
    title, row = text.splitlines()
    assert len(row) == 30
    assert row.startswith("…xx")
    assert row.endswith("/end.lua  1")
    assert title.startswith("script ")


def test_the_first_column_says_it_in_fewer_words_before_it_is_cut() -> None:
    rows = [["main-1-db8e59a7", "1"], ["main-2-00c0ffee", "2"]]
    shorter = ["main-1", "main-2"]
    wide = tables.render(["host", "n"], rows, 18, shorter)
    assert "main-1-db8e59a7  1" in wide
    narrow = tables.render(["host", "n"], rows, 17, shorter)
    assert narrow == "host      n\nmain-1    1\nmain-2    2\n"


def test_a_table_without_rows_is_its_titles() -> None:
    assert tables.render(["host", "pool"], []) == "host      pool\n"
