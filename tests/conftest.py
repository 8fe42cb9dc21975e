"""What holds for all tests."""

from hypothesis import settings

# how long an example takes says nothing on a busy machine
settings.register_profile("luafarm", deadline=None)
settings.load_profile("luafarm")
