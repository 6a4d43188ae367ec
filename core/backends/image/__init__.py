"""The image backend: Z-Image Turbo through diffusers.

`load_image` reads the weights, `warm_up` runs the largest shapes once, and `LoadedImage` generates batches.
"""

from core.backends.image.backend import STEPS, WORKING_BYTES, LoadedImage
from core.backends.image.loading import load_image, warm_up
from core.backends.image.options import ImageOptions

__all__ = ["STEPS", "WORKING_BYTES", "ImageOptions", "LoadedImage", "load_image", "warm_up"]
