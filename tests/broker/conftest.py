"""A directory tree that is watched."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker.library.tree import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    (tmp_path / "root").mkdir()
    tree = Tree(tmp_path / "root")
    tree.write("a.lua", "one")
    yield tree
    tree.close()
