"""What a request's target and its Host say (RFC 9112, 3.2; RFC 9110, 7.2)."""

import re
from dataclasses import dataclass
from typing import Final

_HOST: Final = re.compile(
    rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Za-z:.%~_-]+\])(?::[0-9]*)?"
)
"""uri-host and port (RFC 3986, 3.2.2): no user, no path, no blanks; maybe empty."""

_ABSOLUTE: Final = re.compile(rb"http://([^/?]*)(.*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked for: a path and a query, both as they came."""

    path: bytes  # with its percent signs; begins with a slash
    query: bytes  # b"" when there is none
    uri: bytes  # both, with the question mark
    authority: bytes | None  # of an absolute form: then Host does not count


def read(target: bytes) -> Target | None:
    """Return what a target means; None: it names nothing that is served here.

    Neither the authority of CONNECT nor the asterisk of OPTIONS does, nor another
    scheme than http, nor what has a fragment.
    """
    authority = None
    if not target.startswith(b"/"):
        found = _ABSOLUTE.fullmatch(target)
        if found is None or not found[1] or not is_host(found[1]):
            return None
        authority = found[1]
        target = found[2] if found[2].startswith(b"/") else b"/" + found[2]
    if b"#" in target:
        return None
    path, _, query = target.partition(b"?")
    return Target(path, query, target, authority)


def is_host(value: bytes) -> bool:
    """Return whether a Host field says a host, and maybe a port."""
    return _HOST.fullmatch(value) is not None
