"""Where C modules lie on this machine."""

from pathlib import Path

import pytest

from luafarm.dialects import Dialect
from luafarm.process import cplaces


def test_a_missing_module_is_named_with_the_package_that_has_it() -> None:
    with pytest.raises(cplaces.NoModuleError) as wrong:
        cplaces.find("cjson", Dialect.LUA54, "/nowhere/?.so")
    assert str(wrong.value) == (
        "no C module cjson for lua54: /nowhere/cjson.so; "
        "Debian has it in the package lua-cjson"
    )


@pytest.mark.parametrize(
    ("dialect", "cpath"),
    [(Dialect.LUA55, ""), (Dialect.LUA54, "/nowhere"), (Dialect.LUA54, "/x.so;/y.so")],
)
def test_no_package_is_named_that_would_not_help(dialect: Dialect, cpath: str) -> None:
    with pytest.raises(cplaces.NoModuleError) as wrong:
        cplaces.find("cjson", dialect, cpath)
    assert "Debian" not in str(wrong.value)


def test_a_relative_place_is_one_of_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.so").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert cplaces.find("x", Dialect.LUA54, "./?.so") == tmp_path / "x.so"


def test_a_module_is_the_first_file_along_the_path(tmp_path: Path) -> None:
    (tmp_path / "luasql").mkdir()
    file = tmp_path / "luasql" / "sqlite3.so"
    file.write_bytes(b"")
    path = f"/nowhere/?.so;{tmp_path}/?.so"
    assert cplaces.find("luasql.sqlite3", Dialect.LUA54, path) == file


@pytest.mark.parametrize(
    ("dialect", "version"), [(Dialect.LUAJIT21, "5.1"), (Dialect.LUA54, "5.4")]
)
def test_the_systems_places_are_those_of_the_version(
    dialect: Dialect, version: str
) -> None:
    places = cplaces.default_cpath(dialect).split(";")
    assert places[0] == f"/usr/local/lib/lua/{version}/?.so"
    assert all(place.endswith(f"/lua/{version}/?.so") for place in places)
