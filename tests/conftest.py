"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# how long an example, or making one, takes says nothing on a busy machine
settings.register_profile(
    "luafarm", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("luafarm")
