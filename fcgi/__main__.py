"""`python -m fcgi` starts the front process."""

# Impure.

import sys

import setproctitle

from fcgi import family, loop
from luafarm.config import configure
from luafarm.errors import SettingsError
from luafarm.process import descriptors, logs, privileges

TITLE = "luafarm-front"


def main() -> int:
    """Run a front with the settings of the command line; return the exit code."""
    descriptors.occupy()
    mine, arguments = family.parse(sys.argv[1:])
    settings = configure.for_role(arguments)
    title = mine.title(TITLE)
    setproctitle.setproctitle(title)
    try:
        logs.setup(settings.log, title, privileges.ids(settings.security))
        return loop.run(settings, mine)
    except SettingsError as error:
        configure.refuse(error)


if __name__ == "__main__":
    raise SystemExit(main())
