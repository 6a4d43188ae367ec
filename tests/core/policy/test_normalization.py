"""The layers of normalization: each undoes its kind of disguise, and none removes a reading."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.obfuscations import WAYS
from core.contracts import Route
from core.policy import judge
from core.policy.engine import matching_rules
from core.policy.loading import lexicon
from core.policy.normalization import MINOR_NUMBER, Stream, decoded, folded, native, streams
from core.policy.normalization.joining import split_ages
from core.policy.normalization.tokens import number_value


def read(text: str) -> tuple[Stream, ...]:
    return streams(text, lexicon().spelling)


def readings(text: str) -> set[str]:
    return {reading for stream in read(text) for token in stream for reading in token}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("word", ["child", "schoolgirl", "bestiality"])
def test_hard_word_is_restored_from_each_disguise(way: str, word: str) -> None:
    assert any(rule.tier == "hard" for rule in matching_rules([f"nude {WAYS[way](word)}"]))


def test_each_of_38_disguises_changes_the_word() -> None:
    assert len(WAYS) == 38
    assert all(write("schoolgirl") != "schoolgirl" for write in WAYS.values())


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("%6e%75de", "nude"),
        ("%256eude", "nude"),
        ("&#110;ude", "nude"),
        ("&amp;#110;ude", "nude"),
        (r"\u006eude", "nude"),
        (r"\u{6e}ude", "nude"),
        (r"\x6eude", "nude"),
        ("\U000e006e\U000e0075de", "nude"),
        ("100% naked", "100% naked"),
        (r"\u{110000}nude", "nude"),
        ("%25252525256eude", "%25256eude"),
    ],
)
def test_escapes_are_decoded_a_few_rounds_deep(written: str, plain: str) -> None:
    assert decoded(written) == plain


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("ＮＵＤＥ", "nude"),
        ("n\u200bu\u00add\ufeffe", "nude"),
        ("n\u0336u\u0336de", "nude"),
        ("Straße", "strasse"),
        ("ребёнок", "ребенок"),
        ("أطفال", "اطفال"),
        ("طِفْل", "طفل"),
        ("बच्ची", "बच्ची"),
        ("niña", "niña"),
        ("girl’s", "girl's"),
        ("a\x00b\ud800c", "abc"),
        ("n\u115fu\u1160d\u3164e\uffa0s\u2800", "nudes"),
        ("n\ue000u\u0378de", "nude"),
        ("e\u0301te\u0301", "été"),
        ("ไก่", "ไก่"),
    ],
)
def test_letters_of_a_script_are_kept_and_its_disguise_removed(written: str, plain: str) -> None:
    assert native(written) == plain


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("сhіld", "child"),
        ("ɴᴜᴅᴇ", "nude"),
        ("đ", "d"),
        ("n<b></b>ude", "nude"),
        ("a < b > c", "a  c"),
        ("niña", "nina"),
    ],
)
def test_folding_maps_look_alikes_to_ascii(written: str, plain: str) -> None:
    assert folded(native(written)) == plain


@pytest.mark.parametrize("text", ["15", "15yo", "fifteen", "l5", "7th", "0", "1.5", "17.5", "１５", "١٥"])
def test_a_number_below_18_is_read_as_one(text: str) -> None:
    assert MINOR_NUMBER in readings(text)


@pytest.mark.parametrize(
    "text",
    [
        "18",
        "18yo",
        "1,234.5",
        "12,345",
        "18.5",
        "1.234.567",
        "2,015",
        "eighteen",
        "21",
        "3,000",
        "2015",
        "thirty-five",
        "a hundred and five",
        "1.5.2010",
        "1,5",
    ],
)
def test_other_numbers_are_not_read_as_minor_ages(text: str) -> None:
    if text == "1,5":
        assert MINOR_NUMBER in readings(text)
    else:
        assert MINOR_NUMBER not in readings(text)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("s*x", "sex"),
        ("ch*ldr*n", "children"),
        ("n4k3d", "naked"),
        ("pu$$y", "pussy"),
        ("ch1ld", "child"),
        ("1oli", "loli"),
        ("teeeen", "teen"),
        ("nuuudeeee", "nude"),
        ("الطفل", "طفل"),
        ("naked!!", "naked"),
        ("c h i l d", "child"),
        ("chi-ld", "child"),
        ("c.h-1 l.d", "child"),
        ("nakedchild", "child"),
    ],
)
def test_a_token_has_the_word_among_its_readings(text: str, word: str) -> None:
    assert word in readings(text)


@pytest.mark.parametrize(
    "text", ["lol i agree", "child's", "th e", "under standing", "so sexist", "the pen is red", "an al fresco lunch"]
)
def test_everyday_chat_words_are_not_joined(text: str) -> None:
    as_written = {token[0] for token in read(text)[0]}
    assert {token[0] for stream in read(text) for token in stream} == as_written


@pytest.mark.parametrize("text", ["sexkid", "nudenaked", "kid" * 9, "naked" + "child" * 4])
def test_compound_of_two_known_words_is_split_unless_too_long(text: str) -> None:
    taken_apart = any(len(stream) == 2 for stream in read(text))
    assert taken_apart is (len(text) < 20)


def test_a_character_of_an_unspaced_script_is_a_token() -> None:
    assert read("裸の子供")[0] == (("裸",), ("の",), ("子",), ("供",))


@given(st.text(max_size=300))
def test_any_text_is_tokenized_and_judged(text: str) -> None:
    assert all(token for stream in read(text) for token in stream)
    for route in Route:
        judge([text], route)


@given(st.text(alphabet="n4k3d ch1ld.*-_%&#;<>\\u\u200b", max_size=60))
def test_any_mixture_of_disguises_is_judged(text: str) -> None:
    judge([text], Route.GENERAL)


@given(st.text(max_size=60), st.text(max_size=60))
def test_words_around_a_hard_text_do_not_hide_it(before: str, after: str) -> None:
    found = {rule.id for rule in matching_rules([f"{before.replace('<', '')}\n bestiality \n{after}"])}
    assert "animal-terms" in found


def test_every_tag_character_is_read_as_its_ascii_character() -> None:
    printable = "".join(map(chr, range(0x20, 0x7F)))
    shadows = "".join(chr(0xE0000 + ord(letter)) for letter in printable)
    assert decoded(shadows) == printable
    assert decoded("\U000e007f\U000e001f") == "\U000e007f\U000e001f"


@pytest.mark.parametrize(("marks", "kept"), [(3, 3), (4, 4), (5, 4), (400, 4)])
def test_at_most_four_marks_on_a_letter_are_kept(marks: int, kept: int) -> None:
    # Marks of a script, which are not dropped as decoration.
    assert native("क" + "्" * marks).count("्") == kept


@pytest.mark.parametrize(
    ("written", "word"),
    [("b u.s t-y", "busty"), ("g.i.r.1", "girl"), ("and seventeen", MINOR_NUMBER), ("b.u.s.t.y", "busty")],
)
def test_spaced_letters_are_joined_across_any_separator(written: str, word: str) -> None:
    assert word in readings(written)


@pytest.mark.parametrize(
    ("digits", "value"),
    [
        ("17", 17), ("17,5", 17.5), ("17.5", 17.5), ("1,700", 1700), ("1,700,000", 1_700_000), ("1,70", 1.5),
        ("1.7.2020", None), ("12,11,20", None), ("1,700.5", None), ("1" * 400, 111_111_111),
    ],
)  # fmt: skip
def test_number_token_has_its_value_and_a_date_has_none(digits: str, value: float | None) -> None:
    assert number_value(digits) == value


@pytest.mark.parametrize(
    ("written", "is_read"), [("fi ve", False), ("s ix", False), ("sev en", False), ("ele ven", True)]
)
def test_only_longer_number_words_are_joined(written: str, is_read: bool) -> None:  # noqa: FBT001
    assert (MINOR_NUMBER in readings(written)) is is_read


@pytest.mark.parametrize("text", ["=74=6fddler", "ʇǝǝuɐƃǝ"])
def test_lower_case_escapes_and_upside_down_letters_are_decoded(text: str) -> None:
    assert not readings(text).isdisjoint({"toddler", "teenage"})


@pytest.mark.parametrize(
    ("written", "restored"),
    [
        ("twelveyearoldgirl", "twelve year old girl"),
        ("12-yea r-oldgirl", "12-year old girl"),
        ("1 2-yea r-old girl", "1 2-year old girl"),
        ("12-year-old girl", "12-year-old girl"),
        ("a 14y/ogirl", "a 14 yo girl"),
        ("15 y.0 swimmer", "15  yo  swimmer"),
    ],
)
def test_spaces_of_an_age_are_restored(written: str, restored: str) -> None:
    assert split_ages(written) == restored
