"""`python -m fcgi` starts the front process."""

# Impure.

import sys

import setproctitle

from fcgi import family, loop
from luafarm import modules
from luafarm.config import configure
from luafarm.errors import SettingsError
from luafarm.process import children, descriptors, logs, privileges, pulse

TITLE = "luafarm-front"


def main() -> int:
    """Run a front with the settings of the command line; return the exit code."""
    descriptors.occupy()
    watched, arguments = pulse.take(sys.argv[1:])
    mine, arguments = family.parse(arguments)
    is_trial = children.TRIAL in arguments
    configuration = configure.for_role([a for a in arguments if a != children.TRIAL])
    settings = configuration.settings
    title = mine.title(TITLE)
    try:
        if is_trial:
            modules.load_all("fcgi")
            loop.load_keys(settings)
            return 0
        setproctitle.setproctitle(title)
        logs.setup(settings.log, title, privileges.ids(settings.security))
        return loop.run(settings, mine, watched)
    except SettingsError as error:
        configure.refuse(error, configuration)


if __name__ == "__main__":
    raise SystemExit(main())
