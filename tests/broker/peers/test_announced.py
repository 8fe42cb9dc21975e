"""What supervisors may announce."""

import pytest
from msgspec.structs import replace

from broker.peers.announced import fault
from luafarm.keys import curve
from luafarm.names import HostId, Machine, Pool
from luafarm.wire.messages import HostUp

A = Machine("a")
KEY = curve.fresh().public
FAR = HostUp(
    host=HostId("a-web-1-00ff00ff"),
    pool=Pool("web"),
    machine=A,
    endpoint="tcp://10.0.0.2:7001",
    server_key=KEY,
    notices="tcp://10.0.0.2:7000",
    notices_key=KEY,
    layers=(),
    missing=(),
    pid=1,
    uid=1,
)
NEAR = replace(
    FAR,
    endpoint="ipc:///run/luafarm/h/1-00ff00ff.sock",
    server_key=b"",
    notices="ipc:///run/luafarm/notices-a.sock",
    notices_key=b"",
)


def reason(up: HostUp, *, is_guarded: bool = True) -> str:
    return fault(up, A, "/run/luafarm", is_guarded=is_guarded)


@pytest.mark.parametrize("up", [FAR, NEAR])
def test_hosts_of_the_machine_are_believed(up: HostUp) -> None:
    assert reason(up) == ""
    assert reason(up, is_guarded=False) == ""


def test_a_host_of_another_machine_is_not_also_without_keys() -> None:
    up = replace(FAR, machine=Machine("b"))
    for is_guarded in (False, True):
        text = "the supervisor of a announced a host of machine b"
        assert reason(up, is_guarded=is_guarded) == text


@pytest.mark.parametrize("host", ["b-web-1-00ff00ff", "a-other-1-0", "web", "ab-web-1"])
def test_an_id_that_another_machine_may_have_is_refused(host: str) -> None:
    up = replace(FAR, host=HostId(host))
    assert f"announced host {host}, not a-web-..." in reason(up)


@pytest.mark.parametrize(
    "endpoint",
    [
        "ipc:///run/docker.sock",
        "ipc:///run/luafarm-other/h/1.sock",
        "ipc:///run/luafarm/../docker.sock",
        "tcp://127.0.0.1:6379",
        "inproc://zeromq.zap.01",
        "udp://10.0.0.2:1",
        "",
    ],
)
def test_nobody_is_sent_where_no_key_proves_who_answers(endpoint: str) -> None:
    host = replace(FAR, endpoint=endpoint, server_key=b"")
    assert f"at {endpoint} has no key that proves it" in reason(host)
    notices = replace(FAR, notices=endpoint, notices_key=b"")
    assert f"at {endpoint} has no key that proves it" in reason(notices)


@pytest.mark.parametrize(
    "key", [b"x", b"~" * 40, KEY + b"x"], ids=["short", "odd", "long"]
)
def test_what_is_no_key_proves_nothing(key: bytes) -> None:
    assert "has no key" in reason(replace(FAR, server_key=key))
    assert "has no key" in reason(replace(FAR, notices_key=key))
