"""Paths by other names of their roots."""

import pytest

from luafarm.aliases import named

ALIASES = {b"/data/a": b"/srv/a", b"/data/a/deep": b"/srv/deep", b"/all": b"/"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/data/a/x.lua", b"/srv/a/x.lua"),
        (b"/data/a/b/x.lua/info", b"/srv/a/b/x.lua/info"),
        (b"/data/a/deep/x.lua", b"/srv/deep/x.lua"),
        (b"/all/x.lua", b"/x.lua"),
        (b"/data/a", b"/data/a"),
        (b"/data/ab/x.lua", b"/data/ab/x.lua"),
        (b"/srv/a/x.lua", b"/srv/a/x.lua"),
        (b"x", b"x"),
    ],
)
def test_a_path_has_one_name(path: bytes, expected: bytes) -> None:
    assert named(ALIASES, path) == expected
