"""A request as it comes in: the one door to the service, whoever brought it.

FastCGI, the HTTP listener and `luafarm run` read requests in ways of their own. Here
each becomes a `Pending`, or the Refusal that its client gets in place of a run; either
goes to `Service.submit`. What a client may bring stands in `Limits`, which are those of
the settings: nothing else has defaults of them.
"""

# Compiled.

from dataclasses import dataclass
from typing import Final

from fcgi.cgi import params, scriptname
from fcgi.cgi.refusal import Refusal
from fcgi.dispatch.tables import Pending
from luafarm.config.settings import Front
from luafarm.wire.messages import SAFE

_SAFE_METHODS: Final = frozenset({b"GET", b"HEAD", b"OPTIONS"})


@dataclass(frozen=True)
class Limits:
    """What clients may bring, and how long they may take. Bytes and seconds."""

    max_connections: int
    requests_per_connection: int  # concurrent; more are refused with 503
    max_params: int  # one request's parameters; 431
    max_param: int  # one name with its value; 431
    max_body: int  # 413
    inline_body: int  # a longer body does not travel with its request
    idle_s: float  # without any request
    receive_s: float  # without progress of a request that is not in
    send_s: float  # without taking any of a reply


def limits(front: Front) -> Limits:
    """Return the limits of the settings."""
    return Limits(
        max_connections=front.max_connections,
        requests_per_connection=front.requests_per_connection,
        max_params=front.max_params,
        max_param=front.max_param,
        max_body=front.max_body,
        inline_body=front.inline_body,
        idle_s=front.idle_timeout,
        receive_s=front.receive_timeout,
        send_s=front.send_timeout,
    )


def admit(
    exchange: object,
    script_filename: bytes,
    method: bytes,
    pairs: bytes,
    body: bytes | None,
    body_bytes: int,
    now: float,
    data_bytes: int = 0,
    flags: int = 0,
) -> Pending | Refusal:
    """Return a request whose parameters passed `params.route`, or why it is refused.

    exchange: where its answer goes. body: None when the exchange keeps it, to be asked
    for piece by piece. data_bytes: of a Filter's second stream. flags: of its role.
    """
    path = scriptname.script_path(script_filename, pairs)
    if isinstance(path, Refusal):
        return path
    if path is not script_filename and not script_filename.endswith(b"/"):
        pairs = scriptname.told_apart(pairs, path, path)  # Apache's form, undone
    if method in _SAFE_METHODS:
        flags |= SAFE
    return Pending(exchange, path, flags, pairs, body, body_bytes, data_bytes, now)


def admit_pairs(
    exchange: object,
    pairs: list[tuple[bytes, bytes]],
    body: bytes | None,
    body_bytes: int,
    limits: Limits,
    now: float,
) -> Pending | Refusal:
    """Return a request of parameters that nobody has looked at yet; see `admit`."""
    encoded = params.encode_pairs(pairs)
    if len(encoded) > limits.max_params:
        return Refusal.PARAMS_TOO_LARGE
    if body_bytes > limits.max_body:
        return Refusal.BODY_TOO_LARGE
    try:
        script, method, _ = params.route(encoded, limits.max_param)
    except params.PairsError as error:
        return refusal_of(error)
    return admit(exchange, script, method, encoded, body, body_bytes, now)


def refusal_of(error: params.PairsError) -> Refusal:
    """Return how a request is answered whose parameters cannot be taken."""
    if isinstance(error, params.LongPairError):
        return Refusal.PARAMS_TOO_LARGE
    return Refusal.MALFORMED
