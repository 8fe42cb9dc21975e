"""The front process: listeners and service on one event loop, and its end."""

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
from pathlib import Path
from typing import Final

import uvloop

from fcgi import sockets
from fcgi.http import HttpListener
from fcgi.listener import Server
from fcgi.service import Service
from luafarm import curve, privileges, rundir
from luafarm.endpoints import parse_host_port
from luafarm.errors import SettingsError
from luafarm.names import Machine
from luafarm.settings import Settings

logger = logging.getLogger("luafarm.front")

DRAIN_TICK_S: Final = 0.02

GC_THRESHOLDS: Final = (20_000, 20, 50)
"""A request makes no reference cycles; the collector only looks for accidents."""


def machine_name(settings: Settings) -> Machine:
    """Return the name of this machine in the farm."""
    return Machine(settings.vmhost.machine or socket.gethostname())


def load_keys(settings: Settings) -> curve.Keys | None:
    """Return this role's keys; None on a farm without."""
    keys = settings.security.keys
    return curve.load(Path(keys), "fcgi") if keys else None


def run(settings: Settings) -> int:
    """Serve until TERM or INT; return the exit code."""
    listening = [sockets.bind(text, settings.front) for text in settings.front.listen]
    web = _http_socket(settings)
    if not listening and web is None:
        raise SettingsError("[front] listen and http are both empty: nothing to serve")
    _raise_file_limit(settings)
    keys = load_keys(settings)
    broker = rundir.broker_endpoint(settings)
    privileges.drop(settings.security)
    return uvloop.run(_serve(settings, listening, web, keys, broker))


async def _serve(
    settings: Settings,
    listening: list[socket.socket],
    web: socket.socket | None,
    keys: curve.Keys | None,
    broker: str,
) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    machine = machine_name(settings)
    service = Service(loop, settings, f"front-{os.getpid()}", machine, broker, keys)
    server = Server(loop, settings, service)
    service.gauges = server.gauges
    for sock in listening:
        server.listen(sock)
    http: HttpListener | None = None
    http_task: asyncio.Task[None] | None = None
    if web is not None:
        http = HttpListener(settings, service, _first_root(settings))
        http_task = loop.create_task(http.serve(web))
    gc.collect()
    gc.freeze()  # what is here stays: the collector need not look at it again
    gc.set_threshold(*GC_THRESHOLDS)
    logger.info("serving listen=%s http=%s", settings.front.listen, settings.front.http)
    await stop.wait()
    logger.info("stopping: finishing %d requests", service.outstanding)
    server.drain()
    if http is not None and http_task is not None:
        http.stop()
    await _drain(server, service, loop.time() + settings.vmhost.stop_timeout)
    if http_task is not None:
        http_task.cancel()
    left = service.outstanding
    server.close()
    service.close()
    if left:
        logger.warning("stopped with %d requests unanswered", left)
    return 0


async def _drain(server: Server, service: Service, deadline: float) -> None:
    loop = asyncio.get_running_loop()
    # polled: an event would tie the service to the listeners for the sake of the end
    while service.outstanding or server.peers:
        if loop.time() >= deadline:
            return
        await asyncio.sleep(DRAIN_TICK_S)


def _http_socket(settings: Settings) -> socket.socket | None:
    if not settings.front.http:
        return None
    host, port = parse_host_port(settings.front.http)
    try:
        return sockets.tcp(host, port, settings.front.backlog)
    except OSError as error:
        raise SettingsError(
            f'[front] http = "{settings.front.http}": {error.strerror or error}'
        ) from None


def _first_root(settings: Settings) -> bytes:
    for pool in settings.pool.values():
        for root in pool.root:
            return os.fsencode(Path(root).absolute())
    raise SettingsError("[front] http needs a pool with a root to serve")


def _raise_file_limit(settings: Settings) -> None:
    """Let the process open a descriptor for each connection, and some more."""
    wanted = settings.front.max_connections + 1024
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        logger.warning(
            "max_connections=%d wants %d file descriptors; the limit is %d "
            "(LimitNOFILE, ulimit -n)",
            settings.front.max_connections,
            wanted,
            hard,
        )
        wanted = hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
