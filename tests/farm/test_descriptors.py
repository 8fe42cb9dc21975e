"""A broker that has no descriptor left, and gets some again."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from tests.farm.client import ask
from tests.farm.farms import Farm, until, up

pytestmark = pytest.mark.process

FILES = {f"{name}.lua": "function main(e, con) con:puts('x') end" for name in "ab"}


@contextmanager
def no_descriptors(farm: Farm) -> Iterator[None]:
    """Let the broker open nothing more."""
    [pid] = farm.titled("luafarm-broker")
    taken = {int(fd.name) for fd in Path(f"/proc/{pid}/fd").iterdir()}
    free = next(n for n in count() if n not in taken)
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def test_a_new_script_is_503_while_the_broker_cannot_read_it_and_200_after() -> None:
    with up(files=FILES) as farm:
        warm, cold = farm.root / "a.lua", farm.root / "b.lua"
        assert ask(farm.socket, warm).status == 200
        with no_descriptors(farm):
            reply = ask(farm.socket, cold)
            assert reply.status == 503
            assert int(reply.headers["retry-after"]) > 0
            assert ask(farm.socket, warm).status == 200
        until(lambda: ask(farm.socket, cold).status == 200, "it is served")
        assert "too many open files" not in farm.log()
