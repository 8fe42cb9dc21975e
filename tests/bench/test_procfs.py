"""What the benchmark reads from /proc."""

import os
import subprocess
import sys

import pytest

from bench import daemon, procfs

pytestmark = pytest.mark.process

CHILDREN = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE,
                         start_new_session=True)
print(child.pid, flush=True)
input()
"""


def test_a_tree_has_descendants_that_moved_to_another_session() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", CHILDREN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert {parent.pid, child} <= procfs.tree(parent.pid)
        assert procfs.pss_bytes({parent.pid}) > 0
        parent.communicate("\n", timeout=120)


def test_cpu_time_counts_on_and_a_dead_process_has_none() -> None:
    before = procfs.cpu_ns({os.getpid()})
    while procfs.cpu_ns({os.getpid()}) == before:  # the kernel counts in ticks
        sum(range(300_000))
    assert procfs.cpu_ns({os.getpid()}) > before
    assert procfs.cpu_ns({2**22 + 1}) == 0
    assert procfs.start_ticks(2**22 + 1) == -1


def test_a_free_port_is_refused_until_somebody_listens() -> None:
    assert not daemon.accepts(("127.0.0.1", daemon.free_port()))
