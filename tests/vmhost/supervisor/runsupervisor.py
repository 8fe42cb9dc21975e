"""A supervisor of fake hosts.

`python -m tests.vmhost.supervisor.runsupervisor ZYGOTE --config FILE` starts it.

It logs to standard error like the real one.
"""

import sys

import setproctitle

from luafarm.config import configure
from luafarm.errors import SettingsError
from luafarm.process import logs
from luafarm.process.pulse import Pulse
from vmhost.supervisor import loop, turn


def main() -> int:
    """Run it; return the exit code."""
    mine, arguments = turn.parse(sys.argv[2:])
    settings = configure.for_role(arguments).settings
    setproctitle.setproctitle("luafarm-supervisor")
    logs.setup(settings.log, "luafarm-supervisor")
    try:
        return loop.run(settings, Pulse(), mine, sys.argv[1])
    except SettingsError as error:
        configure.refuse(error)


if __name__ == "__main__":
    raise SystemExit(main())
