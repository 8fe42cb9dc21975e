"""Error pages: what a browser shows when a script did not answer.

Pure functions that return a CGI header with its blank line, and a body. Everything that
comes from outside is escaped and cut, and the pages forbid the browser to load or run
anything. `refusal` makes the plain page of a site, with luafcgid's error classes;
`developer` the one of the embedded HTTP listener, with source and traceback. Only the
latter tells where on the disk something is, and only of a script that failed: whoever
asked for a page knows its URL.
"""

import re
from collections.abc import Iterable
from html import escape
from posixpath import normpath
from typing import Final

from fcgi.cgi.refusal import STATUS, Refusal
from luafarm.config.settings import PoolSettings
from luafarm.wire.messages import ScriptError

_CLASSES: Final = frozenset(
    {"Syntax Error", "Runtime Error", "Memory Error", "File Error"}
)
_LONGEST: Final = 16 * 1024  # characters shown of one text
_RETRY_S: Final = 1  # what is busy now may be free then

_WHY: Final[dict[Refusal, str]] = {
    Refusal.MALFORMED: "The request could not be read.",
    Refusal.BAD_LENGTH: "The length of the request's body is not a number.",
    Refusal.BODY_CUT: "The request's body ended before its length said so.",
    Refusal.BAD_PATH: "The request does not name a script by a usable path.",
    Refusal.NOT_FOUND: "There is no such script.",
    Refusal.RECEIVE_TIMEOUT: "The request did not arrive whole in time.",
    Refusal.BODY_TOO_LARGE: "The request's body is larger than this server takes.",
    Refusal.PATH_TOO_LONG: "The path of the script is too long.",
    Refusal.PARAMS_TOO_LARGE: "The request's header is larger than this server takes.",
    Refusal.SCRIPT_FAILED: "The script failed.",
    Refusal.BAD_REPLY: "The script's reply is not a valid response.",
    Refusal.HOST_LOST: "The process that ran the script was lost.",
    Refusal.OVERLOADED: "The server is busy. Please try again in a moment.",
    Refusal.UNAVAILABLE: "The script is not available now. Please try again later.",
    Refusal.BUDGET: "The script used more than it is allowed to.",
    Refusal.TIMEOUT: "The script took too long.",
    Refusal.NOT_IMPLEMENTED: "This server cannot do what the request asks for.",
    Refusal.VERSION_UNKNOWN: "This server speaks HTTP/1.1.",
}
"""One sentence for each refusal; a test keeps it complete."""

_STYLE: Final = """\
:root{color-scheme:light dark;--dim:#667;--line:#8884;--mark:#e5484d22;--red:#d13438}
@media (prefers-color-scheme:dark){:root{--dim:#99a;--red:#ff6b70}}
body{font:16px/1.5 system-ui,sans-serif;max-width:56rem}
body{margin:3rem auto;padding:0 1.25rem}
h1{font-size:.95rem;margin:0 0 .3rem;color:var(--red)}
h2{font-size:.85rem;margin:2rem 0 .5rem;color:var(--dim)}
p{margin:.4rem 0}.dim,footer{color:var(--dim)}
footer{margin-top:2.5rem;font-size:.8rem}
pre,code{font:14px/1.6 ui-monospace,monospace}
pre{overflow-x:auto;margin:0;padding:.8rem 0;border:1px solid var(--line)}
pre{border-radius:6px}pre span{display:block;padding:0 1rem;min-height:1.6em}
pre .here{background:var(--mark);box-shadow:inset 4px 0 var(--red)}
pre i{font-style:normal;color:var(--dim);display:inline-block;min-width:3.5em}
.message{white-space:pre-wrap;font-size:1.45rem;line-height:1.3;font-weight:600}
.message,.dim{overflow-wrap:anywhere}
"""

_EXCERPT_LINE: Final = re.compile(r"\s*(\d+)\|( ?)(.*)", re.DOTALL)


class Directories:
    """The directories of all pools, which are not a visitor's business."""

    def __init__(self, pools: Iterable[PoolSettings]) -> None:
        named = [d for pool in pools for d in pool.root + pool.library]
        found = {normpath(directory) for directory in named} - {"/", "."}
        longest_first = sorted(found, key=len, reverse=True)
        names = "|".join(map(re.escape, longest_first))
        self._names = re.compile(f"(?:{names})(?=/)")
        self._is_empty = not longest_first

    def hidden(self, text: str) -> str:
        """Return a text without them: `/x.lua` for `/srv/www/x.lua`."""
        return text if self._is_empty else self._names.sub("", text)


