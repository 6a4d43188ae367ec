"""What all tests share: property tests that don't look at the clock, which on a busy machine says nothing."""

from hypothesis import HealthCheck, settings

settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")
