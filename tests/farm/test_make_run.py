"""`make run`, the README's first command, in a tree in which nothing was made yet."""

import contextlib
import os
import shutil
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from bench import daemon
from tests.luafarm.farms import directory, environment, until

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

TREE = Path(__file__).resolve().parents[2]
PARTS = ["Makefile", "pyproject.toml", "setup.py", "README.md", "LICENSE", ".ci"]
CODE = ["luafarm", "fcgi", "broker", "vmhost", "examples"]
INSTALLS_S = 300.0


def test_it_serves_the_examples_with_what_serving_needs_and_no_more() -> None:
    with directory() as place:
        tree = place / "tree"
        tree.mkdir()
        for name in [*PARTS, *CODE]:
            copy = shutil.copytree if (TREE / name).is_dir() else shutil.copy
            copy(TREE / name, tree / name)
        port = daemon.free_port()
        with (place / "said").open("wb") as said:
            process = subprocess.Popen(
                ["make", "run", f"HTTP=127.0.0.1:{port}"],
                cwd=tree,
                env={**environment(), "LUAFARM_PATHS__RUN": str(place / "run")},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            url = f"http://127.0.0.1:{port}/"

            def says_ready() -> bool:
                text = (place / "said").read_text()
                assert process.poll() is None, text
                return "Ctrl-C" in text

            until(says_ready, "it serves", INSTALLS_S)
            text = (place / "said").read_text()
            assert url in text
            assert text.index("1 of 3") < text.index("2 of 3") < text.index("3 of 3")
            assert "'pip install .' compiles" in text
            with urllib.request.urlopen(f"{url}hello.lua", timeout=120) as reply:
                assert reply.read() == b"Hello, World!\n"
            tools = {path.name for path in (tree / ".venv" / "bin").iterdir()}
            assert "luafarm" in tools
            assert not tools & {"mypy", "mypyc", "ruff", "basedpyright", "pytest"}
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            process.wait(60)
