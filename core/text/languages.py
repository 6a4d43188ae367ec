"""Languages of captions: for each its name, its script, how its words are counted, and a neutral caption."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from core.contracts import Language
from core.text.parsing import count_function_words


@dataclass(frozen=True, slots=True)
class CaptionLanguage:
    """A caption language. `scripts`: prefixes of its letters' Unicode names; empty for Latin. `letters_per_word`:
    below.

    Chinese, Japanese and Thai put no spaces between words. There a word is counted for every two, three or four
    letters, near the mean length of a word of running text; in all other languages, words are separated by spaces.
    """

    name: str
    neutral_caption: str
    scripts: tuple[str, ...] = ()
    letters_per_word: int | None = None

    def count_words(self, text: str) -> int:
        if self.letters_per_word is None:
            return len(text.split())
        return -(-sum(char.isalpha() for char in text) // self.letters_per_word)

    def may_be(self, text: str) -> bool:
        """Whether a text may be in this language, by its script; a Latin text must not be English."""
        letters = [char for char in text if char.isalpha()]
        if not self.scripts:
            latin = sum(unicodedata.name(char, "").startswith("LATIN") for char in letters)
            english, foreign = count_function_words(text)
            return latin >= 0.9 * len(letters) and (self.name == "English" or english < 2 or english <= foreign)
        return sum(unicodedata.name(char, "").startswith(self.scripts) for char in letters) >= 0.7 * len(letters)


CAPTION_LANGUAGES: dict[Language, CaptionLanguage] = {
    "ar": CaptionLanguage(
        "Arabic", "لحظة صغيرة من قصتنا، مرسومة بالضوء والألوان من أجلك أنت وحدك اليوم.", scripts=("ARABIC",)
    ),
    "de": CaptionLanguage(
        "German", "Ein kleiner Moment aus unserer Geschichte, gemalt in Licht und Farbe, nur für dich."
    ),
    "en": CaptionLanguage("English", "A small moment from our story, painted in light and colour just for you."),
    "es": CaptionLanguage("Spanish", "Un pequeño momento de nuestra historia, pintado con luz y color solo para ti."),
    "fr": CaptionLanguage("French", "Un petit moment de notre histoire, peint en lumière et en couleurs pour toi."),
    "he": CaptionLanguage(
        "Hebrew", "רגע קטן אחד מתוך הסיפור שלנו, מצויר באור ובצבע במיוחד בשבילך.", scripts=("HEBREW",)
    ),
    "hi": CaptionLanguage(
        "Hindi", "हमारी कहानी का एक छोटा सा पल, रोशनी और रंगों में, सिर्फ़ आपके लिए।", scripts=("DEVANAGARI",)
    ),
    "it": CaptionLanguage("Italian", "Un piccolo momento della nostra storia, dipinto con luce e colore solo per te."),
    "ja": CaptionLanguage(
        "Japanese",
        "私たちの物語の小さなひととき、光と色で描いた、あなただけのための一枚です。",
        scripts=("CJK", "HIRAGANA", "KATAKANA"),
        letters_per_word=3,
    ),
    "ko": CaptionLanguage(
        "Korean",
        "우리 이야기 속 작은 순간을 빛과 색으로 그려 오직 당신에게 전하는 그림 한 장.",
        scripts=("HANGUL",),
    ),
    "nl": CaptionLanguage(
        "Dutch", "Een klein moment uit ons verhaal, geschilderd in licht en kleur, speciaal voor jou."
    ),
    "pl": CaptionLanguage(
        "Polish", "Mała chwila z naszej historii, namalowana światłem i kolorem, właśnie dla ciebie."
    ),
    "pt": CaptionLanguage("Portuguese", "Um pequeno momento da nossa história, pintado com luz e cor só para você."),
    "ru": CaptionLanguage(
        "Russian",
        "Маленькое мгновение нашей с тобой истории, нарисованное светом и красками только для тебя.",
        scripts=("CYRILLIC",),
    ),
    "th": CaptionLanguage(
        "Thai",
        "ช่วงเวลาเล็กๆ จากเรื่องราวของเรา วาดด้วยแสงและสีสันเพื่อคุณโดยเฉพาะ",
        scripts=("THAI",),
        letters_per_word=4,
    ),
    "tr": CaptionLanguage("Turkish", "Hikâyemizden küçük bir an, ışık ve renklerle sadece senin için özenle çizildi."),
    "zh": CaptionLanguage(
        "Chinese",
        "我们故事里的一个小小瞬间，用光与色彩画成，只为你一个人。",
        scripts=("CJK",),
        letters_per_word=2,
    ),
    "cs": CaptionLanguage("Czech", "Malá chvíle z našeho příběhu, namalovaná světlem a barvami jen pro tebe."),
    "el": CaptionLanguage(
        "Greek",
        "Μια μικρή στιγμή από την ιστορία μας, ζωγραφισμένη με φως και χρώμα μόνο για σένα.",
        scripts=("GREEK",),
    ),
    "fa": CaptionLanguage(
        "Persian", "لحظه‌ای کوچک از داستان ما، با نور و رنگ فقط برای تو نقاشی شده است.", scripts=("ARABIC",)
    ),
    "fi": CaptionLanguage(
        "Finnish", "Pieni hetki meidän yhteisestä tarinastamme, maalattu valolla ja väreillä juuri sinua varten."
    ),
    "hu": CaptionLanguage(
        "Hungarian", "Egy kis pillanat a mi történetünkből, fénnyel és színekkel festve, csak neked."
    ),
    "id": CaptionLanguage("Indonesian", "Momen kecil dari kisah kita, dilukis dengan cahaya dan warna khusus untukmu."),
    "ro": CaptionLanguage(
        "Romanian", "Un mic moment din povestea noastră, pictat cu lumină și culoare doar pentru tine."
    ),
    "sv": CaptionLanguage("Swedish", "En liten stund ur vår berättelse, målad med ljus och färg bara för dig."),
    "uk": CaptionLanguage(
        "Ukrainian",
        "Маленька мить нашої з тобою історії, намальована світлом і барвами лише для тебе.",
        scripts=("CYRILLIC",),
    ),
    "vi": CaptionLanguage("Vietnamese", "Một khoảnh khắc nhỏ trong câu chuyện của chúng ta, vẽ dành riêng cho bạn."),
}
