"""What roots are really called, as far as that is clear; and paths that are in none."""

import os
from pathlib import Path

import pytest

from broker.library.roots import Roots, real
from broker.peers.outside import EVERY_S, Outside
from broker.resolve import PoolPaths
from luafarm.names import Pool
from luafarm.strangers import StrangerError

TENANT = 61_001


def pools(tmp_path: Path, **roots: tuple[str, ...]) -> list[PoolPaths]:
    return [
        PoolPaths(Pool(name), tuple(os.fsencode(tmp_path / r) for r in of), ())
        for name, of in roots.items()
    ]


def aliases(tmp_path: Path, **roots: tuple[str, ...]) -> dict[str, str]:
    found = Roots(pools(tmp_path, **roots))
    found.refresh()
    return {
        os.path.relpath(os.fsdecode(real), tmp_path): os.path.relpath(
            os.fsdecode(root), tmp_path
        )
        for real, root in found.aliases
    }


def links(tmp_path: Path, **targets: str) -> None:
    for name, target in targets.items():
        (tmp_path / target).mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(target)


def test_a_root_that_is_a_link_has_an_alias_and_one_that_is_none_has_not(
    tmp_path: Path,
) -> None:
    links(tmp_path, current="releases/5")
    (tmp_path / "plain").mkdir()
    found = aliases(tmp_path, p=("current", "plain", "absent"))
    assert found == {"releases/5": "current"}


def test_a_root_below_a_link_has_an_alias(tmp_path: Path) -> None:
    links(tmp_path, current="releases/5")
    (tmp_path / "releases/5/public").mkdir()
    found = aliases(tmp_path, p=("current/public",))
    assert found == {"releases/5/public": "current/public"}


def test_of_two_roots_of_one_pool_the_first_is_meant(tmp_path: Path) -> None:
    links(tmp_path, one="releases/5", two="releases/5")
    assert aliases(tmp_path, p=("two", "one")) == {"releases/5": "two"}


def test_a_directory_of_two_pools_is_nobodys_alias(tmp_path: Path) -> None:
    links(tmp_path, one="releases/5", two="releases/5", three="releases/6")
    found = aliases(tmp_path, p=("one",), q=("two", "three"))
    assert found == {"releases/6": "three"}


def test_a_root_by_its_own_name_comes_first(tmp_path: Path) -> None:
    links(tmp_path, one="data/5", two="more")
    found = aliases(tmp_path, p=("one", "two"), q=("data", "more/below"))
    assert found == {}


def test_a_flipped_link_is_found_by_looking_again(tmp_path: Path) -> None:
    links(tmp_path, current="releases/5")
    roots = Roots(pools(tmp_path, p=("current",)))
    assert roots.refresh()
    assert not roots.refresh()
    (tmp_path / "current").unlink()
    links(tmp_path, current="releases/6")
    assert roots.refresh()
    asked = os.fsencode(tmp_path / "releases/6/x.lua")
    assert roots.named(asked) == os.fsencode(tmp_path / "current/x.lua")
    old = os.fsencode(tmp_path / "releases/5/x.lua")
    assert roots.named(old) == old


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_tenants_link_makes_a_root_only_of_what_is_the_tenants_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    links(tmp_path, current="tenant/5")
    (tmp_path / "others").mkdir()
    os.chown(tmp_path / "others", TENANT + 1, -1)
    os.chown(tmp_path / "tenant/5", TENANT, -1)
    os.chown(tmp_path / "current", TENANT, -1, follow_symlinks=False)
    roots = Roots(pools(tmp_path, p=("current",)))
    roots.refresh()
    assert roots.aliases
    for target in ("others", "/", "/proc/self/root/etc", "../"):
        link = tmp_path / "current"
        link.unlink()
        link.symlink_to(target)
        os.chown(link, TENANT, -1, follow_symlinks=False)
        roots.refresh()
        assert not roots.aliases, target
        with pytest.raises(StrangerError, match="by a link of"):
            real(os.fsencode(link))
    assert "is not served" in caplog.text


def test_what_a_root_really_is_has_no_links(tmp_path: Path) -> None:
    links(tmp_path, one="a/b", two="one/../b", three=str(tmp_path / "a"))
    for name, meant in [("one", "a/b"), ("two", "a/b"), ("three/b/.", "a/b")]:
        found = real(os.fsencode(f"{tmp_path}/{name}"))
        assert found == os.fsencode(os.path.realpath(tmp_path / meant))
    (tmp_path / "loop").symlink_to("loop")
    for name in ("absent", "loop"):
        with pytest.raises(OSError, match=r"links|No such file"):
            real(os.fsencode(tmp_path / name))


def test_paths_outside_are_told_now_and_then_with_the_roots() -> None:
    outside = Outside([b"/srv/b", b"/srv/a"])
    line = outside.line(b"/else/x.lua" + b"y" * 5000, 100.0)
    assert "path=/else/x.lua" in line
    assert "/srv/a, /srv/b" in line
    assert len(line) < 400
    assert [outside.line(b"/else", 100.0 + i) for i in range(3)] == ["", "", ""]
    assert "3 more" in outside.line(b"/else", 100.0 + EVERY_S)
