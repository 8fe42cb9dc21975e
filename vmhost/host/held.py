"""One state that a VM host holds: what it was made of, and what it cost and used."""

# Compiled.

from typing import Final

from luafarm.wire.messages import (
    Dependency,
    Load,
    Loaded,
    NeedKind,
    Source,
    StateRow,
)

MAX_DEPENDENCIES: Final = 2000
"""Files that one state may ask for. A script that asks for names without end must not
fill host, broker and wire; honest applications use some hundred modules."""

MAX_KEPT_BYTES: Final = 16 << 20
"""Sources kept for one state, so that it reads a file again without a round trip."""

MAX_DATA: Final = 1 << 20
"""Bytes of a file read as data that are kept: no quota of a state counts them."""

Key = tuple[NeedKind, bytes]


class Held:
    """A generation of a script on this host; its Lua state belongs to the loop."""

    def __init__(self, load: Load, now_ns: int) -> None:
        self.script = load.script
        self.epoch = load.epoch
        self.digest = load.digest
        self.source = load.source
        self.limits = load.limits
        self.wall_ns = load.limits.wall_ms * 1_000_000
        self.reply_bytes = load.limits.reply_bytes
        self.load_wall_ns = load.limits.load_wall_ms * 1_000_000
        # (wall-clock, CPU) seconds of a run, and of loading
        self.budget = (load.limits.wall_ms / 1000, load.limits.cpu_ms / 1000)
        self.load_budget = (
            load.limits.load_wall_ms / 1000,
            load.limits.load_cpu_ms / 1000,
        )
        self.loaded_ns = now_ns
        self.load_us = 0
        self.memory_bytes = 0  # of its state, as of its last run
        self.has_state = False  # else a fresh one is made for the next run
        self.requests = 0
        self.service_ns = 0  # moving average of a run; 0: it never ran
        self.preface = b""  # log of loading a fresh state, for the run to come
        self.is_fenced = False  # no run may start with it any more
        self.is_wanted = False  # a front knows of it, so it is in force
        self.has_news = False  # `used` has grown since the broker was told
        self.used: dict[Key, Dependency] = {}  # what it asked for, found or not
        self._answers: dict[Key, Source] = {}  # what need not be asked, used or not
        self._kept_bytes = 0
        for blob in load.blobs:
            error = "" if blob.path else blob.source.decode("utf-8", "replace")
            self._keep((blob.kind, blob.name), Source(0, blob, error))

    def recall(self, kind: NeedKind, name: bytes) -> Source | None:
        """Return what is known already, and count it as used; None: ask the broker."""
        key = (kind, name)
        source = self._answers.get(key)
        if source is not None:
            self._use(key, source)
        return source

    def learn(self, kind: NeedKind, name: bytes, source: Source) -> None:
        """Take the broker's answer, also when it is that there is no such file."""
        key = (kind, name)
        self._keep(key, source)
        self._use(key, source)

    def source_of(self, path: bytes) -> bytes:
        """Return the code that was found at a path; empty when none is known.

        Never what was read as data: which path an error names can be up to a visitor.
        """
        if path == self.script:
            return self.source
        for answer in self._answers.values():
            if answer.blob.path == path and answer.blob.kind != NeedKind.FILE:
                return answer.blob.source
        return b""

    def may_ask(self) -> bool:
        """Return whether it may ask for a further file."""
        return len(self.used) < MAX_DEPENDENCIES

    def ran(self, service_ns: int) -> None:
        """Count a run that ended."""
        self.requests += 1
        known = self.service_ns
        self.service_ns = known + (service_ns - known >> 3) if known else service_ns

    def row(self, now_ns: int) -> StateRow:
        """Return it as the inventory tells it."""
        return StateRow(
            self.script,
            self.epoch,
            self.digest,
            self.load_us,
            self.memory_bytes >> 10,
            self.requests,
            (now_ns - self.loaded_ns) // 1_000_000,
            tuple(self.used.values()),
        )

    def loaded(self, log: bytes) -> Loaded:
        """Return the message that it is there, and what it has used so far."""
        return Loaded(
            self.script,
            self.epoch,
            self.load_us,
            self.memory_bytes >> 10,
            tuple(self.used.values()),
            log,
        )

    def _use(self, key: Key, source: Source) -> None:
        if key not in self.used:
            blob = source.blob
            self.used[key] = Dependency(key[0], key[1], blob.path, blob.digest)
            self.has_news = True

    def _keep(self, key: Key, source: Source) -> None:
        size = len(key[1]) + len(source.blob.source)
        if key[0] is NeedKind.FILE and size > MAX_DATA:
            return
        if key not in self._answers and self._kept_bytes + size <= MAX_KEPT_BYTES:
            self._kept_bytes += size
            self._answers[key] = source
