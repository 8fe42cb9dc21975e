"""Which requests are let into a queue: those that will start soon enough.

What comes is refused at once when it would wait too long, instead of late. How long it
would wait is known when it comes: the work that is ahead of it, its own script's and a
fair turn of every other script's that waits, over the rate at which the hosts do work
for this front. That rate is measured, so that other fronts, busy processors and long
ways count: as the part of a host's time that this front's runs had, and as what each of
them left to others. For a script that takes longer than those that ran, the second
counts: a run of 2 s is not made ten times as long by what did it to one of 10 ms. What
was let in is served, in the order of arrival; it is refused later only
if it has waited for `queue_timeout`. As nothing waits long, serving the newest first
would help nobody.

The target is `queue_target`, or what `USUAL` requests of the script take a host if that
is more. A queue may be `BURST` targets long, so a burst is let in whole. Once it was
over the target for a while (`STANDS`), more is coming than can be served, and only what
starts within the target is let in, until the queue is half as long. So a queue neither
runs empty nor stands. Nichols and Jacobson, Controlling Queue Delay (ACM Queue 2012),
tell a burst from a standing queue in the same way; they drop at the head, which has
waited by then.

Where nothing at all was served for a time, hosts were loading, replaced or hung, and
that is no overload: the queue may be as long as the outage was, and stand for as long.
Hosts come back one after the other: for as long again the rate of all of them counts.

A script with an empty queue waits for its turn among the others; if even that takes too
long, there is too much of everything, and how long it has been so is kept by host.

All this is asked only for what cannot start at once.
"""

# Compiled.

from typing import Final

from fcgi.cgi.refusal import Refusal
from fcgi.dispatch.actions import Refuse
from fcgi.dispatch.backlog import Backlog
from fcgi.dispatch.hosts import Hosts
from fcgi.dispatch.tables import Entry, Host, Pending, Stand

USUAL: Final = 3.0
"""Requests for each host that may wait however long they take: a few visitors at once
are no overload, and no host may find nothing waiting when it is done."""

BURST: Final = 5.0
"""Targets that a burst may wait."""

STANDS: Final = 0.5
"""Targets of time for which a queue is over the target before it is no burst. With
three times what the farm can do it is then twice the target."""

MEASURE_S: Final = 0.02  # a host's rate is known from no less of its time
MEASURE_WEIGHT: Final = 0.5  # of the newest measurement
LEAST_SHARE: Final = 1 / 64
PAUSE_S: Final = 0.1  # between two requests that are served; longer is an outage
_GOLDEN: Final = 0.618_033_988_749_895


class Admission:
    """Decides what may wait, and counts what may not."""

    def __init__(
        self, backlog: Backlog, hosts: Hosts, target_s: float, timeout_s: float
    ) -> None:
        """timeout_s: `queue_timeout`, after which nobody waits any more."""
        self._backlog = backlog
        self._hosts = hosts
        self._target_s = target_s
        self._timeout_s = timeout_s
        self._spread = 0.0  # of the last Retry-After, in [0, 1)
        self.refused: int = 0  # requests, because too many waited
        self.unserved: int = 0  # the same, because there was no host for them

    def admits(self, entry: Entry, now: float) -> bool:
        """Say whether a request may wait that just came and cannot start."""
        rate = _rate(entry)
        if not rate:
            return True  # an outage, or not placed yet
        if now < entry.whole_at:
            rate = max(rate, entry.rate)
        else:
            entry.rate = rate
        host = _first_ready(entry)
        wait_s = self._backlog.ahead(entry, host) / rate
        usual_s = entry.est * len(entry.hosts) / rate
        target = max(self._target_s, USUAL * usual_s)
        # a script without a queue of its own tells how long all of them wait
        stand = entry.stand if entry.queue else host.stand
        pause = _look(stand, wait_s, target, now)
        if stand.is_over or host.stand.is_over:
            limit = target
        else:
            limit = max(BURST * target, pause)
        if wait_s <= min(limit, self._timeout_s):
            return True
        entry.stand.turned_away += 1
        return False

    def refuse(self, pending: Pending, entry: Entry) -> Refuse:
        """Return the refusal of a request that waited too long, or would.

        Where no host is ready, that many wait is what comes of the outage.
        """
        return self._refusal(pending, entry, is_outage=not self._hosts.has_ready())

    def give_up(self, pending: Pending, entry: Entry) -> Refuse:
        """Return the refusal of a request that waited in vain."""
        return self._refusal(pending, entry, is_outage=not _rate(entry))

    def _refusal(self, pending: Pending, entry: Entry, *, is_outage: bool) -> Refuse:
        retry_after_s = self._retry_after(self.expected(entry))
        if is_outage:
            self.unserved += 1
            return Refuse(pending, Refusal.UNAVAILABLE, retry_after_s)
        self.refused += 1
        return Refuse(pending, Refusal.OVERLOADED, retry_after_s)

    def expected(self, entry: Entry) -> float:
        """Return how long a request of a script would wait, seconds; 0: unknown."""
        rate = _rate(entry)
        return self._backlog.ahead(entry, _first_ready(entry)) / rate if rate else 0.0

    def _retry_after(self, wait_s: float) -> int:
        """Return when the queue of now will be gone, or up to twice that.

        Evenly spread, so that those who were refused together do not come together.
        Whatever the rate, nobody waits longer than `queue_timeout`.
        """
        least = max(1, -int(-min(wait_s, self._timeout_s) // 1))
        self._spread = (self._spread + _GOLDEN) % 1.0
        return least + int(self._spread * (least + 1))


def note_served(stand: Stand, now: float) -> None:
    """Take note that a request has left this queue for a host."""
    if stand.served:
        pause = now - stand.served
        if pause > stand.pause:
            stand.pause = pause
            if pause > PAUSE_S and stand.over_since >= 0:
                stand.over_since = now  # an outage: it counts from its end
    stand.served = now


def note_work(host: Host, service_s: float, now: float) -> None:
    """Learn from a run that ended, while others wait, how fast a host works for us."""
    if not host.measured_from:
        host.measured_from = now
        host.measured_s = 0.0
        host.measured_runs = 0
        return
    host.measured_s += service_s
    host.measured_runs += 1
    elapsed = now - host.measured_from
    if elapsed >= MEASURE_S:
        share = min(max(host.measured_s / elapsed, LEAST_SHARE), 1.0)
        host.share += MEASURE_WEIGHT * (share - host.share)
        others_s = max(elapsed - host.measured_s, 0.0) / host.measured_runs
        host.others_s += MEASURE_WEIGHT * (others_s - host.others_s)
        host.measured_from = now
        host.measured_s = 0.0
        host.measured_runs = 0


def _look(stand: Stand, wait_s: float, target: float, now: float) -> float:
    """Note how long a queue is now; return how long nothing of it was served."""
    pause = stand.pause
    if stand.served:
        pause = max(pause, now - stand.served)
    if wait_s <= target:
        if not stand.is_over or wait_s <= target / 2:
            stand.clear()
    elif stand.over_since < 0:
        stand.over_since = now
    elif now - stand.over_since >= max(STANDS * target, pause):
        stand.is_over = True
    return pause


def _rate(entry: Entry) -> float:
    """Return the seconds of work that a script's hosts do in a second; 0: no host."""
    rate = 0.0
    est = entry.est
    for host in entry.hosts:
        if host.ready:
            share = host.share
            if est > 0:
                share = max(share, est / (est + host.others_s))
            rate += share
    return rate


def _first_ready(entry: Entry) -> Host:
    for host in entry.hosts:
        if host.ready:
            return host
    raise AssertionError("no host is ready")
