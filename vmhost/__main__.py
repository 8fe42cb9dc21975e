"""`python -m vmhost` starts the supervisor, which starts everything else."""

# Impure.

import sys

import setproctitle

from luafarm.config import configure
from luafarm.errors import SettingsError
from luafarm.process import children, descriptors, limits, logs, privileges, pulse
from vmhost.supervisor import loop, turn

TITLE = "luafarm-supervisor"


def main() -> int:
    """Run a supervisor with the settings of the command line; return the exit code."""
    descriptors.occupy()
    watched, arguments = pulse.take(sys.argv[1:])
    mine, arguments = turn.parse(arguments)
    is_trial = children.TRIAL in arguments
    settings = configure.for_role([a for a in arguments if a != children.TRIAL])
    try:
        if is_trial:
            loop.check(settings)
            return 0
        setproctitle.setproctitle(TITLE)
        logs.setup(settings.log, TITLE, privileges.ids(settings.security))
        limits.raise_files()
        return loop.run(settings, watched, mine)
    except SettingsError as error:
        configure.refuse(error)


if __name__ == "__main__":
    raise SystemExit(main())
