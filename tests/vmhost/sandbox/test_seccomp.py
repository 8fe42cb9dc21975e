"""The filter, run by an interpreter of the few BPF instructions it uses."""

import errno
import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmhost.sandbox import seccomp, syscalls
from vmhost.sandbox.seccomp import ALLOW, KILL, Argument, Rule, refuse
from vmhost.sandbox.syscalls import Architecture, number_on

PID = 4242


def interpret(
    program: bytes, processor: int, number: int, arguments: tuple[int, ...]
) -> int:
    data = struct.pack("=IIQ6Q", number, processor, 0, *arguments)
    steps = list(struct.iter_unpack("=HBBI", program))
    accumulator = at = 0
    while True:
        code, matched, otherwise, constant = steps[at]
        at += 1
        match code:
            case 0x20:
                accumulator = struct.unpack_from("=I", data, constant)[0]
            case 0x54:
                accumulator &= constant
            case 0x15:
                at += matched if accumulator == constant else otherwise
            case 0x06:
                return int(constant)
            case _:
                raise AssertionError(f"no such instruction {code:#x}")


def decide(rules: list[Rule], number: int, processor: int, args: list[int]) -> int:
    """Say what the rules mean, without BPF."""
    for rule in rules:
        if number_on(rule.name, Architecture(processor)) == number and all(
            args[test.index] & 0xFFFFFFFF & test.mask == test.value
            for test in rule.tests
        ):
            return rule.action
    return KILL


def full(*arguments: int) -> tuple[int, ...]:
    return (*arguments, 0, 0, 0, 0, 0, 0)[:6]


def verdict(name: str, *arguments: int, jit: bool = False, keys: bool = False) -> int:
    rules = seccomp.rules(PID, jit=jit, keys=keys)
    program = seccomp.compile_rules(rules, Architecture.X86_64)
    number = number_on(name, Architecture.X86_64)
    assert number is not None
    return interpret(program, Architecture.X86_64, number, full(*arguments))


processors = st.sampled_from(list(Architecture))
numbers = st.integers(0, 600) | st.integers(0, 2**32 - 1)
words = st.sampled_from([0, 1, 4, 7, 15, 34, 128, 393, 0x4040, PID, 0x7FFF]) | (
    st.integers(0, 2**64 - 1)
)


@given(processors, numbers, st.lists(words, min_size=6, max_size=6), st.booleans())
def test_the_program_decides_as_the_rules_say(
    processor: Architecture, number: int, arguments: list[int], jit: bool
) -> None:
    rules = seccomp.rules(PID, jit=jit, keys=not jit)
    program = seccomp.compile_rules(rules, processor)
    decided = interpret(program, processor, number, tuple(arguments))
    assert decided == decide(rules, number, processor, arguments)


@given(numbers, st.integers(0, 2**32 - 1))
def test_a_call_of_another_processor_kills(number: int, processor: int) -> None:
    rules = seccomp.rules(PID, jit=True, keys=True)
    program = seccomp.compile_rules(rules, Architecture.X86_64)
    expected = interpret(program, Architecture.X86_64, number, full())
    decided = interpret(program, processor, number, full())
    assert decided == (expected if processor == Architecture.X86_64 else KILL)


@pytest.mark.parametrize("processor", list(Architecture))
def test_the_program_fits_the_kernel(processor: Architecture) -> None:
    rules = seccomp.rules(PID, jit=False, keys=True)
    program = seccomp.compile_rules(rules, processor)
    assert len(program) % 8 == 0
    assert len(program) // 8 < 4096  # BPF_MAXINSNS


def test_x32_calls_are_killed() -> None:
    rules = seccomp.rules(PID, jit=True, keys=True)
    program = seccomp.compile_rules(rules, Architecture.X86_64)
    x32_read = 0x40000000
    assert interpret(program, Architecture.X86_64, x32_read, full()) == KILL


