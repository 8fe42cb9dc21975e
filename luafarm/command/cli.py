"""The `luafarm` command.

Exit codes are vocabulary: 0 done, 1 failed, 2 wrong usage or configuration.
"""

# Impure.

import argparse
import importlib
import signal
from collections.abc import Sequence
from typing import Final, cast

from luafarm import output
from luafarm.command.arguments import FAILED, WRONG, parser
from luafarm.errors import NoAnswerError, SettingsError
from luafarm.process import descriptors

MODULES: Final = {
    "up": "serve",
    "broker": "serve",
    "vmhost": "serve",
    "fcgi": "serve",
    "status": "queries",
    "reload": "queries",
    "run": "once",
    "check": "once",
    "config": "listing",
    "keygen": "listing",
}
"""Where the function `run` of each command is. Only that module is imported: the start
of a farm is quicker by what it does not need."""

_EARLY: Final = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""What a farm is told while it starts waits until it can be done, and ends nothing."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    descriptors.occupy()
    try:
        code = _code(argv)
        output.flush()
    except output.OutputError as error:
        if error.is_gone:
            return output.GONE
        output.say(f"luafarm: {error}")
        return FAILED
    return code


def _code(argv: Sequence[str] | None) -> int:
    try:
        return _run(parser().parse_args(argv))
    except SystemExit as ended:  # of the parser, which has printed something
        return ended.code if isinstance(ended.code, int) else FAILED
    except SettingsError as error:
        output.say(f"luafarm: configuration: {error}")
        return WRONG
    except NoAnswerError as error:
        output.say(f"luafarm: {error}")
        return FAILED
    except OSError as error:  # the world's: a disk that is full, a file that is gone
        output.say(f"luafarm: {error.filename or 'failed'}: {error.strerror or error}")
        return FAILED
    except KeyboardInterrupt:
        return FAILED


def _run(arguments: argparse.Namespace) -> int:
    name = MODULES[arguments.command]
    early = _EARLY if name == "serve" else ()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, early)
    try:
        module = importlib.import_module(f"luafarm.command.{name}")
        return cast("int", module.run(arguments))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
