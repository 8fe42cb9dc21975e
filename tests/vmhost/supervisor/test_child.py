"""A host as its supervisor holds it, with a test at the other ends of its pipes."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from luafarm.errors import ProtocolError
from luafarm.names import HostId, Machine, Pool
from luafarm.wire.messages import HostUp
from vmhost import report, scoreboard
from vmhost.report import LayersTold, ServingTold
from vmhost.sandbox.layers import Layer
from vmhost.scoreboard import HostSlot
from vmhost.supervisor.child import Child

UP = HostUp(HostId("h"), Pool("p"), Machine("m"), "", b"", "", b"", (), (), 0, 0)
LAYER = Layer("uid", holds=True, detail="uid 5")


class Host:
    """The host's ends."""

    def __init__(self) -> None:
        self.page = scoreboard.create()
        ours, self.report = os.pipe2(os.O_NONBLOCK)
        errors, self.errors = os.pipe2(os.O_NONBLOCK)
        self.child = Child(UP, self.page, ours, errors)

    def flood(self, text: bytes) -> int:
        """Write until the pipe is full; return how much it took."""
        taken = 0
        try:
            while True:
                taken += os.write(self.errors, text)
        except BlockingIOError:
            return taken

    def close(self) -> None:
        self.child.close()
        for fd in (self.page, self.report, self.errors):
            os.close(fd)


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host()
    yield made
    made.close()


def test_reports_arrive_whole_however_they_are_cut(host: Host) -> None:
    receiver, sender = os.pipe()
    report.write_sealed(sender, [LAYER], ["netns: no"])
    report.write_ready(sender)
    text = os.read(receiver, 65536)
    os.close(receiver)
    os.close(sender)
    said: list[LayersTold | ServingTold] = []
    for byte in text:
        os.write(host.report, bytes([byte]))
        said += host.child.read_report()
    assert said == [LayersTold((LAYER,), ("netns: no",)), ServingTold()]
    assert host.child.layers == (LAYER,)


def test_nothing_is_read_after_ready(host: Host) -> None:
    report.write_ready(host.report)
    assert host.child.read_report() == [ServingTold()]
    assert host.child.report_fd == -1
    assert host.child.read_report() == []


def test_an_endless_report_is_a_protocol_error(host: Host) -> None:
    with pytest.raises(ProtocolError, match="16384 bytes"):  # noqa: PT012
        for _ in range(10):
            os.write(host.report, b"x" * 4096)
            host.child.read_report()


def test_the_end_of_the_standard_error_is_kept(host: Host) -> None:
    os.write(host.errors, b"first " + b"." * 5000 + b" last\xff")
    while host.child.read_errors():
        pass
    assert len(host.child.errors) < 5000
    assert host.child.errors.endswith(" last\\xff")


def test_a_host_that_floods_is_read_again_after_a_while(host: Host) -> None:
    child = host.child
    while child.errors_fd in child.fds():
        assert host.flood(b"x" * 1000)
        child.read_errors()
    assert child.report_fd in child.fds()
    child.listen_again()
    assert child.errors_fd in child.fds()


def test_the_heartbeat_survives_any_counts(host: Host) -> None:
    slot = HostSlot(host.page)
    slot.begin(7, b"/srv/a.lua", 1, 2)
    slot._words[256] = (1 << 64) - 1
    host.child.pid = os.getpid()
    row = host.child.row(0)
    assert row.requests == (1 << 63) - 1
    assert row.running == b"/srv/a.lua"
    assert row.rss_kib > 1000


def test_a_host_that_is_gone_has_no_memory(host: Host) -> None:
    host.child.pid = 1 << 22
    assert host.child.row(0).rss_kib == 0


def test_a_late_host_is_known_to_be_stopped_and_one_in_time_is_not_asked(
    host: Host,
) -> None:
    slot = HostSlot(host.page)
    with subprocess.Popen(["sleep", "600"]) as process:
        try:
            host.child.pid = process.pid
            late, in_time = time.monotonic_ns() - 1, time.monotonic_ns() + 10**12
            slot.begin(1, b"/x", 0, late)
            assert not host.child.reading().is_stopped
            process.send_signal(signal.SIGSTOP)
            assert os.waitpid(process.pid, os.WUNTRACED)[0] == process.pid
            assert host.child.reading().is_stopped
            slot.begin(2, b"/x", 0, in_time)
            assert not host.child.reading().is_stopped
        finally:
            process.kill()


def test_the_heartbeat_says_how_long_an_idle_host_has_been_silent(host: Host) -> None:
    slot = HostSlot(host.page)
    assert host.child.row(10**10).silent_ms == 0  # it has not begun to speak
    slot.beat(4 * 10**9)
    assert host.child.row(10**10).silent_ms == 6000
    slot.beat(11 * 10**9)
    assert host.child.row(10**10).silent_ms == 0
    slot.begin(7, b"/srv/a.lua", 1, 2)
    assert host.child.row(10**11).silent_ms == 0  # busy, it need not speak
