"""`python -m vmhost` starts the supervisor, which starts everything else."""

# Impure.

import importlib
import sys

import setproctitle

from luafarm import modules
from luafarm.config import configure
from luafarm.config.settings import Settings
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
    configuration = configure.for_role([a for a in arguments if a != children.TRIAL])
    settings = configuration.settings
    try:
        if is_trial:
            modules.load_all("vmhost")
            loop.check(settings)
            _make_states(settings)
            return 0
        setproctitle.setproctitle(TITLE)
        logs.setup(settings.log, TITLE, privileges.ids(settings.security))
        limits.raise_files()
        return loop.run(settings, watched, mine)
    except SettingsError as error:
        configure.refuse(error, configuration)


def _make_states(settings: Settings) -> None:
    """Make a Lua state of each dialect as VM hosts will; raise what is in the way."""
    # by name: a supervisor itself has nothing to do with Lua
    states = importlib.import_module("vmhost.host.attempt")
    for dialect in {pool.dialect for pool in settings.pool.values()}:
        states.attempt(dialect)


if __name__ == "__main__":
    raise SystemExit(main())
