"""A supervisor whose VM hosts are captured, but for those of the pool `web`.

`python -m tests.captured.criminal --config FILE` is the supervisor, and with a
descriptor and dialects instead its zygote.
"""

import signal
import socket
import sys
from collections.abc import Callable
from typing import NoReturn

import setproctitle

from luafarm.config import configure
from luafarm.dialects import Dialect
from luafarm.process import logs
from luafarm.process.pulse import Pulse
from tests.captured.births import BIRTHS, held
from tests.captured.captive import Captive
from tests.captured.catalogue import CRIMES
from vmhost import report, zygote
from vmhost.host import loop as host
from vmhost.host.config import HostConfig
from vmhost.host.services.table import OPERATIONS
from vmhost.lua import state
from vmhost.sandbox.layers import Layer
from vmhost.scoreboard import HostSlot
from vmhost.supervisor import loop
from vmhost.supervisor.turn import Turn

MODULE = "tests.captured.criminal"
HONEST = "web"


def serve(
    config: HostConfig,
    listen_fd: int,
    slot: HostSlot,
    report_fd: int,
    seal: Callable[[], list[Layer]],
) -> NoReturn:
    """Be a host of this pool."""
    if config.pool == HONEST:
        host.serve(config, listen_fd, slot, report_fd, seal)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if config.pool in BIRTHS:
        BIRTHS[config.pool](report_fd)
    deeds = {crime.name: crime.deed for crime in CRIMES.values()}
    captive = Captive(config, listen_fd, slot, report_fd, deeds, held(config))
    seal()
    report.write_ready(report_fd)
    captive.live()


def main() -> int:
    """Be the supervisor, or its zygote."""
    if sys.argv[1].isdigit():
        setproctitle.setproctitle("luafarm-zygote")
        channel = socket.socket(fileno=int(sys.argv[1]))
        channel.set_inheritable(False)
        for dialect in sys.argv[2:]:
            state.prepare(Dialect(dialect), OPERATIONS)
        zygote.run(channel, serve)
        return 0
    settings = configure.for_role(sys.argv[1:]).settings
    setproctitle.setproctitle("luafarm-supervisor")
    logs.setup(settings.log, "luafarm-supervisor")
    return loop.run(settings, Pulse(), Turn(), MODULE)


if __name__ == "__main__":
    raise SystemExit(main())
