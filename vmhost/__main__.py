"""`python -m vmhost` starts the supervisor, which starts everything else."""

import sys

import setproctitle

from luafarm import configure, descriptors, limits, logs, privileges
from luafarm.errors import SettingsError
from vmhost import loop

TITLE = "luafarm-supervisor"


def main() -> int:
    """Run a supervisor with the settings of the command line; return the exit code."""
    descriptors.occupy()
    settings = configure.for_role(sys.argv[1:])
    setproctitle.setproctitle(TITLE)
    try:
        logs.setup(settings.log, TITLE, privileges.ids(settings.security))
        limits.raise_files()
        return loop.run(settings)
    except SettingsError as error:
        configure.refuse(error)


if __name__ == "__main__":
    raise SystemExit(main())
