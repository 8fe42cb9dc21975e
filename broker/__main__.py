"""`python -m broker` runs a broker until TERM or INT."""

# Impure.

import contextlib
import gc
import logging
import os
import sys
import time
from pathlib import Path
from typing import Final

import zmq
from setproctitle import setproctitle

from broker.loop import Loop
from luafarm.config import configure
from luafarm.config.settings import Settings
from luafarm.errors import SettingsError
from luafarm.keys import curve
from luafarm.process import descriptors, limits, logs, privileges, pulse, rundir
from luafarm.process.pulse import Pulse

TITLE: Final = "luafarm-broker"

RECORD: Final = "LUAFARM_RECORD"
"""Environment variable with the file for what fronts and hosts report. No setting:
only who works on the policies wants it, for `python -m bench.simulate --trace`."""

_TERM_S: Final = 64
"""Seconds that one term of a broker lasts at least, so that 23 bits reach to 2037."""

_FIRST_TERM: Final = 1_577_836_800  # 2020-01-01, Unix time

GC_THRESHOLDS: Final = (20_000, 20, 50)
"""Rows that go leave no reference cycles; looking at all that stay takes 0.1 s in a
farm of 20,000 states, so the collector seldom looks for accidents."""


def next_term(file: Path, wall_clock_s: float) -> int:
    """Return a term above that of every earlier broker of this run directory."""
    term = int(wall_clock_s - _FIRST_TERM) // _TERM_S
    # no file: the first broker here, or hosts of an earlier one tell their epochs
    with contextlib.suppress(OSError, ValueError):
        term = max(term, int(file.read_text("ascii")) + 1)
    try:
        file.write_text(f"{term}\n", "ascii")
    except OSError as error:
        logging.getLogger("luafarm.broker").warning("%s: %s", file, error.strerror)
    return term


def _serve(settings: Settings, watched: Pulse) -> None:
    run = rundir.prepare(settings.paths, settings.security.user)
    claim = rundir.Claim(run, "broker")
    endpoint = rundir.broker_endpoint(settings)
    rundir.check_free(endpoint)
    keys = None
    endpoints = (endpoint, settings.vmhost.endpoint)
    if any(curve.is_wanted(settings.security, text) for text in endpoints):
        machine = rundir.machine(settings)
        keys = curve.load(Path(settings.security.keys), "broker", machine)
    privileges.drop(settings.security)
    term = next_term(run / "broker.term", time.time())
    record = os.environ.get(RECORD, "")
    try:
        loop = Loop(
            settings, endpoint, term, keys, Path(record) if record else None, watched
        )
    except zmq.ZMQError as error:
        raise SettingsError(f'[broker] endpoint = "{endpoint}": {error}') from None
    loop.catch_signals()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        loop.run()
    finally:
        claim.release()


def main() -> None:
    """Run the broker; exit code 0 when it was stopped, 2 when it cannot start."""
    descriptors.occupy()
    watched, arguments = pulse.take(sys.argv[1:], os.environ)
    settings = configure.for_role(arguments)
    setproctitle(TITLE)
    try:
        logs.setup(settings.log, TITLE, privileges.ids(settings.security))
        limits.raise_files()
        _serve(settings, watched)
    except SettingsError as error:
        configure.refuse(error)


if __name__ == "__main__":
    main()
