"""What `luafarm up` says once the farm serves: where, and what nginx needs to know."""

import sys
from typing import Final

from luafarm import endpoints
from luafarm.settings import Settings
from luafarm.version import VERSION

_NGINX: Final = r"""
nginx, inside a server whose root is {root}:

    location ~ [^/]\.lua(/|$) {{
        fastcgi_split_path_info ^(.+?\.lua)(/.*)?$;
        include fastcgi_params;
        fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
        fastcgi_param PATH_INFO $fastcgi_path_info;
        fastcgi_buffer_size 16k;
        fastcgi_pass {address};
    }}
"""


def show(settings: Settings) -> None:
    """Print the greeting to standard output."""
    sys.stdout.write(text(settings))
    sys.stdout.flush()


def text(settings: Settings) -> str:
    """Return the greeting."""
    front = settings.front
    lines = [f"luafarm {VERSION}"]
    roots: list[str] = []
    for name, pool in settings.pool.items():
        roots += pool.root
        where = ", ".join(pool.root)
        lines.append(f"  scripts   {where} (pool {name}, {pool.dialect}, {pool.trust})")
    lines += [f"  FastCGI   {listener}" for listener in front.listen]
    if front.http:
        _, host, port, fd = endpoints.parse_web(front.http)
        shown = f"[{host}]" if ":" in host else host or "localhost"
        url = f"http://{shown}:{port}/" if fd < 0 else front.http
        lines.append(f"  HTTP      {url}")
    result = "\n".join(lines) + "\n"
    address = next(filter(None, [_nginx_address(x) for x in front.listen]), "")
    if address:
        result += _NGINX.format(root=roots[0] if roots else "/", address=address)
    return result + "\nCtrl-C finishes what runs and stops.\n"


def _nginx_address(listener: str) -> str:
    """Return what nginx's fastcgi_pass takes; empty for an inherited socket."""
    parsed = endpoints.parse_listener(listener)
    if parsed.fd >= 0:
        return ""
    if parsed.path:
        return f"unix:{parsed.path}"
    host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
    return f"{host or '127.0.0.1'}:{parsed.port}"
