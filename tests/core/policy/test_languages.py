"""The rules' coverage of a text's language: everyday prompts are covered, and other languages are detected."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.texts import ADULTS, LOOKALIKES
from core.errors import LanguageNotSupported
from core.policy import coverage, reject_uncovered, uncovered
from core.policy.languages import covered_languages
from core.policy.loading import lexicon


@pytest.mark.parametrize(
    "text",
    [
        "portrait of a woman, 85mm, bokeh",
        "masterpiece, best quality, 1girl, red hair, hatsune miku",
        "cyberpunk tokyo, neon, octane render, 8k uhd",
        "art by greg rutkowski and alphonse mucha, trending on artstation",
        "studio ghibli style, hayao miyazaki",
        "Zendaya Coleman, Nikon Z9",
        "Porsche 911 Carrera, Nürburgring",
        "Machu Picchu at dawn",
        "a bowl of ramen, tonkotsu",
        "hey babe wyd rn lol",
        "wanna see u in that lil black dress",
        "🎉🎂",
        "😊",
        "",
        "12345",
        "<lora:add_detail_xl:0.8>",
        "Σ = 3 α",
        "café in Łódź, Poland",
        "ein Hund am Strand bei Sonnenuntergang",
        "una mujer leyendo en un café de Madrid",
        "un vieux port de pêche sous la pluie",
        "кот сидит на подоконнике и смотрит в окно",
        "кіт сидить на підвіконні і дивиться у вікно",
        "夕暮れの港に立つ女性",
        "一位老人在公园里下棋",
        "바닷가를 걷는 두 사람",
        "امرأة تقرأ كتابا في الحديقة",
        "एक बूढ़ा आदमी नदी के किनारे बैठा है",
        "kvinna som läser en bok vid havet",
        "แมวนั่งอยู่บนหลังคา",
    ],
)
def test_an_everyday_text_is_covered(text: str) -> None:
    assert coverage(text).covered


@pytest.mark.parametrize("text", LOOKALIKES + ADULTS)
def test_the_policys_own_everyday_texts_are_covered(text: str) -> None:
    assert coverage(text).covered


@pytest.mark.parametrize("text", [text for rule in lexicon().rules for text in (*rule.refused, *rule.allowed)])
def test_the_rules_own_examples_are_covered(text: str) -> None:
    assert coverage(text).covered


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("et nøgent barn løber på stranden", "unknown_words"),
        ("bērns bez drēbēm smilšainā pludmalē", "language"),
        ("nuogas vaikas paplūdimyje", "language"),
        ("gola deklica na plaži", "language"),
        ("alasti laps mängib mere ääres rannas", "language"),
        ("голо дете на плажа", "language"),
        ("mtoto mdogo uchi ufukweni", "unknown_words"),
        ("голае дзіця на пляжы", "language"),
        ("portrait of a woman, et nøgent barn løber på stranden, 85mm", "unknown_words"),
        ("ساحل سمندر پر بچہ کھیل رہا ہے", "language"),
        ("সৈকতে একটি শিশু", "script"),
        ("கடற்கரையில் குழந்தை", "script"),
        ("ბავშვი სანაპიროზე", "script"),
        ("երեխա լողափին", "script"),
        ("a woman at the sea, ბავშვი", "script"),
        ("TWFuIGlzIGRpc3Rpbmd1aXNoZWQxXx9fkl8fQX9fk", "encoding"),
    ],
)
def test_a_text_without_rules_is_not_covered(text: str, reason: str) -> None:
    assert coverage(text).reason == reason


def test_uncovered_language_is_found_in_the_last_of_many_texts() -> None:
    texts = ["a quiet harbour at dusk"] * 30 + ["nuogas vaikas paplūdimyje"]
    found = uncovered(texts)
    assert found is not None
    assert found.language == "lt"
    assert uncovered(texts[:-1]) is None


def test_the_refusal_names_no_words() -> None:
    with pytest.raises(LanguageNotSupported) as refused:
        reject_uncovered(["nuogas vaikas paplūdimyje"], stage="request")
    assert refused.value.stage == "request"
    assert refused.value.http_status == 422
    assert not refused.value.retryable
    assert "vaikas" not in refused.value.message


def test_covered_texts_are_not_refused() -> None:
    reject_uncovered(["a quiet harbour at dusk", "ein Hund am Strand"])


def test_every_language_with_rules_has_a_covered_script() -> None:
    from core.policy.languages import _SCRIPTS

    known = {language for languages, _ in _SCRIPTS.values() for language in languages.split()}
    assert covered_languages() <= known


def test_more_unknown_clauses_than_the_limit_are_not_covered() -> None:
    words = ("zq" + "".join(letters) + "v" for letters in product("abcdefgh", repeat=3))
    assert not coverage(". ".join(words)).covered


@given(st.text(max_size=200))
def test_any_text_has_a_coverage(text: str) -> None:
    found = coverage(text)
    assert found.covered is (found.reason is None)
