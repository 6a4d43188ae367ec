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
    """How a person looks, as a closed vocabulary; race, religion, orientation and health are neither asked nor taken.

    `confidence` maps an attribute's name to the reader's probability of its value; `signature` is what `profile/create`
    signed the attributes with. Hand the whole object back to have the same described person drawn again.
    """

    gender_presentation: GenderPresentation = Field(
        default=GenderPresentation.UNKNOWN, description="How the person's look presents."
    )
    age_band: AgeBand = Field(default=AgeBand.UNKNOWN, description="How old the person looks, in years.")
    skin_tone: SkinTone = Field(default=SkinTone.UNKNOWN, description="Tone of the skin.")
    hair_color: HairColor = Field(default=HairColor.UNKNOWN, description="Colour of the hair; `none` on a bald head.")
    hair_length: HairLength = Field(default=HairLength.UNKNOWN, description="Length of the hair.")
    hair_style: HairStyle = Field(default=HairStyle.UNKNOWN, description="How the hair falls or is worn.")
    eye_color: EyeColor = Field(default=EyeColor.UNKNOWN, description="Colour of the eyes.")
    facial_hair: FacialHair = Field(default=FacialHair.UNKNOWN, description="Hair on the face.")
    glasses: Glasses = Field(default=Glasses.UNKNOWN, description="What is worn over the eyes.")
    expression: Expression = Field(default=Expression.UNKNOWN, description="Expression of the face.")
    face_shape: FaceShape = Field(default=FaceShape.UNKNOWN, description="Outline of the face.")
    headwear: Headwear = Field(default=Headwear.UNKNOWN, description="What is worn on the head.")
    earrings: Earrings = Field(default=Earrings.UNKNOWN, description="Whether earrings are worn.")
    confidence: dict[str, Unit] = Field(default_factory=dict, description="Attribute name → probability of its value.")
    signature: Annotated[str, StringConstraints(max_length=256)] | None = Field(
        default=None, description="Set by `profile/create` where the deployment has a signing key."
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
    """Components of the quality score, each 0–1; null where the picture does not allow the measure.

    ISO/IEC 29794-5 measures that need only pixels and the face's box, as OFIQ computes them.
    """

    single_face: Unit | None = Field(
        default=None, description="1 where the picture holds one face; less, the larger the second one is."
    )
    head_size: Unit | None = Field(default=None, description="Height of the head within the picture.")
    inter_eye_distance: Unit | None = Field(default=None, description="Higher the more pixels lie between the eyes.")
    under_exposure: Unit | None = Field(default=None, description="1 where no part of the face is too dark.")
    over_exposure: Unit | None = Field(default=None, description="1 where no part of the face is too bright.")
    dynamic_range: Unit | None = Field(default=None, description="How many shades of gray the face has.")
    luminance: Unit | None = Field(default=None, description="Mean brightness and its variance.")
    illumination_uniformity: Unit | None = Field(default=None, description="How alike the face's two halves are lit.")
    sharpness: Unit | None = Field(default=None, description="How sharply the face is drawn.")


MAX_FACE_BOXES = 100


class FaceMeta(Message):
    """Where the face is and how good the picture of it is. No face is a result, not an error.

    Boxes are left, top, right and bottom in px of the upright picture that was sent.
    """

    detected: bool = Field(description="Whether a face was found; if not, the whole picture was read.")
    box: tuple[int, int, int, int] | None = Field(description="The face that was read.")
    confidence: Unit = Field(description="The detector's, of this face; 0 where none is found.")
    faces_in_picture: int = Field(
        ge=0, description="How many were found. The main one is read, which is large and near the centre, or `face`."
    )
    index: int | None = Field(default=None, ge=0, description="Which of them was read, counted as in `boxes`.")
    boxes: tuple[tuple[int, int, int, int], ...] = Field(
        default=(), description=f"The first {MAX_FACE_BOXES} of them, the main one first."
    )
    quality_score: Unit = Field(description="Weighted geometric mean of the components; halved where no face is found.")
    components: FaceQuality = Field(description="What the score is made of.")
