"""The mark in every picture: an XMP packet that says that it is generated, and how.

The packet is the same in PNG, JPEG and WebP. IPTC Photo Metadata 2025.1 has fields for the statement itself
(`DigitalSourceType`), the model, its revision and the prompt; seed, steps and the policy's version have none there and
are in our own namespace. The packet contains no time and no random id, so that the same picture has the same bytes.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import quoteattr

from PIL import Image

from core.errors import BadPicture

TRAINED_ALGORITHMIC_MEDIA = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's term for a picture that a trained model generated without a source picture."""

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_OWN = "urn:img-pod:recipe:1"
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 doesn't allow, not even escaped."""

_C2PA_MANIFESTS = b"jumdc2pa" + bytes.fromhex("00110010800000aa00389b71")
"""How the box of a C2PA manifest store begins: the same bytes in all three formats (C2PA 2.1 §11.1.4.2)."""

_MARKED_FORMATS = {"PNG": "png", "JPEG": "jpeg", "MPO": "jpeg", "WEBP": "webp"}


@dataclass(frozen=True, slots=True)
class Recipe:
    """Parameters of a generated picture. `prompt` is None unless the caller requested it, because a chat is private."""

    model: str
    revision: str
    seed: int
    steps: int
    policy_version: str
    prompt: str | None = None


_FIELDS: dict[str, tuple[str, str]] = {
    "model": (_IPTC, "AISystemUsed"),
    "revision": (_IPTC, "AISystemVersionUsed"),
    "prompt": (_IPTC, "AIPromptInformation"),
    "seed": (_OWN, "seed"),
    "steps": (_OWN, "steps"),
    "policy_version": (_OWN, "policyVersion"),
}


def to_xmp(recipe: Recipe) -> bytes:
    """`recipe` as an XMP packet (ISO 16684-1)."""
    prefixes = {_IPTC: "Iptc4xmpExt", _OWN: "imgpod"}
    fields = {name: getattr(recipe, name) for name in _FIELDS}
    lines = [f"Iptc4xmpExt:DigitalSourceType={quoteattr(TRAINED_ALGORITHMIC_MEDIA)}"]
    for name, value in fields.items():
        if value is not None:
            space, local = _FIELDS[name]
            lines.append(f"{prefixes[space]}:{local}={quoteattr(_NOT_IN_XML.sub('', str(value)))}")
    packet = (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}">'
        f'<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="{_IPTC}" xmlns:imgpod="{_OWN}"\n {chr(10).join(lines)}/>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    )
    return packet.encode("utf-8")


def inspect(data: bytes) -> dict[str, Any]:
    """Read the marks in `data` (PNG, JPEG or WebP): format, size, `ai_generated`, `digital_source_type`, `recipe`.

    `recipe` contains the fields that were found, all but `seed` and `steps` as text; `content_credentials` says whether
    a C2PA manifest is embedded, not whether it is valid. Marks are no proof, because they can be removed and forged.
    Raises `BadPicture` for a file that is none of the three.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["PNG", "JPEG", "WEBP"]) as image:
            image_format, size = _MARKED_FORMATS[image.format or ""], image.size
            packet = image.info.get("xmp", b"")
    except Exception:  # noqa: BLE001 - decoders raise a dozen kinds for a hostile file
        raise BadPicture("The file is not a PNG, JPEG or WebP.") from None
    fields = _read_xmp(packet if isinstance(packet, bytes) else str(packet).encode())
    source = fields.pop("digital_source_type", None)
    return {
        "format": image_format,
        "width": size[0],
        "height": size[1],
        "ai_generated": source == TRAINED_ALGORITHMIC_MEDIA,
        "digital_source_type": source,
        "recipe": {key: _number(value) if key in {"seed", "steps"} else value for key, value in fields.items()} or None,
        "content_credentials": _C2PA_MANIFESTS in data,
    }


def _number(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else text


def _read_xmp(packet: bytes) -> dict[str, str]:
    """Read our fields from any XMP packet, as attributes or elements; none from a broken one."""
    # A document type could define entities that expand to a huge text; XMP has no document type.
    if not packet or b"<!DOCTYPE" in packet:
        return {}
    try:
        root = ET.fromstring(packet.rstrip(b"\x00"))  # noqa: S314 - no document type, so nothing to expand or to fetch
    except ET.ParseError:
        return {}
    names = {f"{{{space}}}{local}": name for name, (space, local) in _FIELDS.items()}
    names[f"{{{_IPTC}}}DigitalSourceType"] = "digital_source_type"
    fields: dict[str, str] = {}
    for node in root.iter(f"{{{_RDF}}}Description"):
        fields |= {names[key]: value for key, value in node.items() if key in names}
        fields |= {names[child.tag]: child.text or "" for child in node if child.tag in names}
    return fields
