"""What the full models take and how fast they are: memory and times on a GPU, memory alone on meta tensors."""

import core.backends  # noqa: F401  (before torch, whose threads it sets up)
