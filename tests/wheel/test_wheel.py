"""The installed wheel: what is in it, away from the source tree."""

import importlib
from importlib.metadata import distribution, files
from importlib.util import find_spec
from pathlib import Path

import pytest

import luafarm
from luafarm import version
from tests.marks import marks

HOME = Path(luafarm.__file__).parents[1]
IS_TREE = (HOME / "pyproject.toml").exists()

pytestmark = pytest.mark.skipif(IS_TREE, reason="runs on the wheel: make compiled")


def names() -> list[str]:
    """Return what the wheel installed."""
    return [str(path) for path in files("luafarm") or []]


def hot() -> list[str]:
    """Return the modules that are marked as compiled."""
    return [
        name.removesuffix(".py").replace("/", ".")
        for name in names()
        if name.endswith(".py") and "compiled" in marks((HOME / name).read_text())
    ]


def test_it_holds_the_four_packages_and_nothing_else() -> None:
    tops = {name.partition("/")[0] for name in names() if not name.startswith("..")}
    packages = {top for top in tops if "." not in top}
    assert packages == {"luafarm", "fcgi", "broker", "vmhost"}


def test_it_holds_the_trusted_prelude() -> None:
    lua = [name for name in names() if name.endswith(".lua")]
    assert len(lua) > 10
    assert all(name.startswith("vmhost/lua/") for name in lua)


def test_the_hot_modules_are_many() -> None:
    assert len(hot()) > 50


@pytest.mark.parametrize("name", hot())
def test_a_hot_module_is_native(name: str) -> None:
    spec = find_spec(name)
    assert spec is not None
    assert str(spec.origin).endswith(".so")
    importlib.import_module(name)


def test_it_says_that_it_is_compiled() -> None:
    assert version.is_compiled()
    assert distribution("luafarm").version == version.VERSION
