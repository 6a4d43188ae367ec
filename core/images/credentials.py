"""Content Credentials: sign encoded pictures with a C2PA manifest and the deployer's certificate.

Off unless `C2PA_CERTIFICATES` and `C2PA_PRIVATE_KEY` are set, and only then is the package `c2pa-python` needed. A
manifest has its own id and time, so a signed picture's bytes differ each time; its pixels and its XMP do not.
"""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from core.errors import Misconfigured
from core.images.encoding import encode
from core.images.marks import TRAINED_ALGORITHMIC_MEDIA, Recipe
from core.settings import SigningSettings

if TYPE_CHECKING:
    import c2pa  # type: ignore[import-untyped]  # has no types

_WHAT_IS_NEEDED = (
    "C2PA_CERTIFICATES needs a PEM chain, the signer's own certificate first, and C2PA_PRIVATE_KEY its key in PKCS #8; "
    "C2PA_ALGORITHM must fit the key, and the certificate be valid today, for e-mail protection or document signing."
)


class ContentCredentials:
    """A `Signer`. Any thread may call it; one picture is signed at a time."""

    def __init__(self, signer: c2pa.Signer, context: c2pa.Context) -> None:
        self._signer = signer
        self._context = context
        self._lock = threading.Lock()

    @classmethod
    def from_settings(cls, settings: SigningSettings) -> ContentCredentials | None:
        """Load the deployment's signer and test it on one picture; None if none is set. Raises `Misconfigured`."""
        if settings.certificates is None and settings.private_key is None:
            return None
        if settings.certificates is None or settings.private_key is None:
            raise Misconfigured("Signing needs both C2PA_CERTIFICATES and C2PA_PRIVATE_KEY: set both, or none.")
        made = cls._load(
            _pem(settings.certificates, "C2PA_CERTIFICATES"),
            _pem(settings.private_key.get_secret_value(), "C2PA_PRIVATE_KEY"),
            settings,
        )
        probe = Image.new("RGB", (64, 64))
        encode(probe, image_format="jpeg", recipe=Recipe("probe", "probe", 0, 0, "probe"), signer=made)
        return made

    @classmethod
    def _load(cls, certificates: bytes, private_key: bytes, settings: SigningSettings) -> ContentCredentials:
        try:
            import c2pa
        except ImportError:
            raise Misconfigured(
                "Signing needs the package c2pa-python in the image: add it, or unset C2PA_*."
            ) from None
        url = settings.timestamp_url.encode() if settings.timestamp_url else None
        try:
            signer = c2pa.Signer.from_info(
                c2pa.C2paSignerInfo(settings.algorithm.encode(), certificates, private_key, url)
            )
            # A thumbnail in the manifest costs 0.1 s and shows what the picture shows.
            context = c2pa.Context.from_dict({"builder": {"thumbnail": {"enabled": False}}})
        except c2pa.C2paError:
            raise Misconfigured(_WHAT_IS_NEEDED) from None
        return cls(signer, context)

    def sign(self, data: bytes, *, content_type: str, recipe: Recipe) -> bytes:
        """Add a signed manifest that names the model to `data`. Raises `Misconfigured`."""
        import c2pa

        signed = io.BytesIO()
        try:
            with self._lock, c2pa.Builder(_manifest(recipe), context=self._context) as builder:
                builder.sign(self._signer, content_type, io.BytesIO(data), signed)
        except c2pa.C2paError:
            raise Misconfigured(f"The picture can't be signed. {_WHAT_IS_NEEDED}") from None
        return signed.getvalue()


def _manifest(recipe: Recipe) -> dict[str, object]:
    """The manifest of a picture that `recipe`'s model created. The prompt is only in the XMP, if requested."""
    created = {
        "action": "c2pa.created",
        "digitalSourceType": TRAINED_ALGORITHMIC_MEDIA,
        "softwareAgent": {"name": recipe.model, "version": recipe.revision},
    }
    return {
        "claim_generator_info": [{"name": "img-pod"}],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [created]}}],
    }


def _pem(value: str, name: str) -> bytes:
    r"""PEM text as given (c2pa reads `\n` as a line break, which some secret stores write), or that of a file."""
    if "-----BEGIN" in value:
        return value.encode()
    try:
        return Path(value).read_bytes()
    except (OSError, ValueError):
        raise Misconfigured(f"{name} is neither PEM text nor a file that can be read.") from None
