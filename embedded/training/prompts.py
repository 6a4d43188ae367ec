"""Training prompts for drawn pictures: the product's own template, and variants as a chat would give them.

A prompt describes only a part of the drawing, in varying words, between sentences that describe nothing visible, so
that the image model learns to find the attributes in any text.
"""

# ruff: noqa: S311  (random pictures, no secrets)
from __future__ import annotations

import random
from typing import Any

from core.contracts import (
    ATTRIBUTES,
    AgeBand,
    Earrings,
    Expression,
    EyeColor,
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
from core.policy.constraints import CONSTRAINT, STRONG_CONSTRAINT
from core.prompts.portrait import describe_person, portrait_prompt
from core.prompts.questions import QUESTIONS
from embedded.drawing.scenes import PLACES

_STYLES = (
    "watercolour", "oil painting", "flat illustration", "digital art", "soft pastel", "vintage poster", "comic",
    "studio photograph", "ink drawing", "anime", "cinematic", "minimal", "pop art", "realistic", "friendly avatar",
)  # fmt: skip
_PLACE = {
    "beach": (
        "on a sunny beach", "on the beach", "at the beach by the sea", "by the ocean", "on the shore with waves behind",
        "on warm sand near the sea", "on a tropical island with palm trees", "at the seaside in summer",
        "in front of the blue sea", "standing on the coast under the sun", "at the ocean, palm trees around",
    ),
    "night": (
        "at night under the stars", "under a starry night sky", "in the moonlight", "at night", "under the moon",
        "in the dark of the evening", "outside at midnight", "beneath a dark sky full of stars", "on a quiet night",
        "in the night, the moon above", "after dark, stars shining",
    ),
    "forest": (
        "in a forest", "in the woods", "among tall trees", "in a green forest", "in a park with trees", "in the jungle",
        "on a path through the woods", "surrounded by trees and leaves", "in nature", "in a garden full of green",
        "deep in a misty forest", "hiking in the forest",
    ),
    "city": (
        "in the city", "on a city street", "in front of tall buildings", "downtown", "with the skyline behind",
        "in an urban street", "on a rooftop above the city", "among skyscrapers", "in the streets of a big town",
        "with city buildings in the background", "in a busy city",
    ),
    "indoors": (
        "in a cosy room", "indoors", "at home in the living room", "in a café by the window", "in the kitchen",
        "in a library with books", "in a bright office", "in a bedroom", "inside a warm house", "by the window",
        "in a room with a bookshelf and a plant", "at a table in a restaurant",
    ),
}  # fmt: skip
_PLAIN = (
    "on a {0} background",
    "in front of a {0} wall",
    "{0} background",
    "against a plain {0} background",
    "{0} backdrop",
)
_NO_PLACE = ("plain background", "on a plain background", "simple backdrop", "in front of a plain wall", "")
_PEOPLE = {
    GenderPresentation.FEMININE: ("woman", "woman", "lady", "female"),
    GenderPresentation.MASCULINE: ("man", "man", "guy", "gentleman"),
    GenderPresentation.ANDROGYNOUS: ("androgynous person", "person of androgynous look", "androgynous adult"),
}
_PRONOUN = {GenderPresentation.FEMININE: ("She", "her"), GenderPresentation.MASCULINE: ("He", "his")}
_AGES = {
    AgeBand.FROM_18_TO_24: ("young adult", "young", "twenty-year-old", "student-aged adult", "fresh-faced young"),
    AgeBand.FROM_25_TO_34: ("adult", "thirty-year-old", "grown-up", "adult"),
    AgeBand.FROM_35_TO_44: ("mature", "forty-year-old", "mature"),
    AgeBand.FROM_45_TO_54: ("middle-aged", "fifty-year-old", "middle-aged"),
    AgeBand.FROM_55_TO_64: ("older", "sixty-year-old", "graying older"),
    AgeBand.FROM_65: ("elderly", "old", "seventy-year-old", "wrinkled old"),
}
_HAIR_WORD = {
    HairColor.BLOND: ("blond", "blonde", "golden"),
    HairColor.RED: ("red", "ginger", "copper"),
    HairColor.BROWN: ("brown", "brunette", "chestnut"),
    HairColor.BLACK: ("black", "dark", "raven"),
    HairColor.GRAY: ("gray", "grey", "silver"),
    HairColor.WHITE: ("white", "snow-white"),
}
_DYES = ("pink", "blue", "purple", "teal", "green")
_FACE = {
    Expression.SMILING: ("smiling", "with a smile", "with a gentle smile", "happy and smiling", "with a warm smile"),
    Expression.LAUGHING: ("laughing", "with a big laugh", "laughing out loud", "joyful, laughing"),
    Expression.SERIOUS: ("serious", "with a serious look", "looking stern", "frowning"),
    Expression.NEUTRAL: ("calm", "with a neutral expression", "with a calm face", "relaxed"),
}
_FACIAL = {
    FacialHair.BEARD: ("with a beard", "bearded", "with a full beard"),
    FacialHair.MUSTACHE: ("with a mustache", "with a moustache"),
    FacialHair.STUBBLE: ("with stubble", "unshaven"),
}
_STYLE_WORD = {
    HairStyle.STRAIGHT: ("straight hair",), HairStyle.WAVY: ("wavy hair", "waves"),
    HairStyle.CURLY: ("curly hair", "curls"),
    HairStyle.COILY: ("coily hair", "an afro"), HairStyle.BRAIDS: ("braided hair", "braids"),
    HairStyle.BUN: ("hair in a bun",), HairStyle.PONYTAIL: ("hair in a ponytail", "a ponytail"),
}  # fmt: skip
_OPENINGS = (
    "{0}", "A picture of {0}", "Portrait of {0}", "An image of {0}", "A close-up of {0}", "We see {0}", "{0}",
    "Picture {0}", "A photo of {0}", "An illustration of {0}", "In this scene, {0}", "The image shows {0}",
    "Selfie of {0}", "A portrait of {0}", "A young artist paints {0}", "Imagine {0}", "Head and shoulders of {0}",
)  # fmt: skip
_FILLERS = (
    "The light is soft and warm.", "The mood is calm and friendly.", "Everything feels quiet.", "High detail.",
    "A gentle breeze moves through the air.", "The colours are rich and balanced.", "The composition is simple.",
    "It is a moment to remember.", "Golden light falls across the scene.", "The air smells of salt and flowers.",
    "A cup of coffee stands nearby.", "Music plays somewhere far away.", "The camera is close.", "Sharp focus.",
    "The whole image feels intimate and honest.", "There is a small dog at the edge of the picture.",
    "The scene tells of friendship and adventure.", "Soft shadows give depth.", "Beautiful, elegant, detailed.",
    "Nothing disturbs the peace of this moment.", "The viewer feels close to the subject.", "Professional quality.",
    "In the distance somebody is waiting.", "It looks like the cover of a novel.", "Everybody is happy here.",
    "The weather is fine and the day is long.", "A book lies open beside a glass of water.", "Cinematic lighting.",
    "There is a feeling of hope and of a new beginning.", "The style is modern and clean.",
    "Draped fabric falls softly.",
)  # fmt: skip
_DOING = (
    "standing", "sitting", "looking at the viewer", "waiting", "relaxing", "posing", "walking", "reading a book",
    "drinking coffee", "enjoying the day", "smelling a flower", "talking to a friend", "holding a phone", "dancing",
)  # fmt: skip
_SYLLABLES = ("ka", "mo", "ri", "ten", "sol", "ver", "ing", "pla", "du", "est", "ar", "lo", "ne", "qui", "sha", "bor")


def features_of(record: dict[str, Any]) -> Features:
    return Features.model_validate(record["features"])


def _kept(features: Features, rng: random.Random, share: float) -> Features:
    """Keep each attribute with probability `share`; the others become `unknown`."""
    described = {name: getattr(features, name) for name in ATTRIBUTES if rng.random() < share}
    return Features.model_validate(described)


def prompt_of(record: dict[str, Any], rng: random.Random) -> str:
    """A prompt for the picture of `record`; the product's own template if its background is plain."""
    features = features_of(record)
    is_plain = record["background"] not in PLACES
    if is_plain and rng.random() < 0.72:
        described = features if rng.random() < 0.7 else _kept(features, rng, rng.uniform(0.3, 0.95))
        text = portrait_prompt(described, rng.choice(_STYLES) if rng.random() < 0.3 else None)
    else:
        text = chat_prompt(features, record, rng)
    if (drawn := rng.random()) < 0.3:
        text = f"{CONSTRAINT if drawn < 0.15 else STRONG_CONSTRAINT if drawn < 0.22 else _covering(rng)} {text}"
    return text


def _covering(rng: random.Random) -> str:
    """Sentences like the policy's constraints: the model must ignore what precedes the description."""
    who = rng.choice(("A tasteful picture of adults", "Adults only", "A decent, covered picture", "A modest scene"))
    how = rng.choice(
        ("fully dressed", "in opaque clothes", "covered by draped fabric", "in long coats", "dressed warmly")
    )
    return f"{who}, {how}, {rng.choice(('nothing revealed', 'from neck to knees', 'elegant and safe', 'with care'))}."


def chat_prompt(features: Features, record: dict[str, Any], rng: random.Random) -> str:
    """A description of the picture like an expansion of a chat."""
    described = _kept(features, rng, rng.choice((0.25, 0.5, 0.75, 1.0)))
    person = describe_person(described) if rng.random() < 0.4 else _paraphrase(described, record, rng)
    clothes = ""
    if rng.random() < 0.45:
        clothes = f" {rng.choice(('wearing', 'in', 'dressed in'))} a {record['cloth_color']} {record['clothes']}"
    place = _place(record["background"], rng) if rng.random() < 0.9 else ""
    doing = f" {rng.choice(_DOING)}" if rng.random() < 0.35 else ""
    joint = ", " if rng.random() < 0.5 else " "
    if place and rng.random() < 0.2:
        core = f"{place[0].upper()}{place[1:]}, {person}{clothes}{doing}"
    else:
        core = rng.choice(_OPENINGS).format(f"{person}{clothes}{doing}") + (f"{joint}{place}" if place else "")
    core = core[0].upper() + core[1:] + "."
    return _among_others(core, rng)


def _among_others(core: str, rng: random.Random) -> str:
    before = [_filler(rng) for _ in range(rng.choice((0, 0, 0, 1)))]
    after = [_filler(rng) for _ in range(rng.choice((0, 0, 1, 2, 3)))]
    return " ".join([*before, core, *after])


def _filler(rng: random.Random) -> str:
    if rng.random() < 0.75:
        return rng.choice(_FILLERS)
    words = ["".join(rng.choices(_SYLLABLES, k=rng.randint(1, 4))) for _ in range(rng.randint(3, 9))]
    return " ".join(words).capitalize() + "."


def _place(background: str, rng: random.Random) -> str:
    if background in PLACES:
        return rng.choice(_PLACE[background])
    if rng.random() < 0.75:
        return rng.choice(_PLAIN).format(background)
    return rng.choice(_NO_PLACE)


def _paraphrase(described: Features, record: dict[str, Any], rng: random.Random) -> str:
    age = rng.choice(_AGES.get(described.age_band, ("",)))
    who = rng.choice(_PEOPLE.get(described.gender_presentation, ("person", "adult", "figure")))
    before: list[str] = []
    after: list[str] = []
    if described.expression in _FACE:
        words = rng.choice(_FACE[described.expression])
        (after if words.startswith(("with", "looking", "joyful", "happy")) else before).append(words)
    if words := rng.choice(_FACIAL.get(described.facial_hair, ("",))):
        (after if words.startswith("with") else before).append(words)
    if age:
        before.append(age)
    after += _attribute_phrases(described, record, rng)
    rng.shuffle(after)
    phrase = " ".join([*before, who])
    article = "an" if phrase[0] in "aeiou" else "a"
    return f"{article} {phrase}" + (f" {', '.join(after)}" if after else "")


def _attribute_phrases(described: Features, record: dict[str, Any], rng: random.Random) -> list[str]:
    words: list[str] = []
    if described.skin_tone is not SkinTone.UNKNOWN:
        words.append(f"with {str(described.skin_tone).replace('_', ' ')} skin")
    if hair := _hair(described, record, rng):
        words.append(f"with {hair}")
    if described.eye_color is not EyeColor.UNKNOWN:
        words.append(rng.choice(("with {0} eyes", "{0} eyes", "{0}-eyed")).format(described.eye_color))
    if described.glasses is Glasses.EYEGLASSES:
        words.append(rng.choice(("wearing glasses", "with eyeglasses", "in glasses", "with spectacles")))
    elif described.glasses is Glasses.SUNGLASSES:
        words.append(rng.choice(("wearing sunglasses", "in dark sunglasses", "with shades")))
    if described.headwear in (Headwear.HAT, Headwear.CAP, Headwear.SCARF):
        name = {"scarf": "headscarf", "cap": rng.choice(("cap", "baseball cap"))}.get(described.headwear, "hat")
        color = f"{record['hat_color']} " if rng.random() < 0.5 else ""
        words.append(f"wearing a {color}{name}")
    if described.earrings is Earrings.WORN:
        words.append(rng.choice(("with earrings", "wearing golden earrings", "with gold earrings")))
    return words


def _hair(described: Features, record: dict[str, Any], rng: random.Random) -> str:
    if described.hair_length is HairLength.BALD:
        return rng.choice(("a bald head", "no hair", "a shaved head"))
    color = rng.choice(_HAIR_WORD.get(described.hair_color, ("",)))
    if described.hair_color is HairColor.DYED:
        color = _DYES[record["dye"]] if rng.random() < 0.6 else "brightly dyed"
    length = str(described.hair_length) if described.hair_length in (HairLength.SHORT, HairLength.LONG) else ""
    style = rng.choice(_STYLE_WORD.get(described.hair_style, ("hair",)))
    if not (color or length or style != "hair"):
        return ""
    return " ".join(word for word in (length, color, style) if word)


def tokenizer_texts(count: int = 4000) -> list[str]:
    """Training text of the tokenizer: prompts for drawn people, and the vision model's questions."""
    from embedded.drawing.dataset import (
        appearance_at,
    )  # imported here, so that prompts can be used without the drawing code

    rng = random.Random(0)
    text = [question.text for question in QUESTIONS.values()] * 20
    for index in range(count):
        seen, look = appearance_at("words", index, minors=False)
        record = {
            "features": {name: str(getattr(seen, name)) for name in ATTRIBUTES},
            **{name: getattr(look, name) for name in ("background", "clothes", "cloth_color", "hat_color", "dye")},
        }
        text.append(prompt_of(record, rng))
    return text
