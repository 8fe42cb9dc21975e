"""`python -m vmhost` starts the supervisor, which starts everything else."""

# Impure.

import os
import sys

import setproctitle

from luafarm.config import configure
from luafarm.errors import SettingsError
from luafarm.process import descriptors, limits, logs, privileges, pulse
from vmhost.supervisor import loop

TITLE = "luafarm-supervisor"


def main() -> int:
    """Run a supervisor with the settings of the command line; return the exit code."""
    descriptors.occupy()
    watched, arguments = pulse.take(sys.argv[1:], os.environ)
    settings = configure.for_role(arguments)
    setproctitle.setproctitle(TITLE)
    try:
        logs.setup(settings.log, TITLE, privileges.ids(settings.security))
        limits.raise_files()
        return loop.run(settings, watched)
    except SettingsError as error:
        configure.refuse(error)


if __name__ == "__main__":
    raise SystemExit(main())
