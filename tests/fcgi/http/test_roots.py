"""Where the script of a URL may be."""

import pytest

from fcgi.http.roots import Location, Roots
from luafarm.config.settings import PoolSettings

ONE = PoolSettings(root=("/srv/one", "/srv/two/"))
OTHER = PoolSettings(root=("/srv/php",), scripts=("*.php", "index.lua"))


def places(path: bytes, *pools: PoolSettings) -> list[Location]:
    return list(Roots(pools).places(path))


def test_all_roots_are_asked_in_the_order_of_the_settings() -> None:
    assert places(b"/a.lua", ONE, OTHER) == [
        Location(b"/srv/one", b"/a.lua", b""),
        Location(b"/srv/two", b"/a.lua", b""),
    ]
    assert [p.root for p in places(b"/index.lua", OTHER, ONE)] == [
        b"/srv/php",
        b"/srv/one",
        b"/srv/two",
    ]
    assert len(Roots([ONE, OTHER])) == 3


@pytest.mark.parametrize(
    ("path", "script", "info"),
    [
        (b"/", b"/index.lua", b""),
        (b"/a/", b"/a/index.lua", b""),
        (b"/a.lua/", b"/a.lua", b"/"),
        (b"/a.lua/b/c", b"/a.lua", b"/b/c"),
        # a.lua may be a directory, or the script
        (b"/a.lua/b.lua/c", b"/a.lua/b.lua", b"/c"),
        (b"/a.lua/" + b"x" * 10_000, b"/a.lua", b"/" + b"x" * 10_000),
        # what is behind a hidden one can only be PATH_INFO
        (b"/a.lua/.b/c.lua", b"/a.lua", b"/.b/c.lua"),
    ],
)
def test_the_last_name_of_a_script_ends_it(
    path: bytes, script: bytes, info: bytes
) -> None:
    assert places(path, PoolSettings(root=("/srv",))) == [
        Location(b"/srv", script, info)
    ]


@pytest.mark.parametrize("path", [b"/a", b"/a.txt", b"/.a.lua", b"/.lua/", b"/a.lua2"])
def test_what_no_pool_runs_is_nowhere(path: bytes) -> None:
    assert [p for p in places(path, ONE) if not p.script.endswith(b"index.lua")] == []
