"""A front that has nothing to do, for tests of what is around its dispatch."""

from fcgi.dispatch.machine import Dispatch
from fcgi.gauges import Gauges


def gauges() -> Gauges:
    """Return the counts of such a front."""
    dispatch = Dispatch(
        lambda: 1,
        number=0,
        queue=1,
        queue_per_script=1,
        queue_timeout_s=1.0,
        queue_target_s=1.0,
        remembered=1,
    )
    return Gauges(dispatch)
