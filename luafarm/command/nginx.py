"""The lines that nginx needs, made from the settings in one place.

`luafarm up` prints them for the farm that it has started, README.md shows them for the
defaults, and config/nginx.conf is a complete file around the same
(`luafarm.command.manual` writes both). Whatever nginx must know of a setting is worked
out here.
"""

import math
import re
from typing import Final

from luafarm.config import endpoints
from luafarm.config.settings import KIB, MIB, Front, PoolSettings, Settings

STATIC: Final = (
    "avif|css|gif|html?|ico|jpe?g|js|json|map|mjs|mp[34]|ogg|pdf|png|svg|ttf|txt|wasm|"
    "webm|webmanifest|webp|woff2?|xml"
)
"""Endings of what a web server may hand out as a file, as a regular expression. It says
what may, not what may not: a source or template with an ending that nobody thought of
stays where it is."""

EXAMPLE: Final = Settings(
    front=Front(listen=("unix:/run/luafarm.sock",)),
    pool={"main": PoolSettings(root=("/srv/lua",))},
)
"""The farm that README.md and config/nginx.conf speak of."""

_BESIDE_HEADER: Final = 9 * KIB
"""Room in the first buffer for record headers and what a script says on its error
stream before its header is complete."""

_BUFFER_STEP: Final = 4 * KIB
_PATIENCE_S: Final = 25.0  # nginx beyond luafarm's own limits, so that luafarm answers
_IDLE_SHARE: Final = 0.8  # of luafarm's idle_timeout: nginx is the one that closes

_LINES: Final = r"""upstream luafarm {{
    server {address};
    keepalive 64;            # idle connections that each nginx worker keeps
    keepalive_timeout {idle};   # less than [front] idle_timeout of luafarm
}}
{map}
server {{
    listen 80;
    root {root};
    index {index};
    client_max_body_size {body};   # as [front] max_body

    # Pages of your own for errors, and with the last line for those of scripts too:
    # error_page 404 /404.html;
    # error_page 500 502 503 504 /50x.html;
    # fastcgi_intercept_errors on;

    location ~ /\.(?!well-known/) {{ return 404; }}
{unknown}
    # Scripts, maybe with PATH_INFO behind them. Leave out try_files when nginx cannot
    # see them, as on another machine; luafarm answers 404 itself.
    location ~ [^/]{endings}(/|$) {{
        fastcgi_split_path_info ^(.+?{endings})(/.*)?$;
        set $path_info $fastcgi_path_info;   # try_files would lose it
        try_files $fastcgi_script_name =404;
        include fastcgi_params;
        fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
        fastcgi_param PATH_INFO $path_info;
        fastcgi_param HTTP_HOST $host;
        fastcgi_param HTTP_PROXY "";         # libraries take "Proxy:" for a setting
        fastcgi_buffer_size {buffer};             # holds [front] max_reply_header
        fastcgi_buffers 16 {buffer};
        fastcgi_read_timeout {patience};            # longer than a request may take
        fastcgi_keep_conn on;
        fastcgi_pass luafarm;
    }}

    # All that is handed out as a file, by its ending: no sources, no templates.
    location ~* \.({static})$|^/\.well-known/ {{
        disable_symlinks if_not_owner from=$document_root;
        try_files $uri @script;
    }}

    location / {{ try_files $uri/ @script; }}

    # What is no file: /blog/5 is blog{end} with PATH_INFO /5. The other line, in place
    # of that, gives everything to index{end}.
    location @script {{
        rewrite ^(/[^/]+)(/.*)?$ $1{end}$2 last;
        # rewrite ^(.*)$ /index{end}$1 last;
        return 404;
    }}
}}
"""

_MAP: Final = """
# Which host name sees which scripts; the first ones are for any other.
map $host $luafarm_root {{
{rows}
}}
"""

_UNKNOWN: Final = """
    # More names are scripts to luafarm, but no endings: nginx does not pass them on
    # here, and hands out those with an ending below. {names}
"""

