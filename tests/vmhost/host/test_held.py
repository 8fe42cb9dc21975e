"""What a VM host remembers of a state."""

import pytest

from luafarm.names import Epoch, Script
from luafarm.wire.messages import Blob, Dependency, Limits, Load, NeedKind, Source
from vmhost.host.held import MAX_DATA, MAX_DEPENDENCIES, MAX_KEPT_BYTES, Held
from vmhost.host.sources import MAX_SHARED, MAX_SHARED_BYTES, Sources

LIMITS = Limits(1, 2_000, 3_000, 4_000, 5_000, 6, 7, 8, fresh=False)
MODULE = Blob(NeedKind.MODULE, b"m", b"/m.lua", b"digest", b"text")


def hold(*blobs: Blob) -> Held:
    return Held(Load(Script(b"/a"), Epoch(5), b"d", b"source", blobs, LIMITS), 10**9)


def test_what_came_along_counts_once_it_is_used() -> None:
    held = hold(MODULE)
    assert (held.used, held.has_news) == ({}, False)
    source = held.recall(NeedKind.MODULE, b"m")
    assert source is not None
    assert source.blob == MODULE
    dependency = Dependency(NeedKind.MODULE, b"m", b"/m.lua", b"digest")
    assert (list(held.used.values()), held.has_news) == ([dependency], True)
    held.has_news = False
    held.recall(NeedKind.MODULE, b"m")
    assert not held.has_news


def test_the_same_name_of_another_kind_is_another_file() -> None:
    assert hold(MODULE).recall(NeedKind.FILE, b"m") is None


def test_only_code_is_shown_as_source() -> None:
    held = hold(MODULE, Blob(NeedKind.FILE, b"key.pem", b"/key.pem", b"d", b"secret"))
    assert held.source_of(b"/m.lua") == b"text"
    assert held.source_of(b"/key.pem") == b""


def test_what_is_not_there_is_remembered_as_well() -> None:
    held = hold()
    nothing = Source(1, Blob(NeedKind.FILE, b"f", b"", b"", b""), "no file")
    held.learn(NeedKind.FILE, b"f", nothing)
    assert held.recall(NeedKind.FILE, b"f") is nothing
    assert list(held.used.values()) == [Dependency(NeedKind.FILE, b"f", b"", b"")]


def test_what_was_not_there_before_tells_why_as_it_did_then() -> None:
    why = b"no file '/m.lua'"
    source = hold(Blob(NeedKind.MODULE, b"m", b"", b"", why)).recall(
        NeedKind.MODULE, b"m"
    )
    assert source is not None
    assert source.error == why.decode()


def test_too_much_to_keep_is_used_and_asked_for_again() -> None:
    held = hold()
    large = Blob(NeedKind.FILE, b"f", b"/f", b"d", bytes(MAX_KEPT_BYTES))
    held.learn(NeedKind.FILE, b"f", Source(1, large, ""))
    assert held.recall(NeedKind.FILE, b"f") is None
    assert len(held.used) == 1
    held.learn(NeedKind.MODULE, b"m", Source(2, MODULE, ""))
    assert held.recall(NeedKind.MODULE, b"m") is not None


def test_it_may_ask_for_a_limited_number_of_files() -> None:
    held = hold()
    for number in range(MAX_DEPENDENCIES):
        assert held.may_ask()
        name = b"%d" % number
        blob = Blob(NeedKind.FILE, name, b"", b"", b"")
        held.learn(NeedKind.FILE, name, Source(1, blob, ""))
    assert not held.may_ask()


def test_sources_are_found_by_path() -> None:
    held = hold(MODULE)
    assert held.source_of(b"/a") == b"source"
    assert held.source_of(b"/m.lua") == b"text"
    assert held.source_of(b"/other") == b""


def test_the_service_time_follows_the_runs() -> None:
    held = hold()
    held.ran(800)
    assert held.service_ns == 800
    for _ in range(100):
        held.ran(80)
    assert held.service_ns == pytest.approx(80, abs=10)
    assert held.requests == 101


def test_the_row_of_the_inventory_tells_it_all() -> None:
    held = hold(MODULE)
    held.recall(NeedKind.MODULE, b"m")
    held.ran(5)
    held.load_us, held.memory_bytes = 7, 2048
    row = held.row(10**9 + 3_000_000)
    assert (row.script, row.epoch, row.digest) == (b"/a", 5, b"d")
    assert (row.load_us, row.kib, row.requests, row.age_ms) == (7, 2, 1, 3)
    assert row.dependencies == tuple(held.used.values())


def test_equal_sources_become_one_object() -> None:
    sources = Sources()
    one, two = b"x" * 1000, bytes(b"x" * 1000)
    assert sources.share(b"d", one) is one
    assert sources.share(b"d", two) is one


def test_a_digest_that_lies_cannot_change_a_source() -> None:
    sources = Sources()
    sources.share(b"d", b"good")
    assert sources.share(b"d", b"evil") == b"evil"
    assert sources.share(b"d", b"good") == b"good"


def test_the_oldest_source_is_no_longer_shared() -> None:
    sources = Sources()
    first, kept = b"first", b"kept"
    sources.share(b"first", first)
    sources.share(b"kept", kept)
    for number in range(MAX_SHARED - 1):
        sources.share(b"kept", kept)
        sources.share(b"%d" % number, b"%d" % number)
    assert sources.share(b"kept", b"ke" + b"pt") is kept
    again = bytes(bytearray(first))
    assert sources.share(b"first", again) is again


def test_sources_that_are_shared_have_a_limit_in_bytes() -> None:
    sources = Sources()
    size = MAX_SHARED_BYTES // 8
    contents = [bytes([number]) * size for number in range(10)]
    for content in contents:
        sources.share(content[:1], content)
    shared = [
        sources.share(content[:1], again) is not again
        for content in reversed(contents)
        for again in [bytes(bytearray(content))]
    ]
    assert shared == [True] * 8 + [False] * 2


def test_large_data_is_asked_for_again_and_code_is_not() -> None:
    held = hold()
    for kind, is_kept in ((NeedKind.FILE, False), (NeedKind.CHUNK, True)):
        blob = Blob(kind, b"f", b"/f", b"d", bytes(MAX_DATA))
        held.learn(kind, b"f", Source(1, blob, ""))
        assert (held.recall(kind, b"f") is not None) == is_kept
    blob = Blob(NeedKind.FILE, b"g", b"/g", b"d", bytes(MAX_DATA - 1))
    held.learn(NeedKind.FILE, b"g", Source(1, blob, ""))
    assert held.recall(NeedKind.FILE, b"g") is not None
