"""What a front and its broker say of each other's end."""

import asyncio
import logging
from pathlib import Path

import pytest

from luafarm.ends import Death
from luafarm.names import HostId, RequestId, Script
from luafarm.wire.messages import (
    PROTOCOL,
    HostLost,
    Message,
    Report,
    Role,
    Snapshot,
    Welcome,
)
from tests.fcgi.hosts.test_trust import lines, meet, stage, until_logged

pytestmark = pytest.mark.process


def welcome() -> Welcome:
    return Welcome(PROTOCOL, Role.BROKER, "broker", 1)


def is_retiring(message: Message) -> bool:
    return isinstance(message, Report) and dict(message.gauges)["retiring"] == 1


def is_last(message: Message) -> bool:
    return isinstance(message, Report) and message.is_last


def test_a_front_says_that_it_retires_and_when_it_is_no_more(tmp_path: Path) -> None:
    async def play() -> None:
        async with stage(tmp_path) as farm:
            await farm.broker.say(welcome())
            farm.service.retire()
            await farm.broker.hear(is_retiring)
            farm.service.close()
            await farm.broker.hear(is_last)

    asyncio.run(play())


def test_nothing_above_info_is_said_of_a_broker_and_hosts_that_are_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "luafarm")

    async def play() -> None:
        async with stage(tmp_path) as farm:
            notices = farm.peer("notices-a")
            farm.peer("a-1")
            await farm.broker.say(welcome())
            await farm.broker.say(Snapshot((farm.up("a-1", notices.endpoint),), ()))
            await meet(notices, Role.SUPERVISOR)
            stopped = Death.STOPPED
            news = HostLost(HostId("a-1"), RequestId(0), (), Script(b""), stopped, "")
            await notices.say(news)
            await until_logged(caplog, "host ended as asked host=a-1")
            farm.broker.socket.close()
            await until_logged(caplog, "broker gone")

    asyncio.run(play())
    assert lines(caplog, "lost") == []
    assert [r.message for r in caplog.records if r.levelno > logging.INFO] == []
