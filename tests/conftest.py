"""What holds for all tests."""

from typing import Final

import pytest
from hypothesis import HealthCheck, settings

from luafarm.dialects import Dialect

SHORT: Final = (Dialect.LUAJIT21, Dialect.LUA55)
"""The default and the newest: if these two agree, the others hardly ever differ."""

# how long an example, or making one, takes says nothing on a busy machine
_PATIENT: Final = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# the same examples each time: what was green stays so until something is changed
settings.register_profile("same", _PATIENT, derandomize=True)
settings.register_profile("fresh", _PATIENT)  # looks for what nobody has seen yet
settings.load_profile("same")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the long form of the suite."""
    parser.addoption(
        "--every-dialect",
        action="store_true",
        help="repeat in all dialects of Lua what is the same in all of them",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what is marked `dialects` in those, or in the two that say most."""
    marker = metafunc.definition.get_closest_marker("dialects")
    if marker is None:
        return
    some = [dialect for dialect in marker.args if dialect in SHORT]
    is_long = metafunc.config.getoption("--every-dialect") or not some
    dialects = marker.args if is_long else some
    metafunc.parametrize("dialect", dialects, scope=marker.kwargs.get("scope"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say what begins first, when modules of tests run side by side.

    First what takes long, so that it is not what everybody waits for in the end;
    then what waits for processes, and last what only computes.
    """
    items.sort(key=_order)


def _order(item: pytest.Item) -> int:
    marks = ("long", "process")
    found = (n for n, mark in enumerate(marks) if item.get_closest_marker(mark))
    return next(found, len(marks))