_NOWHERE: Final = Directories(())


def refusal(
    refusal: Refusal,
    *,
    url: bytes = b"",
    retry_after_s: int = 0,
    error: ScriptError | None = None,
    show_errors: bool = True,
    directories: Directories = _NOWHERE,
) -> tuple[bytes, bytes]:
    """Return header and body of the page of a site.

    url: what was asked for, named when it is not there. show_errors: tell the script's
    error; off, the page says no more than the status does. directories: not named.
    """
    title = STATUS[refusal][4:]
    text = f"<p>{escape(_WHY[refusal])}</p>"
    if error is not None and show_errors:
        title = _class(error)
        text = f"<pre>{_shown(directories.hidden(_cut(_said(error))))}</pre>"
    elif refusal is Refusal.NOT_FOUND and url and show_errors:
        text = f"<p>There is no script <code>{_shown(_text(url))}</code>.</p>"
    body = (
        f'<!DOCTYPE html>\n<html><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title></head>\n"
        f"<body><h1>{escape(title)}</h1>\n{text}\n</body></html>\n"
    )
    return _page(refusal, retry_after_s, body)


def developer(
    refusal: Refusal,
    *,
    url: bytes = b"",
    retry_after_s: int = 0,
    error: ScriptError | None = None,
) -> tuple[bytes, bytes]:
    """Return header and body of the page for whoever writes the script."""
    status = STATUS[refusal]
    title = _class(error) if error is not None else status[4:]
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
    ]
    if error is None:
        parts.append(f'<p class="message">{escape(_WHY[refusal])}</p>')
        if url:
            parts.append(f'<p class="dim"><code>{_shown(_text(url))}</code></p>')
        if refusal is Refusal.NOT_FOUND:
            parts.append("<p>Put one there, and load this page again.</p>")
    else:
        parts += _error_parts(error, url)
    parts.append(f"<footer>{escape(status)} &middot; luafarm</footer></body></html>\n")
    return _page(refusal, retry_after_s, "\n".join(parts))


def _error_parts(error: ScriptError, url: bytes) -> list[str]:
    where = error.file or _text(url)
    said = _cut(_said(error))
    if error.line > 0:
        said = said.removeprefix(f"{where}:{error.line}: ")
        where += f", line {error.line}"
    parts = [
        f'<p class="message">{escape(said)}</p>',
        f'<p class="dim"><code>{_shown(where)}</code></p>',
    ]
    if error.excerpt:
        lines = [
            _excerpt_line(line, error.line)
            for line in _cut(error.excerpt).rstrip("\n").split("\n")
        ]
        parts.append(f"<h2>Source</h2><pre>{''.join(lines)}</pre>")
    if error.traceback:
        trace = _cut(error.traceback).removeprefix("stack traceback:")
        lines = [
            f"<span>{escape(line.strip())}</span>" for line in trace.strip().split("\n")
        ]
        parts.append(f"<h2>Traceback</h2><pre>{''.join(lines)}</pre>")
    return parts


def _excerpt_line(line: str, marked: int) -> str:
    """Return one line of source, `NNN| text`, with its number set apart."""
    found = _EXCERPT_LINE.fullmatch(line)
    if found is None:
        return f"<span>{escape(line)}</span>"
    number, text = found[1], found[3]
    mark = ' class="here"' if number.lstrip("0") == str(marked) else ""
    return f"<span{mark}><i>{escape(number)}</i>{escape(text)}</span>"


def _page(refusal: Refusal, retry_after_s: int, body: str) -> tuple[bytes, bytes]:
    content = body.encode("utf-8", "replace")
    lines = [
        f"Status: {STATUS[refusal]}",
        "Content-Type: text/html; charset=utf-8",
        f"Content-Length: {len(content)}",
        "Cache-Control: no-store",
        # what a page quotes is not ours: nothing in it may load or run
        "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'",
        "X-Content-Type-Options: nosniff",
    ]
    if refusal in {Refusal.OVERLOADED, Refusal.UNAVAILABLE}:
        lines.append(f"Retry-After: {max(retry_after_s, _RETRY_S)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode(), content


def _class(error: ScriptError) -> str:
    if error.budget:
        return f"Budget exceeded: {error.budget}"
    return error.kind if error.kind in _CLASSES else "Unknown Error"


def _said(error: ScriptError) -> str:
    return error.message or "no message"


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."


def _shown(text: str) -> str:
    return escape(_cut(text))
