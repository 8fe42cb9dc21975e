"""Libraries and their own tests: what passes in plain Lua passes in a sandboxed state.

All of them take minutes and need Debian's source packages: `make test-all`. What needs
no source package is tried each time. `python -m tests.libraries` prints all of it.
"""

import shutil
import tempfile
from functools import cache
from pathlib import Path

import pytest

from luafarm.dialects import Dialect
from tests import interpreters
from tests.libraries import comparison
from tests.libraries.catalogue import CATALOGUE, LIBRARIES, QUICK
from tests.libraries.comparison import Comparison, Tally
from tests.libraries.conftest import Lay
from tests.libraries.shelf import NotFetchedError, Shelf
from tests.libraries.site import lay
from tests.vmhost.states import SANDBOXED, every_dialect, every_sandboxed_dialect

pytestmark = pytest.mark.process

FEWEST = 25
LEAST = 0.98
ALL_S = 3000


def told(one: Comparison) -> str:
    rows = comparison.unexplained(one).items()
    return "\n".join(f"{name}\n    {said}" for name, said in rows)


# ---- each time ----------------------------------------------------------------------


@every_dialect
def test_scripts_in_the_style_of_libraries_do_here_what_they_do_in_plain_lua(
    site_of: Lay, dialect: Dialect
) -> None:
    if interpreters.missing(dialect):
        pytest.skip(interpreters.missing(dialect))
    one = comparison.compare(site_of("scripts in their style"), dialect)
    assert len(one.files.plain) > 10
    assert len(one.tests.plain) > 40
    assert not comparison.unexplained(one), told(one)


@every_sandboxed_dialect
@pytest.mark.parametrize("name", QUICK)
def test_every_file_of_a_library_loads_here_that_loads_in_plain_lua(
    site_of: Lay, name: str, dialect: Dialect
) -> None:
    if interpreters.missing(dialect):
        pytest.skip(interpreters.missing(dialect))
    one = comparison.compare(site_of(name), dialect)
    assert one.files.plain
    assert not comparison.unexplained(one), told(one)


# ---- at length ----------------------------------------------------------------------


@cache
def comparisons(dialect: Dialect) -> tuple[list[Comparison], list[str]]:
    """Return what all libraries came to, and why some cannot be fetched."""
    found: list[Comparison] = []
    absent: list[str] = []
    for library in LIBRARIES.values():
        room = Path(tempfile.mkdtemp(prefix="lf"))
        try:
            site = lay(library, Shelf(), CATALOGUE, room)
            found.append(comparison.compare(site, dialect))
        except NotFetchedError as error:
            absent.append(f"{library.name}: {error}")
        finally:
            shutil.rmtree(room)
    return found, absent


@pytest.fixture
def at_length(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--every-dialect"):
        pytest.skip("all libraries take minutes: make test-all, or make libraries")


def compared(dialect: Dialect) -> list[Comparison]:
    if interpreters.missing(dialect):
        pytest.skip(interpreters.missing(dialect))
    found, absent = comparisons(dialect)
    assert len(found) >= FEWEST, "\n".join(absent)
    return found


def share(tallies: list[Tally]) -> float:
    return sum(t.here for t in tallies) / sum(len(t.plain) for t in tallies)


long = pytest.mark.long
patient = pytest.mark.timeout(ALL_S)
sandboxed = pytest.mark.parametrize("dialect", SANDBOXED)


@long
@patient
@sandboxed
@pytest.mark.usefixtures("at_length")
def test_what_is_missing_of_libraries_has_its_reason(dialect: Dialect) -> None:
    odd = [told(one) for one in compared(dialect) if comparison.unexplained(one)]
    assert not odd, "\n".join(odd)


@long
@patient
@sandboxed
@pytest.mark.usefixtures("at_length")
def test_nearly_everything_that_passes_in_plain_lua_passes_here(
    dialect: Dialect,
) -> None:
    found = compared(dialect)
    assert share([one.files for one in found]) >= LEAST
    assert share([one.tests for one in found]) >= LEAST


@long
@patient
@sandboxed
@pytest.mark.usefixtures("at_length")
def test_every_library_can_be_fetched(dialect: Dialect) -> None:
    compared(dialect)
    _, absent = comparisons(dialect)
    if absent:
        pytest.skip("; ".join(absent))
