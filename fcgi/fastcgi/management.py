"""Management records: what the front answers about itself (FastCGI 1.0, 4)."""

from fcgi.arrival import Limits
from fcgi.cgi import params
from fcgi.fastcgi import records


def answer(kind: int, content: bytes, limits: Limits) -> bytes:
    """Return the record that answers one with id 0; b"" when none is due."""
    if kind == records.GET_VALUES:
        return records.record(records.GET_VALUES_RESULT, 0, _values(content, limits))
    if kind > records.UNKNOWN_TYPE or kind == 0:
        return records.unknown_type(kind)
    return b""  # a type that has no id 0, or that only applications send


def _values(content: bytes, limits: Limits) -> bytes:
    # 4.1: names that we do not know are left out, and so are pairs cut short
    known = {
        b"FCGI_MAX_CONNS": limits.max_connections,
        # HAProxy takes it as the streams of one connection
        b"FCGI_MAX_REQS": limits.requests_per_connection,
        b"FCGI_MPXS_CONNS": 1,
    }
    asked = {name for name, _ in params.decode_prefix(content)[0]}
    return params.encode_pairs(
        [(name, str(value).encode()) for name, value in known.items() if name in asked]
    )
