"""Names to paths: order, PATH_INFO, and nothing that leaves the roots."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.resolve import (
    PoolPaths,
    candidates,
    is_below,
    is_normal,
    pool_of,
    possible,
)
from luafarm.names import Pool
from luafarm.scriptnames import MAX_DEPTH
from luafarm.wire.messages import NeedKind

SITE = PoolPaths(Pool("site"), (b"/srv/www", b"/srv/www/sub"), (b"/usr/share/lua",))
OTHER = PoolPaths(Pool("other"), (b"/srv/www/other",), ())
MODULE, FILE, CHUNK = NeedKind.MODULE, NeedKind.FILE, NeedKind.CHUNK


def test_a_module_is_looked_for_beside_the_script_then_in_root_and_libraries() -> None:
    assert candidates(SITE, b"/srv/www/app/x.lua", MODULE, b"a.b") == [
        b"/srv/www/app/a/b.lua",
        b"/srv/www/app/a/b/init.lua",
        b"/srv/www/a/b.lua",
        b"/srv/www/a/b/init.lua",
        b"/usr/share/lua/a/b.lua",
        b"/usr/share/lua/a/b/init.lua",
    ]


def test_a_script_in_its_root_has_no_candidate_twice() -> None:
    found = candidates(SITE, b"/srv/www/x.lua", MODULE, b"m")
    assert found == list(dict.fromkeys(found))
    assert found[0] == b"/srv/www/m.lua"


def test_the_longest_root_is_the_scripts_root() -> None:
    found = candidates(SITE, b"/srv/www/sub/x.lua", FILE, b"data.txt")
    assert found == [b"/srv/www/sub/data.txt"]


def test_files_may_be_named_relative_or_absolute_below_the_roots() -> None:
    script = b"/srv/www/app/x.lua"
    assert candidates(SITE, script, FILE, b"d/data.txt") == [
        b"/srv/www/app/d/data.txt",
        b"/srv/www/d/data.txt",
    ]
    assert candidates(SITE, script, CHUNK, b"/srv/www/c.lua") == [b"/srv/www/c.lua"]
    assert candidates(SITE, script, FILE, b"../data.txt") == [b"/srv/www/data.txt"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (MODULE, b""),
        (MODULE, b".."),
        (MODULE, b"../x"),
        (MODULE, b"...etc.passwd"),
        (MODULE, b"/etc/passwd"),
        (MODULE, b"a..b"),
        (MODULE, b".a"),
        (MODULE, b"a."),
        (MODULE, b"a\0b"),
        (MODULE, b"a//b"),
        (MODULE, b"x" * 2000),
        (FILE, b""),
        (FILE, b"../../../etc/passwd"),
        (FILE, b"/etc/passwd"),
        (FILE, b"/srv/www/../../etc/passwd"),
        (FILE, b"/srv/wwwx/a"),
        (FILE, b"/usr/share/lua/m.lua"),
        (FILE, b"a\0b"),
        (CHUNK, b"/srv/www"),
    ],
)
def test_a_name_that_leaves_the_roots_means_nothing(
    kind: NeedKind, name: bytes
) -> None:
    assert candidates(SITE, b"/srv/www/app/x.lua", kind, name) == []


def test_a_script_outside_the_pool_may_ask_for_nothing() -> None:
    assert candidates(SITE, b"/srv/else/x.lua", MODULE, b"m") == []


@given(
    st.sampled_from(list(NeedKind)),
    st.text(alphabet="./ab\0", max_size=12).map(str.encode),
)
def test_no_name_ever_leaves_the_directories(kind: NeedKind, name: bytes) -> None:
    for path in candidates(SITE, b"/srv/www/app/x.lua", kind, name):
        assert is_normal(path)
        assert SITE.holder_of(path) is not None


def test_the_pool_with_the_longest_root_serves_a_path() -> None:
    pools = [SITE, OTHER]
    assert pool_of(pools, b"/srv/www/other/x.lua") == (OTHER, b"/srv/www/other")
    assert pool_of(pools, b"/srv/www/x.lua") == (SITE, b"/srv/www")
    assert pool_of(pools, b"/srv/wwwx/x.lua") is None
    assert pool_of(pools, b"/srv/www") is None


SRV = PoolPaths(Pool("srv"), (b"/srv", b"/", b"/home/.sites/x"), ())


@pytest.mark.parametrize(
    ("root", "asked", "scripts"),
    [
        (b"/srv", b"/srv/a.lua", [b"/srv/a.lua"]),
        (b"/srv", b"/srv/a.lua/b/c", [b"/srv/a.lua"]),
        (b"/srv", b"/srv/d/a.lua/b.lua/c", [b"/srv/d/a.lua", b"/srv/d/a.lua/b.lua"]),
        (b"/", b"/a.lua/b", [b"/a.lua"]),
        (b"/srv", b"/srv/upload/evil.jpg/x.lua", [b"/srv/upload/evil.jpg/x.lua"]),
        (b"/srv", b"/srv/evil.jpg", []),
        (b"/srv", b"/srv/old.lua.bak", []),
        (b"/srv", b"/srv/x.LUA", []),
        (b"/srv", b"/srv/x.lua\n", []),
        (b"/srv", b"/srv/x\n.lua", [b"/srv/x\n.lua"]),
        (b"/srv", b"/srv/\xff.lua", [b"/srv/\xff.lua"]),
        (b"/srv", b"/srv/.git/x.lua", []),
        (b"/srv", b"/srv/.lua", []),
        (b"/srv", b"/srv/.x.lua", []),
        (b"/srv", b"/srv/a.lua/.git/x.lua", [b"/srv/a.lua"]),
        (b"/srv", b"/srv/" + b"x" * 252 + b".lua", []),
        (b"/home/.sites/x", b"/home/.sites/x/a.lua", [b"/home/.sites/x/a.lua"]),
    ],
)
def test_only_what_is_named_like_a_script_and_not_hidden_may_be_one(
    root: bytes, asked: bytes, scripts: list[bytes]
) -> None:
    assert possible(SRV, root, asked) == scripts


def test_the_patterns_of_a_pool_say_what_is_named_like_a_script() -> None:
    paths = PoolPaths(Pool("p"), (b"/r",), (), ("*.lp", "index", "[ab].lua"))
    for name in (b"x.lp", b"index", b"a.lua"):
        assert possible(paths, b"/r", b"/r/" + name + b"/i") == [b"/r/" + name]
    for name in (b"x.lua", b"index.lua", b"Index", b"c.lua", b"x.lp.lua"):
        assert possible(paths, b"/r", b"/r/" + name) == []


def test_no_path_is_walked_deeper_than_any_honest_one() -> None:
    most = b"/srv" + b"/x" * (MAX_DEPTH - 1) + b"/y.lua"
    assert possible(SRV, b"/srv", most) == [most]
    assert possible(SRV, b"/srv", b"/srv/x" + most[4:]) == []


@pytest.mark.parametrize(
    "path",
    [b"", b"/", b"a", b"/a/", b"//a", b"/a//b", b"/a/./b", b"/a/..", b"/a\0", b"/" * 9],
)
def test_what_is_no_normal_path(path: bytes) -> None:
    assert not is_normal(path)


def test_below_means_by_whole_components() -> None:
    assert is_below(b"/a/b", b"/a")
    assert not is_below(b"/ab", b"/a")
    assert not is_below(b"/a", b"/a")
    assert is_below(b"/a", b"/")
    assert not is_below(b"/", b"/")