@pytest.mark.parametrize(
    "name",
    [
        "fork", "vfork", "kill", "connect", "bind", "sendmsg", "recvmsg", "ptrace",
        "memfd_create", "io_uring_setup", "bpf", "userfaultfd", "unshare", "execveat",
        "process_vm_readv", "seccomp", "landlock_create_ruleset", "capset",
        "accept", "shutdown", "getsockopt", "clone3",
    ],
)  # fmt: skip
def test_what_no_host_needs_kills(name: str) -> None:
    assert verdict(name, 1, 1, 1, jit=True, keys=True) == KILL


@pytest.mark.parametrize(
    ("name", "arguments", "action"),
    [
        ("read", (), ALLOW),
        ("epoll_wait", (), ALLOW),
        ("openat", (), refuse(errno.ENOENT)),
        ("clone", (0x3D0F00,), KILL),  # a thread
        ("clone", (17,), KILL),  # fork: SIGCHLD
        ("clone", (0x3D0F00 | 0x10000000,), KILL),  # with a user namespace
        ("prctl", (15,), KILL),
        ("prctl", (38,), KILL),
        ("tgkill", (PID, 1, 6), ALLOW),
        ("tgkill", (PID + 1, 1, 6), KILL),
        ("mmap", (0, 4096, 3, 0x22), ALLOW),
        ("mmap", (0, 4096, 0, 0x4022), ALLOW),  # NORESERVE: an arena of the allocator
        ("mmap", (0, 4096, 3, 0x32), ALLOW),  # FIXED: glibc shrinks an arena so
        ("mmap", (0, 4096, 5, 0x22), KILL),
        ("mmap", (0, 4096, 3, 0x21), KILL),  # shared
        ("mmap", (0, 4096, 1, 0x02), KILL),  # a file
        ("mremap", (0, 4096, 8192, 1), ALLOW),
        ("mremap", (0, 4096, 4096, 3), KILL),  # FIXED
        ("madvise", (0, 4096, 4), ALLOW),
        ("madvise", (0, 4096, 12), refuse(errno.EINVAL)),  # MERGEABLE
        ("futex", (0, 128), ALLOW),  # WAIT_PRIVATE
        ("futex", (0, 129), ALLOW),
        ("futex", (0, 265), ALLOW),  # WAIT_BITSET by the clock of the day: join
        ("futex", (0, 393), ALLOW),
        ("futex", (0, 12), refuse(errno.ENOSYS)),  # CMP_REQUEUE_PI
        ("futex", (0, 128 | 6), refuse(errno.ENOSYS)),  # LOCK_PI
        ("clock_gettime", (2,), ALLOW),
        ("clock_gettime", (0xFFFFFFFF & (~PID << 3 | 2),), refuse(errno.EINVAL)),
        ("clock_nanosleep", (1, 1), ALLOW),
        ("clock_nanosleep", (0xFFFFFFFF & (~PID << 3 | 2),), refuse(errno.EINVAL)),
        ("mprotect", (0, 4096, 7), KILL),
        ("fcntl", (3, 4, 0x802), ALLOW),
        ("fcntl", (3, 4, 0x2002), refuse(errno.EPERM)),  # O_ASYNC
        ("fcntl", (3, 0), refuse(errno.EPERM)),  # F_DUPFD
        ("fcntl", (3, 1030), refuse(errno.EPERM)),
        ("fcntl", (3, 3), refuse(errno.EPERM)),
        ("fcntl", (3, 8), refuse(errno.EPERM)),  # F_SETOWN: signals to others
        ("setsockopt", (3, 6, 1), refuse(errno.EPERM)),
        ("socket", (1, 1, 0), KILL),
        ("kill", (PID, 0), KILL),
        ("kill", (0, 9), KILL),
        ("ptrace", (16, PID), KILL),
        ("execve", (0x7FFE0000,), KILL),
        ("execve", (0,), refuse(errno.EPERM)),
    ],
)
def test_arguments_decide(name: str, arguments: tuple[int, ...], action: int) -> None:
    assert verdict(name, *arguments) == action


