"""What /proc tells of a tree of processes: CPU time of every thread, and memory."""

import os
from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")
_NEVER = -1
_STAT_BYTES = 4096


def _stat(pid: int) -> list[str]:
    """Read the fields of /proc/PID/stat after the name; none when it is gone."""
    # tests and benchmarks look at all processes again and again: no pathlib
    try:
        fd = os.open(f"{PROC}/{pid}/stat", os.O_RDONLY)
    except OSError:
        return []
    try:
        text = os.read(fd, _STAT_BYTES).decode(errors="replace")
    except OSError:
        return []
    finally:
        os.close(fd)
    return text.rpartition(")")[2].split()


def _stats() -> dict[int, list[str]]:
    """Read the same of all processes."""
    with os.scandir(PROC) as entries:
        pids = [int(entry.name) for entry in entries if entry.name.isdigit()]
    return {pid: fields for pid in pids if (fields := _stat(pid))}


def start_ticks(pid: int) -> int:
    """When the process started, in clock ticks since boot; -1 when it is gone."""
    fields = _stat(pid)
    return int(fields[19]) if fields else _NEVER


def state(pid: int) -> str:
    """Return the letter of its state (T: stopped, Z: dead); empty when it is gone."""
    return "".join(_stat(pid)[:1])


def age_s(pid: int) -> float:
    """How long the process has lived, in seconds; 0 or less when it is gone."""
    uptime = float((PROC / "uptime").read_text().split()[0])
    started = start_ticks(pid)
    return uptime - started / os.sysconf("SC_CLK_TCK") if started >= 0 else 0.0


def busy_ns() -> int:
    """CPU time that everything on this machine has used since boot, in nanoseconds."""
    fields = (PROC / "stat").read_text().splitlines()[0].split()[1:9]
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields)
    ticks = user + nice + system + irq + softirq + steal
    return ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def session(leader: int) -> set[int]:
    """All live processes of a session, zombies left out."""
    return _session(leader, _stats())


def _session(leader: int, stats: dict[int, list[str]]) -> set[int]:
    return {
        pid
        for pid, fields in stats.items()
        if int(fields[3]) == leader and fields[0] != "Z"
    }


def tree(root: int) -> set[int]:
    """Find a process, its session and its descendants, wherever they have moved."""
    stats = _stats()
    parents = {pid: int(fields[1]) for pid, fields in stats.items()}
    family = {root} | _session(root, stats)
    grown = True
    while grown:
        found = {pid for pid, parent in parents.items() if parent in family}
        grown = not found <= family
        family |= found
    return {pid for pid in family if pid in parents}


def cpu_ns(pids: Iterable[int]) -> int:
    """CPU time used so far by every living thread of the processes, in nanoseconds."""
    total = 0
    for pid in pids:
        for schedstat in (PROC / str(pid) / "task").glob("*/schedstat"):
            try:
                total += int(schedstat.read_text().split()[0])
            except OSError:
                continue  # the thread ended between the listing and the reading
    return total


def pss_bytes(pids: Iterable[int]) -> int:
    """Proportional set size: memory, with shared pages divided among their users."""
    total = 0
    for pid in pids:
        try:
            text = (PROC / str(pid) / "smaps_rollup").read_text()
        except OSError:
            continue
        for line in text.splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def title(pid: int) -> str:
    """Read the command line as ``ps`` shows it; empty when the process is gone."""
    try:
        raw = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return ""
    return raw.replace(b"\0", b" ").decode(errors="replace").strip()


def seccomp_filters(pid: int) -> int:
    """How many system call filters a process is under; 0 when it is gone."""
    try:
        text = (PROC / str(pid) / "status").read_text(errors="replace")
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith("Seccomp_filters:"):
            return int(line.split()[1])
    return 0
