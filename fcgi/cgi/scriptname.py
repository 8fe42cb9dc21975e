"""The path of the script that a request is for, out of what web servers say of it.

nginx, lighttpd, HAProxy and Caddy send an absolute path as SCRIPT_FILENAME. Apache's
ProxyPass sends `proxy:fcgi://host:port/path`, maybe with PATH_INFO behind the script,
the query string behind that (`nocanon`), and percent signs. Both extras can be forged
by a URL such as `/admin.lua%3Fx.lua`, which Apache checks as one file and an eager
reader takes for another: so a query is cut off only where no `?` can have come from
the URL's path, and percent signs are decoded only when that gives SCRIPT_NAME.

Symbolic links and the limits of script roots are the broker's to check, on the file.
"""

# Compiled.

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from fcgi.cgi import params
from fcgi.cgi.refusal import Refusal

MAX_PATH: Final = 4095  # bytes: PATH_MAX of Linux without its NUL

_PROXY: Final = re.compile(
    rb"proxy:(?:unix:[^|]*\|)?[a-z][a-z0-9+.-]*://[^/]*", re.IGNORECASE
)
"""What Apache puts before the path: scheme and host, and a UNIX socket before them."""


def script_path(script_filename: bytes, pairs: bytes) -> bytes | Refusal:
    """Return a normalised absolute path, maybe with PATH_INFO, or why there is none.

    pairs: all parameters, for PATH_TRANSLATED where SCRIPT_FILENAME is absent and for
    Apache's forms.
    """
    if (
        script_filename.startswith(b"/")
        and not script_filename.endswith(b"/")
        and script_filename.find(b"//") < 0  # `in` makes an exception of each no
        and script_filename.find(b"/.") < 0
        and script_filename.find(b"\0") < 0
        and len(script_filename) <= MAX_PATH
    ):
        return script_filename  # as web servers send it nearly always
    path = script_filename or params.find(pairs, b"PATH_TRANSLATED") or b""
    proxy = _PROXY.match(path)
    if proxy:
        path = _from_apache(path[proxy.end() :], pairs)
    return _normalised(path)


def url_path(pairs: bytes) -> bytes:
    """Return the path that was asked for, as the URL has it; b"" where nobody says."""
    uri = params.find(pairs, b"REQUEST_URI")
    if uri:
        return uri.partition(b"?")[0]
    name = params.find(pairs, b"SCRIPT_NAME") or b""
    return name + (params.find(pairs, b"PATH_INFO") or b"")


def told_apart(pairs: bytes, path: bytes, script: bytes) -> bytes:
    """Return the parameters with script and PATH_INFO apart, as RFC 3875, 4.1 has them.

    For a request whose `script_path` turned out to be `script` with something behind
    it, or whose SCRIPT_FILENAME was Apache's: the last value of a name counts. What is
    behind the script goes before the PATH_INFO that there is, if SCRIPT_NAME had it.
    """
    extra = path[len(script) :]
    found = [(b"SCRIPT_FILENAME", script)]
    if extra:
        given = params.find(pairs, b"SCRIPT_FILENAME") or b""
        if given.endswith(b"/"):
            extra += b"/"
        name = params.find(pairs, b"SCRIPT_NAME")
        if name and name.endswith(extra):
            found.append((b"SCRIPT_NAME", name.removesuffix(extra)))
            extra += params.find(pairs, b"PATH_INFO") or b""
        found.append((b"PATH_INFO", extra))
    return pairs + params.encode_pairs(found)


def _from_apache(path: bytes, pairs: bytes) -> bytes:
    uri = params.find(pairs, b"REQUEST_URI") or b""
    asked = uri.partition(b"?")[0].lower()
    front, mark, query = path.partition(b"?")
    if (
        mark
        and query == params.find(pairs, b"QUERY_STRING")
        and b"%3f" not in asked
        and b"%25" not in asked
    ):
        path = front
    if b"%" in path:
        decoded = unquote_to_bytes(path)
        name = params.find(pairs, b"SCRIPT_NAME")
        if name and decoded.endswith(name):
            path = decoded
    return path


def _normalised(path: bytes) -> bytes | Refusal:
    if not path.startswith(b"/") or b"\0" in path:
        return Refusal.BAD_PATH
    if len(path) > MAX_PATH:
        return Refusal.PATH_TOO_LONG
    parts = [part for part in path.split(b"/") if part not in {b"", b"."}]
    if b".." in parts:
        return Refusal.BAD_PATH
    if not parts:
        return Refusal.NOT_FOUND
    normal = b"/" + b"/".join(parts)
    return path if path == normal else normal
