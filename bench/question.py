"""A GET as nginx sends it over FastCGI: the bytes that benchmarks ask a front with."""

from collections.abc import Mapping

from fcgi.cgi import params
from fcgi.fastcgi import records


def parameters(environment: Mapping[str, str]) -> bytes:
    """Return the content of its PARAMS stream (FastCGI 1.0, 3.4)."""
    return params.encode_pairs(
        [(name.encode(), value.encode()) for name, value in environment.items()]
    )


def question(environment: Mapping[str, str]) -> bytes:
    """Return the whole request, with id 1, for a connection that is kept."""
    begin = bytes((0, records.RESPONDER, records.KEEP_CONN, 0, 0, 0, 0, 0))
    return b"".join(
        (
            records.record(records.BEGIN_REQUEST, 1, begin),
            records.record(records.PARAMS, 1, parameters(environment)),
            records.record(records.PARAMS, 1),
            records.record(records.STDIN, 1),
        )
    )
