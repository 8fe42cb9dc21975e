"""Fixtures of the tests of VM hosts."""

from collections.abc import Iterator

import pytest

from luafarm.wire.messages import Drop, Gone, Inventory, TakeInventory
from tests.vmhost.host.hosting import PATIENT, Process, hosting


@pytest.fixture(scope="module")
def shared_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Return a VM host for all tests of a module that leave it as it was.

    Soft stops have all the time that a busy machine may give them.
    """
    with hosting(tmp_path_factory.mktemp("host"), PATIENT) as process:
        yield process


@pytest.fixture
def host(shared_host: Process) -> Iterator[Process]:
    """Return the module's VM host; what the test loaded is dropped after it."""
    yield shared_host
    broker = shared_host.broker()
    broker.say(TakeInventory())
    for row in broker.expect(Inventory).states:
        broker.say(Drop(row.script, row.epoch))
        assert broker.expect(Gone).script == row.script
    shared_host.hang_up()
