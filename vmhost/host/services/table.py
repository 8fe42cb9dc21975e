"""The table of services: every operation that a VM host answers, and who does it.

A further service is a module here, its line below, and the Lua file that asks.
"""

from typing import Final

from vmhost.host.services import (
    body,
    crypto,
    digests,
    files,
    finish,
    flush,
    programs,
    sleep,
)
from vmhost.host.services.service import Service
from vmhost.lua.operation import Operations

SERVICES: Final[dict[int, Service]] = {
    service.operation.number: service
    for service in (
        flush.FLUSH,
        finish.FINISH,
        finish.DETACH,
        body.READ,
        files.REQUIRE,
        files.CHUNK,
        files.FILE,
        sleep.SLEEP,
    )
}
"""By the number of the operation."""

OPERATIONS: Final = Operations(
    [
        *(service.operation for service in SERVICES.values()),
        *digests.OPERATIONS,
        *crypto.OPERATIONS,
        *programs.OPERATIONS,
    ]
)
"""What the states of a VM host may ask for."""
