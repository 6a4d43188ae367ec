"""Model weights: pinned, fetched once, and checked before they are loaded.

Every model is one folder with a `manifest.json`: name, revision, each file's size and SHA-256, and what the model
prescribes (picture sizes, visual tokens). A profile is a set of such folders: `full` is deployed, `embedded` is small
enough for a laptop, and the same code loads both.

May import: no other package of the project, so that an image's layers with weights depend on this folder alone.
"""

from core.weights.catalog import TABLE, Entry
from core.weights.manifest import write_manifest
from core.weights.models import Facts, Located, Model, Profile, WeightsMissing
from core.weights.store import default_root, fetch, locate, verify

__all__ = [
    "TABLE",
    "Entry",
    "Facts",
    "Located",
    "Model",
    "Profile",
    "WeightsMissing",
    "default_root",
    "fetch",
    "locate",
    "verify",
    "write_manifest",
]
