"""Libraries laid out for a module of tests, fetched where they have to be."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.libraries.catalogue import CATALOGUE
from tests.libraries.shelf import NotFetchedError, Shelf
from tests.libraries.site import Site, lay

Lay = Callable[[str], Site]


@pytest.fixture(scope="module")
def site_of() -> Iterator[Lay]:
    """Return a function that lays out a library; without it the test is skipped."""
    shelf = Shelf()
    sites: dict[str, Site] = {}
    with tempfile.TemporaryDirectory(prefix="lf") as place:

        def found(name: str) -> Site:
            if name not in sites:
                room = Path(place) / str(len(sites))
                room.mkdir()
                try:
                    sites[name] = lay(CATALOGUE[name], shelf, CATALOGUE, room)
                except NotFetchedError as error:
                    pytest.skip(f"cannot be fetched: {error}")
            return sites[name]

        yield found
