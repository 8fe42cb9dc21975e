"""Refusals: every way in which the front answers a request without its script's reply.

One Enum, one table to HTTP status lines; a page for each is made by `fcgi.cgi.pages`.
"""

# Compiled.

from enum import Enum
from typing import Final

from luafarm.ends import TIME, Budget
from luafarm.wire.messages import ScriptError

_HARD_STOP: Final = {
    Budget.CPU: "CPU time used up within one call that nothing but its end could stop",
    Budget.WALL: "time used up within one call that nothing but its end could stop",
}


class Refusal(Enum):
    """Why a request gets an answer of our own."""

    MALFORMED = "malformed"  # parameters that are no pairs, streams out of order
    BAD_LENGTH = "bad-length"  # CONTENT_LENGTH that is no number
    BODY_CUT = "body-cut"  # fewer bytes than CONTENT_LENGTH says
    BAD_PATH = "bad-path"  # SCRIPT_FILENAME absent, relative, with NUL or `..`
    NOT_FOUND = "not-found"
    RECEIVE_TIMEOUT = "receive-timeout"  # begun, never sent whole
    BODY_TOO_LARGE = "body-too-large"
    PATH_TOO_LONG = "path-too-long"
    PARAMS_TOO_LARGE = "params-too-large"
    SCRIPT_FAILED = "script-failed"
    BAD_REPLY = "bad-reply"  # a VM host sent what is no CGI header
    HOST_LOST = "host-lost"  # the VM host died with the request
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"  # no VM host, no broker, quarantine, stopping
    BUDGET = "budget"  # of memory, output, ... but not of time
    TIMEOUT = "timeout"
    NOT_IMPLEMENTED = "not-implemented"  # of HTTP: another transfer coding, a tunnel
    VERSION_UNKNOWN = "version-unknown"  # of HTTP: none that begins with 1


STATUS: Final[dict[Refusal, str]] = {
    Refusal.MALFORMED: "400 Bad Request",
    Refusal.BAD_LENGTH: "400 Bad Request",
    Refusal.BODY_CUT: "400 Bad Request",
    Refusal.BAD_PATH: "400 Bad Request",
    Refusal.NOT_FOUND: "404 Not Found",
    Refusal.RECEIVE_TIMEOUT: "408 Request Timeout",
    Refusal.BODY_TOO_LARGE: "413 Content Too Large",
    Refusal.PATH_TOO_LONG: "414 URI Too Long",
    Refusal.PARAMS_TOO_LARGE: "431 Request Header Fields Too Large",
    Refusal.SCRIPT_FAILED: "500 Internal Server Error",
    Refusal.BAD_REPLY: "502 Bad Gateway",
    Refusal.HOST_LOST: "502 Bad Gateway",
    Refusal.OVERLOADED: "503 Service Unavailable",
    Refusal.UNAVAILABLE: "503 Service Unavailable",
    Refusal.BUDGET: "503 Service Unavailable",
    Refusal.TIMEOUT: "504 Gateway Timeout",
    Refusal.NOT_IMPLEMENTED: "501 Not Implemented",
    Refusal.VERSION_UNKNOWN: "505 HTTP Version Not Supported",
}
"""The status line of each refusal; a test keeps it complete."""


def of_error(error: ScriptError | None) -> Refusal:
    """Return how a script's failure is answered: by the budget that it exceeded."""
    if error is None or not error.budget:
        return Refusal.SCRIPT_FAILED
    return Refusal.TIMEOUT if error.budget in TIME else Refusal.BUDGET


def hard_stop(script: bytes, budget: Budget) -> ScriptError:
    """Return the error of a request whose VM host had to die for its budget."""
    name = script.decode("utf-8", "backslashreplace")
    message = _HARD_STOP[budget]
    return ScriptError("Budget Exceeded", message, "", name, 0, "", budget)
