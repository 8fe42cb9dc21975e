"""The main paths that are counted can be run, each in a process of its own."""

import subprocess
import sys

import pytest

from bench.guard.__main__ import PATHS, RUN


@pytest.mark.process
@pytest.mark.parametrize("path", PATHS)
def test_a_path_answers_its_requests(path: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", str(RUN), path, "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loops, microseconds = map(float, done.stdout.split())
    assert loops > 0.0
    assert microseconds > 0.0
