"""What is left of root in a supervisor that changes to a user."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from luafarm.process import prctl
from tests.vmhost.supervisor.supervised import NOBODY, needs_root
from vmhost.sandbox import kernel
from vmhost.supervisor import rights
from vmhost.supervisor.rights import KEPT

pytestmark = [pytest.mark.process, needs_root]


def after_change(action: Callable[[], str], before: Callable[[], object] = int) -> str:
    """Run an action in a child that has given up root; return its answer."""
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            before()
            rights.keep_few(NOBODY, NOBODY)
            os.write(sender, action().encode())
        except OSError as error:
            os.write(sender, repr(error).encode())
        finally:
            os._exit(0)
    os.close(sender)
    try:
        return os.read(receiver, 65536).decode()
    finally:
        os.close(receiver)
        os.waitpid(child, 0)


def status() -> str:
    return Path("/proc/self/status").read_text()


def mask(of: str, name: str) -> int:
    line = next(line for line in of.splitlines() if line.startswith(name + ":"))
    return int(line.partition(":")[2], 16)


ALL_KEPT = sum(1 << capability for capability in KEPT)


def test_uid_gid_and_groups_are_the_users() -> None:
    answer = after_change(lambda: repr((os.getresuid(), os.getresgid())))
    assert answer == repr(((NOBODY,) * 3, (NOBODY,) * 3))
    assert after_change(lambda: str(0 in os.getgroups())) == "False"


def test_six_capabilities_are_left_and_one_is_in_use() -> None:
    found = after_change(status)
    assert mask(found, "CapEff") == 1 << kernel.CAP_KILL
    for name in ("CapPrm", "CapInh", "CapAmb", "CapBnd"):
        assert mask(found, name) == ALL_KEPT, name


def test_files_of_root_are_closed_to_it() -> None:
    answer = after_change(lambda: repr(os.access("/etc/shadow", os.R_OK)))
    assert answer == "False"


def test_the_bond_to_the_parents_life_survives() -> None:
    def tie() -> None:
        prctl.change(prctl.PR_SET_PDEATHSIG, signal.SIGTERM)

    answer = after_change(lambda: str(prctl.parent_death_signal()), before=tie)
    assert answer == str(int(signal.SIGTERM))
    assert after_change(lambda: str(prctl.parent_death_signal())) == "0"


def test_root_of_a_container_keeps_what_it_has() -> None:
    fewer = KEPT - {kernel.CAP_SYS_ADMIN}
    answer = after_change(
        lambda: repr(sorted(kernel.permitted_capabilities())),
        before=lambda: kernel.set_capabilities(fewer, fewer),
    )
    assert answer == repr(sorted(fewer))
