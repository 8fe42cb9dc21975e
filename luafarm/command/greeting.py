"""What `luafarm up` says once the farm serves: where, to whom, and nginx's lines."""

# Impure.

import logging
import textwrap
from typing import Final

from luafarm import output
from luafarm.command import nginx
from luafarm.config import endpoints
from luafarm.config.configure import Configuration
from luafarm.config.settings import Settings
from luafarm.process import access as rights
from luafarm.version import VERSION

_NGINX: Final = """
nginx: these lines into http {}, for instance as /etc/nginx/sites-enabled/default in
place of what is there. Apache, lighttpd and HAProxy: config/ of the sources.

"""


logger = logging.getLogger("luafarm.up")


def warn(configuration: Configuration) -> None:
    """Log what was said of settings and does not count, as something else wins."""
    for line in configuration.overruled:
        logger.warning("%s", line)


def show(settings: Settings) -> None:
    """Print the greeting, if standard output takes it; the farm serves anyway."""
    try:
        output.put(text(settings))
    except output.OutputError as error:
        logger.warning("serving; the greeting could not be printed: %s", error)


def text(settings: Settings) -> str:
    """Return the greeting of a farm whose listeners are open."""
    front = settings.front
    said = [f"luafarm {VERSION}"]
    for name, pool in settings.pool.items():
        where = ", ".join(pool.root)
        said.append(f"  scripts   {where} (pool {name}, {pool.dialect}, {pool.trust})")
    for listener in front.listen:
        said.append(f"  FastCGI   {listener}")
        said += [f"            {line}" for line in access(listener)]
    if front.http:
        _, host, port, fd = endpoints.parse_web(front.http)
        shown = f"[{host}]" if ":" in host else host or "localhost"
        url = f"http://{shown}:{port}/" if fd < 0 else front.http
        said.append(f"  HTTP      {url}")
    lines = nginx.lines(settings)
    if lines:
        said.append(_NGINX + textwrap.indent(lines, "    ").rstrip())
    return "\n".join(said) + "\n\nCtrl-C finishes what runs and stops.\n"


def access(listener: str) -> list[str]:
    """Say in lines who may connect to a listener; nothing unless it is a path."""
    path = endpoints.parse_listener(listener).path
    try:
        return rights.describe(path) if path else []
    except OSError:  # somebody has removed it
        return []
