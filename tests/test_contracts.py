"""The rules of `make layers` that are our own bite."""

import ast
import re
from pathlib import Path

import pytest

pytest.importorskip("grimp", reason="a tool of the source tree")

from grimp import ImportGraph

from tests.contracts import faults
from tests.marks import marks

TREE = Path(__file__).parents[1]
PACKAGES = ("luafarm", "fcgi", "broker", "vmhost")


def graph(*imports: str) -> ImportGraph:
    made = ImportGraph()
    for text in imports:
        importer, _, imported = text.partition(" > ")
        made.add_import(importer=importer, imported=imported)
    return made


def test_a_module_without_a_mark_may_reach_nothing_impure_through_others() -> None:
    drawn = graph("a > b", "b > time", "c > b", "d > e")
    assert faults(drawn, "abcd", {"b"}, ["time", "socket"]) == [
        "a -> b -> time",
        "c -> b -> time",
    ]


def test_a_mark_that_is_not_needed_is_a_fault() -> None:
    drawn = graph("a > b", "b > json")
    assert faults(drawn, "ab", {"a"}, ["time"]) == [
        "a is marked impure and reaches nothing"
    ]


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("# Impure.", {"impure"}),
        ("# Compiled.", {"compiled"}),
        ("# Impure, compiled.", {"impure", "compiled"}),
        ("# Compiled when needed.", set()),
    ],
)
def test_marks_are_read(comment: str, expected: set[str]) -> None:
    assert marks(f'"""A module."""\n\n{comment}\n\nimport re\n') == expected


def test_every_module_is_in_a_folder_that_a_layer_names() -> None:
    settings = (TREE / "pyproject.toml").read_text()
    for package in PACKAGES:
        assert f'containers = ["{package}"]\nexhaustive = true' in settings


def test_what_setup_compiles_is_what_is_marked() -> None:
    rule = re.search(r"re\.search\(r\'(.*)\', path", (TREE / "setup.py").read_text())
    assert rule is not None
    for package in PACKAGES:
        for path in (TREE / package).rglob("*.py"):
            source = path.read_text()
            assert bool(re.search(rule[1], source)) == ("compiled" in marks(source))


def test_no_mark_is_misspelled() -> None:
    for package in PACKAGES:
        for path in (TREE / package).rglob("*.py"):
            source = path.read_text()
            lines = re.findall(r"(?m)^# (?:Impure|Compiled)\b.*", source)
            assert bool(marks(source)) == bool(lines), path
            assert len(lines) <= 1, path


def falls_off(function: ast.FunctionDef) -> bool:
    """Return whether a function has a value to return and never does."""
    value = ast.unparse(function.returns) if function.returns else "None"
    ends = (ast.Return, ast.Raise, ast.Yield, ast.YieldFrom)
    says = any(isinstance(node, ends) for node in ast.walk(function))
    last = function.body[-1]
    is_declared = isinstance(last, ast.Expr) and ast.unparse(last) == "..."
    return value not in {"None", "NoReturn"} and not says and not is_declared


def test_no_compiled_function_falls_off_an_end_where_mypyc_aborts() -> None:
    looked = 0
    for package in PACKAGES:
        for path in (TREE / package).rglob("*.py"):
            source = path.read_text()
            if "compiled" not in marks(source):
                continue
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.FunctionDef):
                    looked += 1
                    assert not falls_off(node), f"{path}:{node.lineno}"
    assert looked > 500