@pytest.mark.parametrize("jit", [False, True])
def test_a_probe_is_answered_and_kills_nobody(jit: bool) -> None:
    for name, values in seccomp.probes(jit=jit):
        assert verdict(name, *values, jit=jit) == refuse(errno.EPERM)


@pytest.mark.parametrize(
    ("name", "arguments", "action"),
    [
        ("recvfrom", (), ALLOW),
        ("getpeername", (), ALLOW),
        ("mlock", (), ALLOW),
        ("sendto", (3, 0, 1, 0), ALLOW),
        ("sendto", (3, 0, 1, 0x4000), ALLOW),
        ("sendto", (3, 0, 1, 0x20000000), KILL),  # MSG_FASTOPEN connects
        ("prctl", (15,), ALLOW),
        ("prctl", (38,), KILL),
        ("fcntl", (3, 3), ALLOW),
        ("fcntl", (3, 0), refuse(errno.EPERM)),
        ("madvise", (0, 4096, 16), ALLOW),
        ("madvise", (0, 4096, 12), refuse(errno.EINVAL)),
        ("setsockopt", (3, 6, 1), ALLOW),
        ("setsockopt", (3, 6, 31), refuse(errno.EPERM)),  # TCP_ULP
        ("setsockopt", (3, 1, 50), refuse(errno.EPERM)),  # SO_ATTACH_BPF
        ("sched_setscheduler", (1, 3), refuse(0)),  # as if it had been done
        ("sched_getscheduler", (1,), refuse(0)),
    ],
)
def test_a_host_with_keys_gets_what_libzmq_needs(
    name: str, arguments: tuple[int, ...], action: int
) -> None:
    assert verdict(name, *arguments, keys=True) == action


@pytest.mark.parametrize(
    "name",
    [
        "recvfrom", "sendto", "getpeername", "mlock", "munlock", "prctl", "rseq",
        "set_robust_list", "sched_getscheduler", "sched_getparam",
        "sched_setscheduler",
    ],
)  # fmt: skip
def test_a_host_without_keys_gets_nothing_of_libzmqs(name: str) -> None:
    assert verdict(name) == KILL


@pytest.mark.parametrize("keys", [False, True])
def test_the_page_on_the_sandbox_says_of_each_call_what_it_is_for(keys: bool) -> None:
    page = Path(seccomp.__file__).parents[2] / "docs" / "sandbox.md"
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.read_text().splitlines()
        if line.startswith("| `")
    ]
    told = {
        name
        for cells in rows
        if cells[-1] in ({"every host", "with keys"} if keys else {"every host"})
        for name in re.findall(r"`(\w+)`", cells[0])
    }
    rules = seccomp.rules(PID, jit=False, keys=keys)
    assert told == {rule.name for rule in rules if rule.action in {ALLOW, refuse(0)}}


def test_executable_memory_is_for_the_compiler_only() -> None:
    assert verdict("mmap", 0, 4096, 5, 0x22, jit=True) == ALLOW
    assert verdict("mprotect", 0, 4096, 5, jit=True) == ALLOW


def test_the_first_rule_that_holds_wins() -> None:
    rules = [
        Rule("read", refuse(1), (Argument(0, 1), Argument(1, 2, 3))),
        Rule("read", refuse(2), (Argument(0, 1),)),
    ]
    program = seccomp.compile_rules(rules, Architecture.X86_64)
    read = syscalls.NUMBERS["read"][0]
    assert read is not None
    run = [
        interpret(program, Architecture.X86_64, read, full(*arguments))
        for arguments in ((1, 2), (1, 6), (1, 1), (2, 2))
    ]
    assert run == [refuse(1), refuse(1), refuse(2), KILL]
