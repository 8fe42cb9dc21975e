"""`python -m fcgi` starts the front process."""

# Impure.

import os
import sys

import setproctitle

from fcgi import family, loop
from luafarm.config import configure
from luafarm.errors import SettingsError
from luafarm.process import descriptors, logs, privileges, pulse

TITLE = "luafarm-front"


def main() -> int:
    """Run a front with the settings of the command line; return the exit code."""
    descriptors.occupy()
    watched, arguments = pulse.take(sys.argv[1:], os.environ)
    mine, arguments = family.parse(arguments)
    settings = configure.for_role(arguments)
    title = mine.title(TITLE)
    setproctitle.setproctitle(title)
    try:
        logs.setup(settings.log, title, privileges.ids(settings.security))
        return loop.run(settings, mine, watched)
    except SettingsError as error:
        configure.refuse(error)


if __name__ == "__main__":
    raise SystemExit(main())
