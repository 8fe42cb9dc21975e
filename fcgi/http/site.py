"""What all HTTP connections of a front have in common."""

# Impure.

from dataclasses import dataclass

from fcgi.connections import Connections
from fcgi.http.roots import Roots
from fcgi.service import Service
from fcgi.terms import Terms


@dataclass(frozen=True, slots=True)
class Site:
    """Where scripts are, who runs them, and on what terms clients are dealt with."""

    roots: Roots
    service: Service
    terms: Terms
    connections: Connections
