"""Memory and times of the full models on a GPU, and computed memory on meta tensors."""

import core.backends  # noqa: F401  (before torch, whose threads it sets up)
