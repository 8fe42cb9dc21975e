"""The table of services, and what is computed in the state itself."""

import pytest

from tests.vmhost.host.hostdriver import BROKER, A, Driver
from vmhost.host.services.table import OPERATIONS
from vmhost.host.work import Load
from vmhost.lua.operation import BrokenStateError, Operation, Operations


def compute(name: str, value: bytes) -> object:
    return OPERATIONS.computed(trusted=True)[OPERATIONS.numbers[name]](value)


def test_digests_and_base64_are_computed() -> None:
    assert compute("MD5_HEX", b"") == b"d41d8cd98f00b204e9800998ecf8427e"
    assert compute("MD5", b"") == bytes.fromhex("d41d8cd98f00b204e9800998ecf8427e")
    assert compute("BASE64_ENCODE", b"\0" * 60) == b"A" * 80
    assert compute("BASE64_DECODE", b"A" * 80) == b"\0" * 60


def test_two_operations_never_share_a_number_or_name() -> None:
    with pytest.raises(AssertionError, match="one number or name"):
        Operations([Operation("X", 20, (), ()), Operation("Y", 20, (), ())])
    with pytest.raises(AssertionError, match="one number or name"):
        Operations([Operation("X", 20, (), ()), Operation("X", 21, (), ())])
    with pytest.raises(AssertionError, match="one number or name"):
        Operations([Operation("X", 0, (), ())])


@pytest.mark.parametrize("name", ["READ", "FLUSH", "MD5", "NOW"])
def test_while_a_script_loads_what_only_a_run_may_ask_is_a_broken_state(
    name: str,
) -> None:
    farm = Driver()
    farm.hear(BROKER, farm.load(A))
    assert isinstance(farm.take(), Load)
    with pytest.raises(BrokenStateError, match="without a request"):
        farm.machine.ask((OPERATIONS.numbers[name], 0, 1), 0)
