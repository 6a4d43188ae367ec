"""The attributes of a person as a closed vocabulary, and the quality of a face in a picture."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import (
    Field,
    StringConstraints,
    field_validator,
)

from core.contracts.base import Message, Unit


class GenderPresentation(StrEnum):
    FEMININE = "feminine"
    MASCULINE = "masculine"
    ANDROGYNOUS = "androgynous"
    UNKNOWN = "unknown"


class AgeBand(StrEnum):
    UNDER_18 = "under_18"
    FROM_18_TO_24 = "18_24"
    FROM_25_TO_34 = "25_34"
    FROM_35_TO_44 = "35_44"
    FROM_45_TO_54 = "45_54"
    FROM_55_TO_64 = "55_64"
    FROM_65 = "65_plus"
    UNKNOWN = "unknown"


class SkinTone(StrEnum):
    VERY_LIGHT = "very_light"
    LIGHT = "light"
    MEDIUM = "medium"
    TAN = "tan"
    BROWN = "brown"
    DARK = "dark"
    UNKNOWN = "unknown"


class HairColor(StrEnum):
    BLACK = "black"
    BROWN = "brown"
    BLOND = "blond"
    RED = "red"
    GRAY = "gray"
    WHITE = "white"
    DYED = "dyed"
    NONE = "none"
    UNKNOWN = "unknown"


class HairLength(StrEnum):
    BALD = "bald"
    SHORT = "short"
    MEDIUM = "medium"
    LONG = "long"
    UNKNOWN = "unknown"


class HairStyle(StrEnum):
    STRAIGHT = "straight"
    WAVY = "wavy"
    CURLY = "curly"
    COILY = "coily"
    BRAIDS = "braids"
    BUN = "bun"
    PONYTAIL = "ponytail"
    NONE = "none"
    UNKNOWN = "unknown"


class EyeColor(StrEnum):
    BROWN = "brown"
    BLUE = "blue"
    GREEN = "green"
    HAZEL = "hazel"
    GRAY = "gray"
    UNKNOWN = "unknown"


class FacialHair(StrEnum):
    NONE = "none"
    STUBBLE = "stubble"
    MUSTACHE = "mustache"
    BEARD = "beard"
    UNKNOWN = "unknown"


class Glasses(StrEnum):
    NONE = "none"
    EYEGLASSES = "eyeglasses"
    SUNGLASSES = "sunglasses"
    UNKNOWN = "unknown"


class Expression(StrEnum):
    NEUTRAL = "neutral"
    SMILING = "smiling"
    LAUGHING = "laughing"
    SERIOUS = "serious"
    UNKNOWN = "unknown"


class FaceShape(StrEnum):
    OVAL = "oval"
    ROUND = "round"
    SQUARE = "square"
    HEART = "heart"
    LONG = "long"
    UNKNOWN = "unknown"


class Headwear(StrEnum):
    NONE = "none"
    HAT = "hat"
    CAP = "cap"
    SCARF = "scarf"
    UNKNOWN = "unknown"


class Earrings(StrEnum):
    NONE = "none"
    WORN = "worn"
    UNKNOWN = "unknown"


class Features(Message):
    """Appearance of a person, as a closed vocabulary. It has no attributes for race, religion, orientation or health.

    `confidence` maps an attribute's name to the model's probability of its value; `signature` is the signature of the
    attributes by `profile/create`. Send the whole object in a later request to get the same person in its picture.
    """

    gender_presentation: GenderPresentation = Field(
        default=GenderPresentation.UNKNOWN, description="Gender presentation of the person's appearance."
    )
    age_band: AgeBand = Field(default=AgeBand.UNKNOWN, description="Apparent age in years.")
    skin_tone: SkinTone = Field(default=SkinTone.UNKNOWN, description="Tone of the skin.")
    hair_color: HairColor = Field(default=HairColor.UNKNOWN, description="Colour of the hair; `none` on a bald head.")
    hair_length: HairLength = Field(default=HairLength.UNKNOWN, description="Length of the hair.")
    hair_style: HairStyle = Field(default=HairStyle.UNKNOWN, description="Style of the hair.")
    eye_color: EyeColor = Field(default=EyeColor.UNKNOWN, description="Colour of the eyes.")
    facial_hair: FacialHair = Field(default=FacialHair.UNKNOWN, description="Hair on the face.")
    glasses: Glasses = Field(default=Glasses.UNKNOWN, description="Glasses.")
    expression: Expression = Field(default=Expression.UNKNOWN, description="Expression of the face.")
    face_shape: FaceShape = Field(default=FaceShape.UNKNOWN, description="Outline of the face.")
    headwear: Headwear = Field(default=Headwear.UNKNOWN, description="Covering of the head.")
    earrings: Earrings = Field(default=Earrings.UNKNOWN, description="Whether earrings are worn.")
    confidence: dict[str, Unit] = Field(default_factory=dict, description="Attribute name → probability of its value.")
    signature: Annotated[str, StringConstraints(max_length=256)] | None = Field(
        default=None, description="Set by `profile/create` if the deployment has a signing key."
    )

    @field_validator("confidence")
    @classmethod
    def _of_known_attributes(cls, confidence: dict[str, float]) -> dict[str, float]:
        if any(name not in ATTRIBUTES for name in confidence):
            raise ValueError("confidence names an attribute that does not exist")
        return confidence


ATTRIBUTES: dict[str, type[StrEnum]] = {
    name: field.annotation
    for name, field in Features.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, StrEnum)
}
"""Each attribute's name and its enum, in the order in which they are asked and described."""


class FaceQuality(Message):
    """Components of the quality score, each 0–1; null if the picture doesn't allow the measurement.

    ISO/IEC 29794-5 measures that need only pixels and the face's box, as OFIQ computes them.
    """

    single_face: Unit | None = Field(
        default=None, description="1 if the picture has one face; lower if there is a second face, by its size."
    )
    head_size: Unit | None = Field(default=None, description="Height of the head relative to the picture.")
    inter_eye_distance: Unit | None = Field(default=None, description="Distance of the eyes in px; higher is better.")
    under_exposure: Unit | None = Field(default=None, description="1 if no part of the face is too dark.")
    over_exposure: Unit | None = Field(default=None, description="1 if no part of the face is too bright.")
    dynamic_range: Unit | None = Field(default=None, description="Number of gray levels in the face.")
    luminance: Unit | None = Field(default=None, description="Mean brightness and its variance.")
    illumination_uniformity: Unit | None = Field(
        default=None, description="Equality of light on both halves of the face."
    )
    sharpness: Unit | None = Field(default=None, description="Sharpness of the face.")


MAX_FACE_BOXES = 100


class FaceMeta(Message):
    """Position of the face and quality of its picture. A picture without a face is a result, not an error.

    Boxes are left, top, right and bottom, in px of the upright picture that was sent.
    """

    detected: bool = Field(description="Whether a face was found; if not, the whole picture was analysed.")
    box: tuple[int, int, int, int] | None = Field(description="Box of the analysed face.")
    confidence: Unit = Field(description="The detector's confidence in this face; 0 if no face was found.")
    faces_in_picture: int = Field(
        ge=0, description="Number of faces found. `face` selects one; by default the large and central one is analysed."
    )
    index: int | None = Field(default=None, ge=0, description="Index of the analysed face in `boxes`.")
    boxes: tuple[tuple[int, int, int, int], ...] = Field(
        default=(), description=f"Boxes of the first {MAX_FACE_BOXES} faces, the main face first."
    )
    quality_score: Unit = Field(description="Weighted geometric mean of the components; halved if no face was found.")
    components: FaceQuality = Field(description="The components of the score.")
