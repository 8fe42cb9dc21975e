"""All crimes that a captured VM host commits when it is asked to."""

from tests.captured import to_broker, to_front, to_supervisor
from tests.captured.crime import Crime

CRIMES: dict[str, Crime] = {
    **to_front.CRIMES,
    **to_broker.CRIMES,
    **to_supervisor.CRIMES,
}
"""By name."""
