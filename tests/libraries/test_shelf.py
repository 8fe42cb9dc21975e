"""Packages that cannot be had are told, and leave nothing behind."""

from pathlib import Path

import pytest

from tests.libraries.shelf import NotFetchedError, Shelf

pytestmark = pytest.mark.process


@pytest.mark.parametrize("source", ["deb:luafarm-has-no-such-package"])
def test_a_package_that_does_not_exist_is_told_by_its_name(
    source: str, tmp_path: Path
) -> None:
    shelf = Shelf(tmp_path)
    for _ in range(2):
        with pytest.raises(NotFetchedError, match="luafarm-has-no-such-package"):
            shelf.get(source)
    assert {path.name for path in tmp_path.iterdir()} == {"lock"}
