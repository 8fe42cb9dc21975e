"""`python -m fcgi` starts the front process."""

import sys

import setproctitle

from fcgi import loop
from luafarm import configure, descriptors, logs
from luafarm.errors import SettingsError

TITLE = "luafarm-front"


def main() -> int:
    """Run a front with the settings of the command line; return the exit code."""
    descriptors.occupy()
    settings = configure.for_role(sys.argv[1:])
    setproctitle.setproctitle(TITLE)
    try:
        logs.setup(settings.log, TITLE)
        return loop.run(settings)
    except SettingsError as error:
        configure.refuse(error)


if __name__ == "__main__":
    raise SystemExit(main())
