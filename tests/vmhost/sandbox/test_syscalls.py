"""The table of numbers, against the kernel that runs."""

import os
import re
import threading
from pathlib import Path

import pytest

from vmhost.sandbox import kernel, syscalls
from vmhost.sandbox.syscalls import NUMBERS, Architecture

HEADERS = {
    Architecture.X86_64: Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    Architecture.AARCH64: Path("/usr/include/asm-generic/unistd.h"),
}


@pytest.mark.parametrize("processor", list(Architecture))
def test_numbers_are_those_of_the_kernel_headers(processor: Architecture) -> None:
    header = HEADERS[processor]
    if not header.exists():
        pytest.skip(f"no {header}")
    found = {
        name: int(number)
        for name, number in re.findall(
            r"#define __NR(?:3264)?_(\w+)\s+(\d+)\b", header.read_text()
        )
    }
    found.setdefault("newfstatat", found.get("fstatat", -1))
    wrong = {
        name: (syscalls.number_on(name, processor), found[name])
        for name in NUMBERS
        if name in found and syscalls.number_on(name, processor) != found[name]
    }
    assert wrong == {}


def test_calls_by_number_reach_the_right_call() -> None:
    assert kernel.syscall("getpid") == os.getpid()
    assert kernel.syscall("gettid") == threading.get_native_id()
    assert kernel.syscall("getuid") == os.getuid()


def test_a_call_that_this_processor_lacks_is_enosys() -> None:
    lacking = [
        name
        for name, numbers in NUMBERS.items()
        if numbers[0 if kernel.architecture() is Architecture.X86_64 else 1] is None
    ]
    for name in lacking:
        with pytest.raises(OSError, match=name):
            kernel.number(name)