_ENDING: Final = re.compile(r"\*((?:\.[\w-]+)+)", re.ASCII)
_PLAIN: Final = re.compile(r"[\w/.:@%+,=\[\]-]+", re.ASCII)


def lines(settings: Settings) -> str:
    """Return what belongs into nginx's http {}; empty when nginx cannot connect.

    The first listener with an address counts. Several roots are told apart by host
    names that begin with the name of the pool.
    """
    front = settings.front
    address = next(filter(None, [_address(text) for text in front.listen]), "")
    roots = _named_roots(settings.pool)
    if not address or not roots:
        return ""
    named = [f"    ~^{name}\\. {_quoted(root)};" for name, root in roots[1:]]
    rows = [f"    default {_quoted(roots[0][1])};", *named]
    endings, others = _script_names(settings.pool)
    return _LINES.format(
        index=" ".join(dict.fromkeys(f"index{x}" for x in [*endings, ".html"])),
        end=endings[0],
        endings=_any_of(endings),
        unknown=_UNKNOWN.format(names=" ".join(others)) if others else "",
        address=_quoted(address),
        map=_MAP.format(rows="\n".join(rows)) if named else "",
        root="$luafarm_root" if named else _quoted(roots[0][1]),
        idle=f"{max(1, int(front.idle_timeout * _IDLE_SHARE))}s",
        body=_size(max(1, front.max_body)),  # 0 would be no limit
        buffer=_size(_buffer(front.max_reply_header)),
        patience=f"{_patience_s(settings)}s",
        static=STATIC,
    )


def _address(listener: str) -> str:
    """Return what an upstream's `server` takes; empty for an inherited socket."""
    parsed = endpoints.parse_listener(listener)
    if parsed.fd >= 0:
        return ""
    if parsed.path:
        return f"unix:{parsed.path}"
    host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
    return f"{host or '127.0.0.1'}:{parsed.port}"


def _named_roots(pools: dict[str, PoolSettings]) -> list[tuple[str, str]]:
    """Return every root with a name of its own, made from that of its pool."""
    named: dict[str, str] = {}
    for pool, settings in pools.items():
        for root in settings.root:
            name, number = pool, 1
            while name in named:
                number += 1
                name = f"{pool}-{number}"
            named[name] = root
    return list(named.items())


def _script_names(pools: dict[str, PoolSettings]) -> tuple[list[str], list[str]]:
    """Return the endings that `[pool] scripts` name, and all other patterns."""
    endings: dict[str, None] = {}
    others: dict[str, None] = {}
    for pattern in (text for pool in pools.values() for text in pool.scripts):
        found = _ENDING.fullmatch(pattern)
        if found is None:
            others[ascii(pattern)] = None  # a comment is one line, whatever is in it
        else:
            endings[found[1]] = None
    return list(endings) or [".lua"], list(others)


def _any_of(endings: list[str]) -> str:
    """Return a regular expression for some endings, as short as one would write it."""
    names = [ending.removeprefix(".").replace(".", r"\.") for ending in endings]
    return r"\." + (names[0] if len(names) == 1 else f"(?:{'|'.join(names)})")


def _patience_s(settings: Settings) -> int:
    """Return how long nginx must wait so that luafarm's own limits come first."""
    pools, scripts = settings.pool.values(), settings.script
    load = max([*[x.load_wall for x in pools], *[x.load_wall or 0.0 for x in scripts]])
    wall = max([*[x.wall for x in pools], *[x.wall or 0.0 for x in scripts]])
    return math.ceil(settings.front.queue_timeout + load + wall + _PATIENCE_S)


def _buffer(header: int) -> int:
    return math.ceil((header + _BESIDE_HEADER) / _BUFFER_STEP) * _BUFFER_STEP


def _size(number: int) -> str:
    if number % MIB == 0:
        return f"{number // MIB}m"
    return f"{number // KIB}k" if number % KIB == 0 else str(number)


def _quoted(text: str) -> str:
    """Return a word as nginx reads it."""
    if _PLAIN.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
