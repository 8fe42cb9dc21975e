"""The script tree as the loop sees it: what waits for files is due in time."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.library.resting import LONGEST_S, Rest
from broker.library.tree import Library
from luafarm.config.settings import Broker, PoolSettings, Settings
from luafarm.names import Pool

POOL = Pool("p")
SETTLE_S = 2 * LONGEST_S


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    (tmp_path / "a.lua").write_text("one")
    library = Library(
        Settings(
            broker=Broker(settle=SETTLE_S, poll=1000.0),
            pool={POOL: PoolSettings(root=(str(tmp_path),))},
        ),
        lambda _: True,
    )
    library.settled(time.monotonic())  # the first poll is done
    yield library
    library.close()


def nothing(_since: float) -> None:
    """Do nothing when it is due."""


def test_who_doubts_a_file_again_and_again_does_not_put_off_the_look_at_it(
    library: Library, tmp_path: Path
) -> None:
    path = os.fsencode(tmp_path / "a.lua")
    library.doubt(POOL, path)
    due = library.due_at()
    library.doubt(POOL, path)
    assert library.due_at() == due


def test_nothing_waits_for_longer_than_fronts_do_however_long_files_settle(
    library: Library, tmp_path: Path
) -> None:
    since = time.monotonic()
    path = os.fsencode(tmp_path / "a.lua")
    assert library.rest(POOL, [path], since, 0, nothing) is Rest.LATER
    assert library.due_at() == since + LONGEST_S
    late = since - LONGEST_S
    assert library.rest(POOL, [path], late, 0, nothing) is Rest.NOW
