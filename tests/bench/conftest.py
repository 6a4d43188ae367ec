"""Imported before any test module here: `core.backends` has to come before torch, whose threads it sets up."""

import core.backends  # noqa: F401  (imported for its effect)
