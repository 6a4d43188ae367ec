"""Describe a person from features, and build the portrait prompt of `profile/create`.

The embedded models are trained on these sentences: changing the wording requires training them again.
"""

from __future__ import annotations

from core.contracts import (
    AgeBand,
    Earrings,
    Expression,
    EyeColor,
    FaceShape,
    FacialHair,
    Features,
    GenderPresentation,
    Glasses,
    HairColor,
    HairLength,
    HairStyle,
    Headwear,
    SkinTone,
)

_PERSON = {
    GenderPresentation.FEMININE: "woman",
    GenderPresentation.MASCULINE: "man",
    GenderPresentation.ANDROGYNOUS: "androgynous person",
    GenderPresentation.UNKNOWN: "person",
}
_AGE = {
    # A minor is refused before a prompt is made; a direct call of this function describes an adult.
    AgeBand.UNDER_18: "adult",
    AgeBand.FROM_18_TO_24: "young adult",
    AgeBand.FROM_25_TO_34: "adult",
    AgeBand.FROM_35_TO_44: "mature",
    AgeBand.FROM_45_TO_54: "middle-aged",
    AgeBand.FROM_55_TO_64: "older",
    AgeBand.FROM_65: "elderly",
    AgeBand.UNKNOWN: "adult",
}
_SKIN = {
    SkinTone.VERY_LIGHT: "very light skin",
    SkinTone.LIGHT: "light skin",
    SkinTone.MEDIUM: "medium skin",
    SkinTone.TAN: "tan skin",
    SkinTone.BROWN: "brown skin",
    SkinTone.DARK: "dark skin",
}
_HAIR_COLOR = {
    HairColor.BLACK: "black",
    HairColor.BROWN: "brown",
    HairColor.BLOND: "blond",
    HairColor.RED: "red",
    HairColor.GRAY: "gray",
    HairColor.WHITE: "white",
    HairColor.DYED: "brightly dyed",
}
_HAIR_LENGTH = {HairLength.SHORT: "short", HairLength.MEDIUM: "medium-length", HairLength.LONG: "long"}
_HAIR_STYLE = {
    HairStyle.STRAIGHT: "straight hair",
    HairStyle.WAVY: "wavy hair",
    HairStyle.CURLY: "curly hair",
    HairStyle.COILY: "coily hair",
    HairStyle.BRAIDS: "braided hair",
    HairStyle.BUN: "hair in a bun",
    HairStyle.PONYTAIL: "hair in a ponytail",
}
_EYES = {
    EyeColor.BROWN: "brown eyes",
    EyeColor.BLUE: "blue eyes",
    EyeColor.GREEN: "green eyes",
    EyeColor.HAZEL: "hazel eyes",
    EyeColor.GRAY: "gray eyes",
}
_FACE_SHAPE = {
    FaceShape.OVAL: "an oval face",
    FaceShape.ROUND: "a round face",
    FaceShape.SQUARE: "a square face",
    FaceShape.HEART: "a heart-shaped face",
    FaceShape.LONG: "a long face",
}
_FACIAL_HAIR = {
    FacialHair.STUBBLE: "stubble",
    FacialHair.MUSTACHE: "a mustache",
    FacialHair.BEARD: "a beard",
}
_GLASSES = {Glasses.EYEGLASSES: "eyeglasses", Glasses.SUNGLASSES: "sunglasses"}
_HEADWEAR = {Headwear.HAT: "a hat", Headwear.CAP: "a cap", Headwear.SCARF: "a headscarf"}
_EARRINGS = {Earrings.WORN: "earrings"}
_EXPRESSION = {
    Expression.NEUTRAL: "a neutral expression",
    Expression.SMILING: "a smile",
    Expression.LAUGHING: "a laughing expression",
    Expression.SERIOUS: "a serious expression",
}


def _hair(features: Features) -> str | None:
    if features.hair_length is HairLength.BALD or HairColor.NONE is features.hair_color:
        return "a bald head"
    color, length = _HAIR_COLOR.get(features.hair_color), _HAIR_LENGTH.get(features.hair_length)
    style = _HAIR_STYLE.get(features.hair_style)
    if not (color or length or style):
        return None
    return " ".join(word for word in (length, color, style or "hair") if word)


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def describe_person(features: Features) -> str:
    """A noun phrase such as `a young adult woman with light skin, long red wavy hair and green eyes, wearing a hat`.

    Attributes that are unknown, and things not worn, are left out: the image model ignores negations.
    """
    has: list[str] = [
        words
        for words in (
            _SKIN.get(features.skin_tone),
            _hair(features),
            _EYES.get(features.eye_color),
            _FACE_SHAPE.get(features.face_shape),
            _FACIAL_HAIR.get(features.facial_hair),
            _EXPRESSION.get(features.expression),
        )
        if words
    ]
    wears: list[str] = [
        words
        for words in (
            _GLASSES.get(features.glasses),
            _HEADWEAR.get(features.headwear),
            _EARRINGS.get(features.earrings),
        )
        if words
    ]
    shaven = features.facial_hair is FacialHair.NONE and features.gender_presentation is GenderPresentation.MASCULINE
    age = f"{'clean-shaven ' if shaven else ''}{_AGE[features.age_band]}"
    phrase = f"{'an' if age[0] in 'aeiou' else 'a'} {age} {_PERSON[features.gender_presentation]}"
    if has:
        phrase += f" with {_listed(has)}"
    if wears:
        phrase += f", wearing {_listed(wears)}"
    return phrase


def portrait_prompt(features: Features, style: str | None = None) -> str:
    """The prompt of `profile/create`: head and shoulders, dressed, one plain background."""
    look = f" Style: {style.strip()}." if style and style.strip() else ""
    return f"Portrait of {describe_person(features)}, dressed in everyday clothes, plain background.{look}"
