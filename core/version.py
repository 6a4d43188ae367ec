"""The version of the code and of all four images. `pyproject.toml` reads it from here; see docs/release.md."""

VERSION = "0.1.0"
