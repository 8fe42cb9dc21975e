"""The installed wheel: what is in it, away from the source tree."""

import ast
import importlib
from importlib.metadata import distribution, files
from importlib.util import find_spec
from pathlib import Path

import pytest

import luafarm
from luafarm import version

HOME = Path(luafarm.__file__).parents[1]
IS_TREE = (HOME / "pyproject.toml").exists()

pytestmark = pytest.mark.skipif(IS_TREE, reason="runs on the wheel: make compiled")

SETUP = Path(__file__).parents[2] / "setup.py"


def hot() -> list[str]:
    """Return the modules that `setup.py` names for compilation."""
    for node in ast.parse(SETUP.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "HOT":
            paths: list[str] = ast.literal_eval(node.value)
            return [path.removesuffix(".py").replace("/", ".") for path in paths]
    raise AssertionError("no HOT in setup.py")


def names() -> list[str]:
    """Return what the wheel installed."""
    return [str(path) for path in files("luafarm") or []]


def test_it_holds_the_four_packages_and_nothing_else() -> None:
    tops = {name.partition("/")[0] for name in names() if not name.startswith("..")}
    packages = {top for top in tops if "." not in top}
    assert packages == {"luafarm", "fcgi", "broker", "vmhost"}


def test_it_holds_the_trusted_prelude() -> None:
    lua = [name for name in names() if name.endswith(".lua")]
    assert len(lua) > 10
    assert all(name.startswith("vmhost/lua/") for name in lua)


@pytest.mark.parametrize("name", hot())
def test_a_hot_module_is_native(name: str) -> None:
    spec = find_spec(name)
    assert spec is not None
    assert str(spec.origin).endswith(".so")
    importlib.import_module(name)


def test_it_says_that_it_is_compiled() -> None:
    assert version.is_compiled()
    assert distribution("luafarm").version == version.VERSION
