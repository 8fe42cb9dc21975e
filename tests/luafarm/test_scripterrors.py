"""Errors as hostile VM hosts tell them."""

from msgspec.structs import astuple

from luafarm import scripterrors
from luafarm.ends import Budget
from luafarm.wire.messages import ScriptError

LONG = "x" * (1 << 20)


def test_no_text_of_an_error_is_longer_than_anybody_reads() -> None:
    error = scripterrors.cut(ScriptError(LONG, LONG, LONG, LONG, 7, LONG, Budget.CPU))
    texts = [text for text in astuple(error) if isinstance(text, str)]
    assert len(texts) == 6  # the budget too, a word of ours
    assert max(map(len, texts)) == scripterrors.MAX_TEXT
    assert len(error.kind) == scripterrors.MAX_WORD
    assert error.line == 7


def test_an_error_of_usual_size_is_as_it_was() -> None:
    error = ScriptError("Runtime Error", "m", "t", "a.lua", 1, "1| x", Budget.CPU)
    assert scripterrors.cut(error) == error
