"""Deploys, and what is noted of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos import mix
from tests.chaos.record import Version
from tests.chaos.site import Site
from tests.chaos.versions import ABSENT


def told(answers: bool, asked: list[Path]) -> Callable[[Path], bool]:
    def acknowledge(path: Path) -> bool:
        asked.append(path)
        return answers

    return acknowledge


def newest(site: Site, pool: str, script: str) -> Version:
    of_it = [v for v in site.versions() if (v.pool, v.script) == (pool, script)]
    return of_it[-1]


def test_the_first_release_is_there_and_acknowledged(tmp_path: Path) -> None:
    site = Site(tmp_path, told(True, []))
    for pool in mix.POOLS:
        for script in (*mix.SCRIPTS, mix.LEAVING):
            version = newest(site, pool, script)
            assert version.acknowledged is not None
            text = (site.root / pool / script).read_text()
            assert f'"{script}", "{version.generation}"' in text
            assert "@" not in text
            assert (str(site.ledger) in text) == (pool == mix.LEDGER_POOL)


@pytest.mark.parametrize("pick", range(10))
def test_one_script_has_a_further_generation_of_the_same_release(
    tmp_path: Path, pick: int
) -> None:
    asked: list[Path] = []
    site = Site(tmp_path, told(True, asked))
    for deploy in (site.rename, site.write_in_place):
        before = site.versions()
        assert deploy(pick) == ""
        [fresh] = [v for v in site.versions() if v not in before]
        assert fresh.generation > max(v.generation for v in before)
        assert fresh.release == 1
        assert fresh.acknowledged is not None
        text = (site.root / fresh.pool / fresh.script).read_text()
        assert f'"{fresh.generation}"' in text
    assert len(asked) == 2


def test_a_flip_is_a_further_release_of_every_script(tmp_path: Path) -> None:
    site = Site(tmp_path, told(True, []))
    old = (site.root / mix.POOLS[0]).resolve()
    assert site.flip(0) == ""
    assert (site.root / mix.POOLS[0]).resolve() != old
    for script in (*mix.SCRIPTS, mix.LEAVING):
        assert newest(site, mix.POOLS[0], script).release == 2
        assert newest(site, mix.POOLS[1], script).release == 1
    module = site.root / mix.POOLS[0] / "release.lua"
    assert module.read_text() == "return 2\n"


def test_what_nobody_acknowledged_is_noted_so(tmp_path: Path) -> None:
    site = Site(tmp_path, told(False, []))
    assert "not acknowledged" in site.rename(0)
    pool, script = mix.POOLS[0], mix.SCRIPTS[0]
    assert newest(site, pool, script).acknowledged is None


def test_a_script_goes_and_comes_back(tmp_path: Path) -> None:
    site = Site(tmp_path, told(True, []))
    assert site.delete(1) == ""
    gone, back = [v for v in site.versions() if v.script == mix.LEAVING][-2:]
    assert gone.pool == back.pool == mix.POOLS[1]
    assert gone.generation == ABSENT < back.generation
    assert gone.acknowledged is not None
    assert gone.acknowledged <= back.begun
    assert (site.root / mix.POOLS[1] / mix.LEAVING).exists()
