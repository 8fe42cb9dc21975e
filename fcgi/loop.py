"""The front process: listeners and service on one event loop, and its end."""

# Impure.

import asyncio
import gc
import logging
import signal
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Final

import uvloop

from fcgi.connections import Connections, Ear
from fcgi.family import Family, Handover
from fcgi.fastcgi.listener import FcgiListener
from fcgi.http.listener import HttpListener
from fcgi.service import Service
from fcgi.terms import Terms
from luafarm.config.settings import Settings
from luafarm.errors import SettingsError
from luafarm.gaps import GAP_S
from luafarm.keys import curve
from luafarm.process import addresses, limits, privileges, rundir
from luafarm.process.pulse import Pulse
from luafarm.process.sockets import Listening

logger = logging.getLogger("luafarm.front")

POLL_S: Final = 0.01
READY_S: Final = 2.0
"""Until then a front that starts waits for what the broker knows, and leaves new
connections to other fronts, which know already."""

GIVE_S: Final = 60.0
"""So long a front that retires gives away what is idle at one look of 12,000. What was
idle at none it closes in the end, when a request may be on its way."""

GC_THRESHOLDS: Final = (20_000, 20, 50)
"""A request makes no reference cycles; the collector only looks for accidents."""


def load_keys(settings: Settings) -> curve.Keys | None:
    """Return this role's keys; None on a farm without."""
    keys = settings.security.keys
    return curve.load(Path(keys), "fcgi", rundir.machine(settings)) if keys else None


def run(settings: Settings, family: Family, pulse: Pulse) -> int:
    """Serve until TERM or INT, or until USR2 asks to leave to the others; exit code."""
    listening = Listening(settings.front, owns=True)
    if not listening.fastcgi and listening.http is None:
        raise SettingsError("[front] listen and http are both empty: nothing to serve")
    most = limits.connections(settings.front.max_connections)
    settings = replace(settings, front=replace(settings.front, max_connections=most))
    keys = load_keys(settings)
    if not settings.broker.endpoint:  # whoever comes first makes it, so no stranger can
        rundir.prepare(settings.paths, settings.security.user)
    broker = rundir.broker_endpoint(settings)
    privileges.drop(settings.security)
    front = _Front(settings, family, listening, pulse)
    return uvloop.run(front.serve(broker, keys))


class _Front:
    """One front from its start to its end."""

    def __init__(
        self,
        settings: Settings,
        family: Family,
        listening: Listening,
        pulse: Pulse,
    ) -> None:
        self._settings = settings
        self._family = family
        self._listening = listening
        self._pulse = pulse
        self._changed = asyncio.Event()  # a signal came
        self._is_stopping = False
        self._is_retiring = False

    async def serve(self, broker: str, keys: curve.Keys | None) -> int:
        """Serve until the end; return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        settings, family = self._settings, self._family
        machine = rundir.machine(settings)
        name = f"{machine}-front-{family.number}"
        service = Service(
            loop, settings, name, machine, broker, keys, number=family.number - 1
        )
        handover = None
        if family.handover is not None:
            handover = Handover(*family.handover)
            loop.add_signal_handler(signal.SIGUSR2, self._retire)
        terms = Terms(settings)
        front = settings.front
        connections = Connections(
            loop, front.max_connections, front.backlog, service.gauges, handover
        )
        fastcgi = FcgiListener(front, terms, service, connections)
        ears: list[Ear] = [(sock, fastcgi) for sock in self._listening.fastcgi]
        if self._listening.http is not None:
            http = HttpListener(settings, terms, service, connections)
            ears.append((self._listening.http, http))
        gc.collect()
        gc.freeze()  # what is here stays: the collector need not look at it again
        gc.set_threshold(*GC_THRESHOLDS)
        self._beat()
        await self._wait_for_farm(service)
        if self._is_stopping and not service.is_ready():
            # what waits could not be served here: it is left to whoever comes next
            logger.info("stopping before it served")
        else:
            connections.listen(ears)
            self._pulse.serves("serving", knows_farm=service.knows_farm)
            logger.info("serving %s", _heard(self._listening))
            await self._changed.wait()
        self._pulse.stops()
        await self._end(connections, service)
        return 0

    def _beat(self) -> None:
        """Say that this loop turns, now and every second."""
        loop = asyncio.get_running_loop()
        self._pulse.beat(loop.time())
        loop.call_later(self._pulse.every_s, self._beat)

    def _stop(self) -> None:
        self._is_stopping = True
        self._changed.set()

    def _retire(self) -> None:
        self._is_retiring = True
        self._changed.set()

    async def _wait_for_farm(self, service: Service) -> None:
        """Wait until requests can be served, at most READY_S."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + READY_S
        while not service.is_ready():
            if loop.time() >= deadline or self._is_stopping:
                return
            await asyncio.sleep(POLL_S)

    async def _end(self, connections: Connections, service: Service) -> None:
        """Finish what was begun: within the time that there is for a stop.

        Who retires has all the time that its requests may take.
        """
        left_s = self._settings.vmhost.stop_timeout
        service.retire()
        if self._is_retiring and not self._is_stopping:
            logger.info("retiring: idle connections go to the other fronts")
            connections.retire()
            await self._drain(connections, service, GIVE_S, until_stopped=True)
            if not self._is_stopping:
                connections.drain()
                await self._drain(connections, service, inf, until_stopped=True)
        if connections or service.outstanding or not self._is_retiring:
            logger.info("stopping: finishing %d requests", service.outstanding)
        connections.drain()
        await self._drain(connections, service, left_s, until_stopped=False)
        service.give_up()
        left = service.outstanding
        connections.close()
        service.close()
        self._listening.close()
        if left:
            logger.warning("stopped with %d requests unanswered", left)

    async def _drain(
        self,
        connections: Connections,
        service: Service,
        seconds: float,
        *,
        until_stopped: bool,
    ) -> None:
        """Wait until all is answered, so long at most.

        While this process stood still nothing could be answered: that counts little.
        """
        loop = asyncio.get_running_loop()
        spent_s, looked_at = 0.0, loop.time()
        # polled: an event would tie service and listeners for the sake of the end
        while service.outstanding or connections:
            now = loop.time()
            spent_s += min(now - looked_at, GAP_S)
            looked_at = now
            if spent_s >= seconds or (until_stopped and self._is_stopping):
                break
            await asyncio.sleep(POLL_S)


def _heard(listening: Listening) -> str:
    """Return in words where a front listens."""
    words = [f"listen={addresses.shown(sock)}" for sock in listening.fastcgi]
    if listening.http is not None:
        words.append(f"http={addresses.shown(listening.http)}")
    return " ".join(words)
