"""Whether a pool may use a dialect of Lua."""

from luafarm.dialects import NO_JIT, REFUSED, UNSOUND, Dialect


class DialectError(ValueError):
    """This dialect cannot be used here; the text is the reason."""


def choose(name: str, *, trusted: bool, jit: bool = False) -> Dialect:
    """Return the dialect of that name if such a pool may use it, else raise."""
    if name in REFUSED:
        raise DialectError(f"{name}: {REFUSED[name]}")
    try:
        dialect = Dialect(name)
    except ValueError:
        known = ", ".join(Dialect)
        raise DialectError(f"no dialect is named {name!r}; there are {known}") from None
    if not trusted and dialect in UNSOUND:
        raise DialectError(f"{name} in a sandboxed pool: {UNSOUND[dialect]}")
    if jit and not trusted:
        raise DialectError(f"jit in a sandboxed pool: {NO_JIT}")
    return dialect
