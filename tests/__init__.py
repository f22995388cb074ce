"""
The tests, in the same tree as the package.
"""

from hypothesis import settings

# No test is timed: a machine that does other things would fail it.
settings.register_profile("distributor", deadline=None)
settings.load_profile("distributor")
