"""What a front tells the broker of the requests that ended since it last told."""

# Compiled.

from fcgi.dispatch.tables import Entry, Pending, Use
from luafarm.names import HostId, Script
from luafarm.wire.messages import UseRow


class Usage:
    """Counts by script and host."""

    def __init__(self) -> None:
        self._used: dict[bytes, Entry] = {}  # entries with something to report

    def count(
        self,
        entry: Entry,
        host: HostId,
        pending: Pending,
        service_us: int,
        now: float,
        *,
        ok: bool,
    ) -> None:
        """Count a request that ended now."""
        use = entry.uses.get(host)
        if use is None:
            use = entry.uses[host] = Use()
            self._used[entry.script] = entry
        use.requests += 1
        use.busy_us += service_us
        since = max(entry.placed, pending.arrival)
        if pending.sent > since:
            use.waited_s += pending.sent - since
        use.last = now
        if not ok:
            use.errors += 1

    def take(self, now: float) -> tuple[UseRow, ...]:
        """Return the counts and forget them."""
        rows: list[UseRow] = []
        for entry in self._used.values():
            for name, use in entry.uses.items():
                rows.append(
                    UseRow(
                        Script(entry.script),
                        name,
                        use.requests,
                        use.busy_us,
                        int(use.waited_s * 1e6),
                        int((now - use.last) * 1e6),
                        use.errors,
                    )
                )
            entry.uses = {}
        self._used = {}
        return tuple(rows)
