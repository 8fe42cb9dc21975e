"""`python -m broker` runs a broker until TERM or INT."""

# Impure.

import contextlib
import gc
import logging
import os
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import zmq
from setproctitle import setproctitle

from broker.loop import Loop
from luafarm import modules
from luafarm.config import configure
from luafarm.config.settings import Settings
from luafarm.errors import SettingsError
from luafarm.keys import curve
from luafarm.process import (
    children,
    descriptors,
    limits,
    logs,
    privileges,
    pulse,
    rundir,
)
from luafarm.process.pulse import Pulse

TITLE: Final = "luafarm-broker"

RECORD: Final = "LUAFARM_RECORD"
"""Environment variable with the file for what fronts and hosts report. No setting:
only who works on the policies wants it, for `python -m bench.simulate --trace`."""

BESIDE: Final = "--beside"
"""Option of a broker that is started while another one still serves."""

_TCP: Final = "tcp://"
_LOOK_S: Final = 0.005  # between two looks whether that one has ended

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


def _keys(settings: Settings) -> curve.Keys | None:
    endpoints = (rundir.broker_endpoint(settings), settings.vmhost.endpoint)
    if not any(curve.is_wanted(settings.security, text) for text in endpoints):
        return None
    machine = rundir.machine(settings)
    return curve.load(Path(settings.security.keys), "broker", machine)


def collides(endpoint: str, before: str) -> bool:
    """Say whether an endpoint cannot be bound while a predecessor has this one.

    before: empty: nobody knows which.
    """
    if not before or endpoint == before:
        return True
    is_tcp = endpoint.startswith(_TCP) and before.startswith(_TCP)
    port = endpoint.rpartition(":")[2]
    return is_tcp and port != "*" and port == before.rpartition(":")[2]


def _serve(settings: Settings, watched: Pulse, *, is_beside: bool) -> None:
    run = rundir.prepare(settings.paths, settings.security.user)
    claim = rundir.Claim(run, "broker", later=is_beside)
    endpoint = rundir.broker_endpoint(settings)
    is_held = is_beside and collides(endpoint, claim.noted())
    if not is_held:
        rundir.check_free(endpoint)
    keys = _keys(settings)
    privileges.drop(settings.security)
    term = next_term(run / "broker.term", time.time())
    record = os.environ.get(RECORD, "")
    loop = Loop(
        settings, endpoint, term, keys, Path(record) if record else None, watched
    )
    with _refused(endpoint):
        if is_held:
            loop.check()
        else:
            loop.open()
    if is_beside:
        # all that can fail has been done: from now on the one before may end
        watched.serves("waits for the broker before it to end")
        claim.wait(partial(_wait, watched))
    if is_held:
        rundir.check_free(endpoint)
        with _refused(endpoint):
            loop.open()
    claim.note(endpoint)
    loop.catch_signals()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        loop.run()
    finally:
        claim.release()


@contextlib.contextmanager
def _refused(endpoint: str) -> Iterator[None]:
    """Make an endpoint that cannot be bound a fault of the settings."""
    try:
        yield
    except zmq.ZMQError as error:
        line = f'[broker] endpoint = "{endpoint}": {error}'
        raise SettingsError(line, "broker.endpoint") from None


def _wait(watched: Pulse) -> bool:
    watched.beat(time.monotonic())
    time.sleep(_LOOK_S)
    return True


def main() -> None:
    """Run the broker; exit code 0 when it was stopped, 2 when it cannot start."""
    descriptors.occupy()
    watched, arguments = pulse.take(sys.argv[1:])
    is_beside, is_trial = BESIDE in arguments, children.TRIAL in arguments
    options = {BESIDE, children.TRIAL}
    configuration = configure.for_role([a for a in arguments if a not in options])
    settings = configuration.settings
    try:
        if is_trial:
            modules.load_all("broker")
            _keys(settings)
            return
        setproctitle(TITLE)
        logs.setup(settings.log, TITLE, privileges.ids(settings.security))
        limits.raise_files()
        _serve(settings, watched, is_beside=is_beside)
    except SettingsError as error:
        configure.refuse(error, configuration)


if __name__ == "__main__":
    main()
