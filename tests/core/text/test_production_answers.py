"""Expansions with answers like those of Qwen2.5: JSON in several formats, for chats in many languages."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.backends import Completion, NoCallbacks
from core.contracts import ChatMessage, ExpandTask
from core.text.batching import run_programs
from core.text.budgets import BUDGETS
from core.text.expansion import Expansion, expand, newest_within, scene_of, template_prompt
from core.text.parsing import estimate_tokens, is_english, line_end, prompt_end, read_prompt
from tests.core.text.scripted import Streaming

SIGN = 'A cozy cafe at night with a neon sign that reads "OPEN", casting a red glow on the wet street.'
PLAIN = "Two people dance on a rooftop at night in the rain, city lights behind them, warm mood."


def chat(*contents: str) -> tuple[ChatMessage, ...]:
    return tuple(ChatMessage(role="user", content=content) for content in contents)


CAFE = chat("Show us a cozy cafe with a neon sign at night")


def expanded(script: str, messages: tuple[ChatMessage, ...] = CAFE, profile: str = "full") -> Expansion:
    backend = Streaming(lambda _: script)
    program = expand(messages, ExpandTask.SCENES, None, 3, BUDGETS[profile])
    [outcome] = run_programs([program], backend, NoCallbacks())
    assert isinstance(outcome, Expansion)
    return outcome


IN_STRING = json.dumps(SIGN)[1:-1]


@pytest.mark.parametrize(
    "script",
    [
        f'{IN_STRING}"}}',
        f'{IN_STRING}"\n}}',
        f'{IN_STRING}", "style": "photo"}}',
        f'{IN_STRING}"}}\n\nI hope this helps! Let me know if you want another one.',
        f'{SIGN}"}}',
        f"{SIGN}\n\nI hope this helps!",
        f'```json\n{{"prompt": "{IN_STRING}"}}\n```',
        f'{{"prompt": "{IN_STRING}"}}',
        f'Sure! Here is the JSON you asked for:\n\n{{"prompt": "{IN_STRING}"}}',
        f'Here is a prompt: {{"prompt": "{IN_STRING}"}}',
        IN_STRING.replace(", ", ",\\n"),
        IN_STRING.replace("neon", "\\u006eeon"),
        f"{IN_STRING}",
    ],
)
def test_an_answer_in_any_usual_form_is_the_whole_prompt(script: str) -> None:
    assert expanded(script) == Expansion(SIGN)


@pytest.mark.parametrize("quote", ['\\"OPEN\\"', '"OPEN"', "'OPEN'", "“OPEN”"])
@pytest.mark.parametrize("after", [", casting a glow.", " in red letters.", "."])
def test_a_quotation_does_not_cut_the_prompt(quote: str, after: str) -> None:
    prompt = expanded(f'A cozy cafe at night, its neon sign reads {quote}{after}"}}').prompt
    assert "OPEN" in prompt
    assert prompt.endswith(after)


@pytest.mark.parametrize(
    "refusal",
    [
        "I'm sorry, but I can't assist with that request because of its content.\"}",
        "As an AI language model, I cannot create a picture of this scene for you.",
    ],
)
def test_a_refusal_is_replaced_by_the_request(refusal: str) -> None:
    assert expanded(refusal) == Expansion(template_prompt(CAFE, None), repaired=True)


@pytest.mark.parametrize(
    "answer",
    [
        "两个人在雨夜的屋顶上跳舞，城市灯光。",
        "Un café acogedor con un letrero de neón en la noche, con luz roja sobre la calle mojada.",
        "Ein gemütliches Café mit einer Leuchtschrift in der Nacht, rotes Licht auf der nassen Straße.",
    ],
)
def test_answer_in_another_language_is_requested_again(answer: str) -> None:
    backend = Streaming(lambda asked: answer if asked.seed == 3 else IN_STRING)
    [outcome] = run_programs([expand(CAFE, ExpandTask.SCENES, None, 3)], backend, NoCallbacks())
    assert outcome == Expansion(SIGN)
    assert len(backend.asked) == 2


CHATS = {
    "Arabic": "أرني شخصين يرقصان على السطح في المطر",
    "Hebrew": "תראה לנו שני אנשים רוקדים על הגג בגשם",
    "Chinese": "画我们在雨夜的屋顶上跳舞",
    "Japanese": "雨の夜に屋根の上で踊る二人を描いて",
    "Korean": "비 오는 밤 옥상에서 춤추는 두 사람을 그려 줘",
    "emoji": "💃🕺🌃🌧\ufe0f",
}


@pytest.mark.parametrize("language", CHATS)
def test_a_chat_in_any_language_gives_an_english_prompt(language: str) -> None:
    outcome = expanded(f'{PLAIN}"}}', chat(CHATS[language]))
    assert outcome == Expansion(PLAIN)
    assert is_english(outcome.prompt)


@pytest.mark.parametrize("language", CHATS)
def test_the_small_model_gives_a_template_for_a_chat_it_cannot_read(language: str) -> None:
    nonsense = ' phrase is a beautiful and famous example of a sentence that many people know."}'
    outcome = expanded(nonsense, chat(CHATS[language]), profile="embedded")
    if language == "emoji":
        assert outcome.prompt.startswith("Dancer, man dancing, night with stars, cloud with rain.")
    else:
        assert outcome == Expansion(template_prompt(chat(CHATS[language]), None), repaired=True)
        assert "phrase" not in outcome.prompt


def test_message_of_one_emoji_gives_a_prompt() -> None:
    assert scene_of(chat("🇬🇧")) == "A person"
    assert scene_of(chat("❤\ufe0f❤\ufe0f")) == "Heavy black heart"


@given(st.text(alphabet='ab "\\\n{}:,`prompt', max_size=60))
def test_text_after_the_end_of_an_answer_is_dropped(answer: str) -> None:
    """When a beginning of the answer is complete, further text does not change its end."""
    for length in range(len(answer) + 1):
        end = prompt_end(answer[:length])
        if end is not None:
            assert end <= length
            assert prompt_end(answer[: length + 1]) == end
            return


@given(st.text(max_size=200).filter(lambda text: len(text.split()) >= 1))
def test_a_prompt_written_as_json_round_trips(text: str) -> None:
    written = json.dumps(text)[1:-1]
    assert read_prompt(f'{written}"}}') == read_prompt(written)


@pytest.mark.parametrize(
    "hostile", ['"' * 8_000, "\\" * 8_000, '",' * 4_000, "\n" * 8_000, '"prompt":' * 900, '" ' * 4_000]
)
def test_hostile_answers_are_read_in_linear_time(hostile: str) -> None:
    read_prompt(hostile)
    prompt_end(hostile)
    assert read_prompt(hostile + "x" * 10_000_000) is not None


def test_empty_lines_before_an_answer_do_not_end_it() -> None:
    assert line_end("\n\nA caption.") is None
    assert line_end("\n\nA caption.\nMore") == len("\n\nA caption.")


def test_newest_messages_of_a_long_chat_are_used() -> None:
    messages = chat(*(f"Message {n} {'harbour ' * 20}" for n in range(40)))
    kept = newest_within(messages, 400)
    assert kept == messages[-len(kept) :]
    assert sum(estimate_tokens(message.content) for message in kept) <= 400


@pytest.mark.parametrize("text", ["😀" * 4_000, "ሰ" * 4_000, "က" * 4_000])
def test_a_long_message_of_rare_characters_is_shortened_by_code(text: str) -> None:
    asked: list[Completion] = []
    backend = Streaming(lambda completion: asked.append(completion) or f'{PLAIN}"}}')  # type: ignore[func-returns-value]
    run_programs([expand(chat(*[text] * 8), ExpandTask.SCENES, None, 0)], backend, NoCallbacks())
    assert backend.asked
    assert max(sum(estimate_tokens(turn.content) for turn in one.turns) for one in backend.asked) < 2_000


def test_refused_prompt_is_written_again_with_another_seed() -> None:
    other = SIGN.replace("OPEN", "WELCOME")
    backend = Streaming(lambda asked: json.dumps(SIGN if asked.seed == 3 else other)[1:])
    program = expand(CAFE, ExpandTask.SCENES, None, 3, refused=lambda prompt: "OPEN" in prompt)
    [outcome] = run_programs([program], backend, NoCallbacks())
    assert outcome == Expansion(other)
    assert len(backend.asked) == 2


@pytest.mark.parametrize("profile", ["full", "embedded"])
def test_refused_prompt_is_returned_when_all_are_refused(profile: str) -> None:
    backend = Streaming(lambda _: IN_STRING)
    program = expand(CAFE, ExpandTask.SCENES, None, 3, BUDGETS[profile], refused=lambda _: True)
    [outcome] = run_programs([program], backend, NoCallbacks())
    assert isinstance(outcome, Expansion)
    assert SIGN in outcome.prompt
    assert not outcome.repaired
