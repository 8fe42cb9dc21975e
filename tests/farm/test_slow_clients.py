"""Web servers that stop reading: they are let go, whatever little is left for them."""

import select

import pytest

from tests.farm.client import Client
from tests.farm.farms import up

pytestmark = pytest.mark.process

SETTINGS = '[front]\nsend_timeout = "500 ms"\n'
# more than a socket holds, less than `reply_memory`: nothing is paused
LONG = 'function main(env, con) con:puts(string.rep("x", 600 * 1024)) end'


def test_a_client_that_takes_nothing_is_cut_off_after_send_timeout() -> None:
    with up(SETTINGS, hosts=1) as farm:
        script = farm.write("long.lua", LONG)
        client = Client(farm.socket)
        client.send(script)
        poll = select.poll()
        poll.register(client.socket, select.POLLRDHUP)
        assert poll.poll(50_000), "it is not let go"  # 60 s is the default
        reply = client.receive()
        assert reply.status == 200
        assert not reply.whole
        assert len(reply.body) < 600 * 1024
        client.close()
