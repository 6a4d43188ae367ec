"""What the llm worker does with a language model: chat → prompt, prompt → caption, long message → short one.

Each is a *program*: a generator that yields the completions it wants next, is sent their texts, and returns its result.
`write` runs many programs at once, and all that they want in a round is one batch. What must hold of a text (its
length, that the person described is in it, that a caption is safe) is held here: checked, asked again, then repaired
by code. A model's answer is untrusted: any string, a megabyte or nothing, makes a usable result.

May import: core.backends (its values), core.contracts, core.errors, core.prompts. No torch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from core.backends import Completion, Outcome, TextBackend, Turn, Watch
from core.contracts import ChatMessage, ExpandTask, Features
from core.errors import Cancelled, ImgPodError
from core.prompts import (
    CAPTION_EXAMPLE,
    CAPTION_SYSTEM,
    EXPAND_SYSTEM,
    EXPANSION_EXAMPLE,
    EXPANSION_FORMAT,
    GUIDED_CONTINUATION,
    GUIDED_SYSTEM,
    MAX_CAPTION_WORDS,
    MAX_EXPANSION_WORDS,
    MAX_MESSAGE_WORDS,
    MIN_CAPTION_WORDS,
    SHORTEN_EXAMPLE,
    SHORTEN_SYSTEM,
    as_material,
    chat_as_material,
    describe_person,
)

R = TypeVar("R")
Program: TypeAlias = Generator[list[Completion], list[str], R]
Safe: TypeAlias = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Budget:
    """What a text may cost with the weights at hand, and how much they can be trusted with.

    Messages beyond `shortened_by_model` of them, or longer than `model_reads_chars`, are shortened by code. `guided`:
    code begins the prompt with the request, and the model only goes on.
    """

    expansion_tokens: int = 200
    caption_tokens: int = 40
    shorten_tokens: int = 60
    attempts: int = 2
    shortened_by_model: int = 8
    model_reads_chars: int = 4_000
    temperature: float = 0.7
    guided: bool = False


BUDGETS = {
    "full": Budget(),
    # A model of 135 M parameters that writes 25 tokens a second on two cores, and soon loses the thread.
    "embedded": Budget(
        expansion_tokens=64,
        caption_tokens=28,
        shorten_tokens=40,
        attempts=1,
        shortened_by_model=2,
        model_reads_chars=600,
        guided=True,
    ),
}
"""By weights profile."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """`shortened` counts the messages brought to 25 words; `repaired`: the model's answer was unusable."""

    prompt: str
    shortened: int = 0
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class Caption:
    """`repaired`: the model's answer was unusable, and code made the caption."""

    text: str
    repaired: bool = False


# ── programs ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def expand(
    messages: Sequence[ChatMessage],
    task: ExpandTask,
    features: Features | None,
    seed: int,
    budget: Budget = BUDGETS["full"],
) -> Program[Expansion]:
    """A chat → one paragraph of at most 120 words that an image model can paint."""
    short = yield from _shorten_all(messages, seed, budget)
    shortened = sum(before != after for before, after in zip(messages, short, strict=True))
    for attempt in range(budget.attempts):
        if budget.guided:
            begun = f"{scene_of(short)}. {GUIDED_CONTINUATION}"
            [answer] = yield [_continuation(begun, seed + attempt, budget)]
            prompt = read_prompt(f"{begun}{answer}")
        else:
            [answer] = yield [_expansion(short, task, features, seed + attempt, budget)]
            prompt = read_prompt(answer)
        if usable_prompt(prompt) and keeps_subject(prompt, short):
            return Expansion(_with_person(prompt, features), shortened)
    return Expansion(template_prompt(short, features), shortened, repaired=True)


def caption(prompt: str, safe: Safe, seed: int = 0, budget: Budget = BUDGETS["full"]) -> Program[Caption]:
    """A prompt → one sentence of 10 to 15 words that anyone may read."""
    material = as_material("picture", " ".join(prompt.split()[:MAX_EXPANSION_WORDS])[: budget.model_reads_chars])
    for attempt in range(budget.attempts):
        [answer] = yield [
            Completion(
                (
                    Turn("system", CAPTION_SYSTEM),
                    Turn("user", as_material("picture", CAPTION_EXAMPLE[0])),
                    Turn("assistant", CAPTION_EXAMPLE[1]),
                    Turn("user", material),
                ),
                max_tokens=budget.caption_tokens,
                stop=("\n",),
                temperature=_temperature(attempt, budget),
                seed=seed + attempt,
            )
        ]
        text = read_caption(answer)
        if usable_caption(text) and safe(text):
            return Caption(text)
    return Caption(template_caption(prompt, safe), repaired=True)


def shorten(message: str, seed: int = 0, budget: Budget = BUDGETS["full"]) -> Program[str]:
    """A message → the same in at most 25 words."""
    for attempt in range(budget.attempts):
        [answer] = yield [_shortening(message, seed + attempt, _temperature(attempt, budget), budget)]
        text = read_line(answer)
        if usable_shortening(text, message):
            return text
    return shortened_by_code(message)


def _shorten_all(messages: Sequence[ChatMessage], seed: int, budget: Budget) -> Program[list[ChatMessage]]:
    """Every message of more than 25 words shortened: the newest by the model, all of them in one batch."""
    long = [place for place, message in enumerate(messages) if _length(message.content) > MAX_MESSAGE_WORDS]
    texts = {place: shortened_by_code(messages[place].content) for place in long}
    readable = [place for place in long if len(messages[place].content) <= budget.model_reads_chars]
    asked = readable[-budget.shortened_by_model :] if budget.shortened_by_model else []
    programs = [shorten(messages[place].content, seed, budget) for place in asked]
    texts.update(zip(asked, (yield from _side_by_side(programs)), strict=True))
    return [
        ChatMessage(role=message.role, content=texts[place]) if place in texts else message
        for place, message in enumerate(messages)
    ]


def _side_by_side(programs: Sequence[Program[R]]) -> Program[list[R]]:
    """Several programs as one, whose rounds are the rounds of all."""
    runs = [_Run(program) for program in programs]
    while pending := [run for run in runs if not run.ended]:
        texts = yield [completion for run in pending for completion in run.wanted]
        for run in pending:
            mine, texts = texts[: len(run.wanted)], texts[len(run.wanted) :]
            run.resume(mine)
    return [run.result for run in runs if run.result is not None]


def _expansion(
    messages: Sequence[ChatMessage], task: ExpandTask, features: Features | None, seed: int, budget: Budget
) -> Completion:
    person = f"\nThe person is {describe_person(features)}." if features else ""
    example_chat, example_prompt = EXPANSION_EXAMPLE
    return Completion(
        (
            Turn("system", EXPAND_SYSTEM[task] + EXPANSION_FORMAT),
            Turn("user", f"<chat>\n{example_chat}\n</chat>"),
            Turn("assistant", json.dumps({"prompt": example_prompt})),
            Turn("user", chat_as_material(tuple(messages)) + person),
        ),
        max_tokens=budget.expansion_tokens,
        prefix='{"prompt": "',
        stop=('"}', '",', '"\n', "\n"),
        temperature=budget.temperature,
        seed=seed,
    )


def _continuation(begun: str, seed: int, budget: Budget) -> Completion:
    asked = Turn("user", f"Describe this picture: {begun.removesuffix(GUIDED_CONTINUATION)}")
    return Completion(
        (Turn("system", GUIDED_SYSTEM), asked), budget.expansion_tokens, prefix=begun, stop=("\n",), seed=seed
    )


def _shortening(message: str, seed: int, temperature: float, budget: Budget) -> Completion:
    return Completion(
        (
            Turn("system", SHORTEN_SYSTEM),
            Turn("user", as_material("message", SHORTEN_EXAMPLE[0])),
            Turn("assistant", SHORTEN_EXAMPLE[1]),
            Turn("user", as_material("message", message)),
        ),
        max_tokens=budget.shorten_tokens,
        stop=("\n",),
        temperature=temperature,
        seed=seed,
    )


def _temperature(attempt: int, budget: Budget) -> float:
    """Greedy first; another attempt has to come out differently."""
    return 0.0 if attempt == 0 else max(budget.temperature, 0.7)


# ── the driver ───────────────────────────────────────────────────────────────────────────────────────────────────────


class _Run(Generic[R]):
    """A program and where it stands."""

    def __init__(self, program: Program[R]) -> None:
        self.program = program
        self.wanted: list[Completion] = []
        self.result: R | None = None
        self.ended = False
        self._step(lambda: next(program))

    def resume(self, texts: list[str]) -> None:
        self._step(lambda: self.program.send(texts))

    def _step(self, go: Callable[[], list[Completion]]) -> None:
        try:
            self.wanted = go()
        except StopIteration as end:
            self.result, self.ended, self.wanted = end.value, True, []


class _Round:
    """One batch as a `Watch`: completions in, whole programs out; `told` is each program's furthest progress.

    A program goes on when its own completions are finished. One that then has its result is told of while the rest of
    the batch still runs; one that wants another completion waits for the next round.
    """

    def __init__(self, runs: dict[int, _Run[Any]], watch: Watch, told: dict[int, float]) -> None:
        self.runs, self.watch, self.told = runs, watch, told
        self.wanted = [completion for run in runs.values() for completion in run.wanted]
        self.owners = [place for place, run in runs.items() for _ in run.wanted]
        self.answers: dict[int, Outcome[str]] = {}
        self.failed: dict[int, ImgPodError] = {}

    def step(self, index: int, step: int, of: int) -> None:
        owner, share = self.owners[index], step / of
        if share > self.told.get(owner, 0.0):
            self.told[owner] = share
            self.watch.step(owner, step, of)

    def cancelled(self, index: int) -> bool:
        return self.watch.cancelled(self.owners[index])

    def finished(self, index: int, outcome: Outcome[str]) -> None:
        if index in self.answers:
            return
        self.answers[index] = outcome
        mine = [place for place, owner in enumerate(self.owners) if owner == self.owners[index]]
        if all(place in self.answers for place in mine):
            self._go_on(self.owners[index], [self.answers[place] for place in mine])

    def _go_on(self, place: int, answers: list[Outcome[str]]) -> None:
        run = self.runs[place]
        if cancelled := next((answer for answer in answers if isinstance(answer, Cancelled)), None):
            self.failed[place] = cancelled
            run.program.close()
            return
        run.resume([answer if isinstance(answer, str) else "" for answer in answers])
        if run.ended:
            self.watch.finished(place, _result(run))


def write(programs: Sequence[Program[R]], backend: TextBackend, watch: Watch) -> list[Outcome[R]]:
    """Run `programs` in lockstep, one batch a round; `watch`'s index is a program's place.

    A completion that failed on its own counts as an empty answer, which its program repairs; a cancelled one ends its
    program. Raises what the backend raises for a whole batch.
    """
    runs = [_Run(program) for program in programs]
    failed: dict[int, ImgPodError] = {}
    told: dict[int, float] = {}
    while pending := {place: run for place, run in enumerate(runs) if not run.ended and place not in failed}:
        batch = _Round(pending, watch, told)
        for index, answer in zip(range(len(batch.wanted)), backend.generate(batch.wanted, batch), strict=True):
            batch.finished(index, answer)
        failed |= batch.failed
    return [failed.get(place) or _result(run) for place, run in enumerate(runs)]


def _result(run: _Run[R]) -> R:
    if run.result is None:
        raise TypeError("a program has to return a result")
    return run.result


# ── reading an answer ────────────────────────────────────────────────────────────────────────────────────────────────

_READ_CHARS = 8_000
"""An answer is read up to here: far beyond 120 words, and short enough that nothing below can be slow."""
_PROMPT_CHARS = 1_800
"""Longest usable prompt, so that what code adds in front of it later still fits the contract's bound."""
_REQUEST_CHARS = 400
_LONGEST_WORD = 40
_ANSWER_KEY = re.compile(r'[\s`{\[]{0,20}(?:json)?[\s`{\[]{0,20}"prompt"\s*:\s*"')
_REFUSALS = ("i'm sorry", "i am sorry", "i cannot", "i can't", "as an ai", "i'm unable", "i am unable")
_FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be been but by can could did do does for from had has have he her here him his how i if in "
        "into is it its just like me my no not of off on one or our out over she so some that the their them then "
        "there they this to too up us very was we were what when where which while who will with would you your",
    )
)
_REQUEST_WORDS = frozenset(
    re.findall(
        r"\w+",
        "show draw paint picture photo image send see selfie make create imagine generate pic please want wish",
    )
)


def read_prompt(answer: str) -> str:
    """The paragraph in a model's JSON answer, whose beginning `{"prompt": "` it was given. Never raises."""
    raw = answer[:_READ_CHARS]
    if again := _ANSWER_KEY.match(raw):
        raw = raw[again.end() :]
    raw = re.split(r'(?<!\\)"\s*[,}\n]', raw, maxsplit=1)[0].rstrip('"')
    return _cut(_plain(_unescaped(raw)), MAX_EXPANSION_WORDS)


def _unescaped(raw: str) -> str:
    raw = re.sub(r"\\+$", "", raw)
    try:
        text = json.loads(f'"{raw}"', strict=False)
    except ValueError:
        return raw.replace("\\n", " ").replace("\\", " ")
    return text if isinstance(text, str) else raw


def read_line(answer: str) -> str:
    """The first line of an answer, without the quotes and labels that models put around it."""
    first = next((line for line in answer[:_READ_CHARS].splitlines() if line.strip()), "")
    return _plain(re.sub(r"^\s*(caption|answer|sentence|message|short\w*)\s*:\s*", "", first, flags=re.IGNORECASE))


def read_caption(answer: str) -> str:
    """The first sentence of an answer, brought to 15 words where it has a seam to be cut at."""
    line = re.sub(r"#\w+", "", read_line(answer)).strip()
    sentence = re.split(r"(?<=[.!?])\s", line, maxsplit=1)[0] if _words(line) > MAX_CAPTION_WORDS else line
    if _words(sentence) <= MAX_CAPTION_WORDS:
        return sentence
    words = sentence.split()
    seams = [n for n in range(MIN_CAPTION_WORDS, MAX_CAPTION_WORDS + 1) if words[n - 1][-1] in ",;:–"]
    return f"{' '.join(words[: seams[-1]])[:-1]}." if seams else sentence


def _plain(text: str) -> str:
    """One paragraph: no control characters, marks of markup or brackets, quotes around it, or lone surrogates."""
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "ignore")
    text = re.sub(r"[\x00-\x1f\x7f-\x9f*_`~<>{}\[\]|\\]+", " ", text)
    return " ".join(text.split()).strip("\"'“” ")


def _cut(text: str, limit: int) -> str:
    """At most `limit` words, ending with a whole sentence if there is one in the second half."""
    words = text.split()
    kept = " ".join(words[:limit])
    if len(words) <= limit and kept.endswith((".", "!", "?")):
        return kept
    end = max(kept.rfind(mark) for mark in (". ", "! ", "? "))
    if end >= len(kept) // 2:
        return kept[: end + 1]
    return kept.rstrip(",;:- ") + "." if kept and not kept.endswith((".", "!", "?")) else kept


def _words(text: str) -> int:
    return len(text.split())


def _length(message: str) -> int:
    """Its words; a run of letters without spaces, as in Chinese, counts as one for every ten."""
    return sum(1 + len(word) // 10 if len(word) > _LONGEST_WORD else 1 for word in message.split())


# ── checks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def usable_prompt(prompt: str) -> bool:
    """Enough words, mostly letters, no refusal, and not the same few words over and over."""
    words = prompt.lower().split()
    if not 5 <= len(words) <= MAX_EXPANSION_WORDS or any(said in prompt.lower() for said in _REFUSALS):
        return False
    letters = sum(char.isalpha() or char.isspace() for char in prompt)
    return letters >= 0.8 * len(prompt) and len(set(words)) >= 0.4 * len(words) and len(prompt) <= _PROMPT_CHARS


def keeps_subject(prompt: str, messages: Sequence[ChatMessage]) -> bool:
    """Whether the prompt speaks of what the last request was about. Of a chat that isn't English nothing is asked."""
    if len(_FUNCTION_WORDS & set(_request(messages).lower().split())) < 2:
        return True
    wanted, found = _stems(scene_of(messages)), _stems(prompt)
    return not wanted or len(wanted & found) >= min(2, len(wanted))


def usable_caption(text: str) -> bool:
    return (
        MIN_CAPTION_WORDS <= _words(text) <= MAX_CAPTION_WORDS
        and len(text) <= 160
        and not any(char in text for char in '#@"<>{}')
        and not any(said in text.lower() for said in _REFUSALS)
    )


def usable_shortening(text: str, message: str) -> bool:
    """At most 25 words that the message is about, and not a reply to it."""
    if not 1 <= _words(text) <= MAX_MESSAGE_WORDS or any(said in text.lower() for said in _REFUSALS):
        return False
    said = _stems(text)
    return bool(said) and len(said & _stems(message)) >= 0.5 * len(said)


def _stems(text: str) -> set[str]:
    """Words that carry meaning, cut to five letters so that `walk`, `walks` and `walking` are one."""
    words = re.findall(r"[^\W\d_]{3,}", text.lower())
    return {word[:5] for word in words if word not in _FUNCTION_WORDS and word not in _REQUEST_WORDS}


# ── repairs ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def template_prompt(messages: Sequence[ChatMessage], features: Features | None) -> str:
    """A prompt without a model: the last request as it stands, the person described in front. At most 120 words."""
    return _with_person(f"{scene_of(messages)}. Natural light, clear focus, rich detail, calm mood.", features)


def scene_of(messages: Sequence[ChatMessage]) -> str:
    """The last request as a phrase that an image model can paint: `show us dancing` becomes `Two people dancing`."""
    request = _plain(shortened_by_code(_request(messages)))[:_REQUEST_CHARS]
    for pattern, said in _TO_SCENE:
        request = pattern.sub(said, request)
    request = request.strip(" .!?,;:-")
    return f"{request[:1].upper()}{request[1:]}" or "A person"


_PICTURE = r"(?:picture|photo|image|pic|painting|drawing|snapshot|short|clip|video|scene)"
_TO_SCENE = [
    (re.compile(pattern, re.IGNORECASE), said)
    for pattern, said in (
        (r"^(?:(?:oh|hey|hi|hello|wow|ok|okay|yes|well|nice|great|so|and|very|please|thanks)\b[\s,.!]*)+", ""),
        (r"\b(?:please|(?:can|could|would|will) you|i(?:'d| would) (?:love|like) to (?:see|have))\b[\s,]*", ""),
        (r"^(?:show|send|give|draw|paint|make|create|generate|imagine|picture)\s+", ""),
        (r"^(?:me|us)(?:\s+(?=(?:an?|the|some|my|your|our)\s)|\s*[.!,:;]+\s*)", ""),
        (r"^(?:that|this|it)\s*[.!,:;]+\s*", ""),
        (rf"^(?:an?|the|some)\s+(?:\w+\s+)?{_PICTURE}s?\s+(?:of|with)\s+", ""),
        (r"\b(?:the two of us|both of us|you and me|you and i|me and you|us|we)\b", "two people"),
        (r"\b(?:me|myself|i|you|yourself)\b", "a person"),
        (r"\b(?:my|your|our)\b", "the"),
    )
]
"""In order: what stands before a request, the request, what it asks for, and who is meant. English only."""


def _request(messages: Sequence[ChatMessage]) -> str:
    """What the user asked for last, with enough of the chat before it that it says something."""
    said: list[str] = []
    for message in reversed(messages):
        if message.role == "system" or (not said and message.role == "assistant" and len(messages) > 1):
            continue
        said.insert(0, message.content)
        if _words(" ".join(said)) >= 6:
            break
    return " ".join(said) or messages[-1].content


def _with_person(prompt: str, features: Features | None) -> str:
    """`describe_person` word for word in the prompt, in front where the model left it out."""
    if features is None:
        return _cut(prompt, MAX_EXPANSION_WORDS)
    person = describe_person(features)
    if person in prompt:
        return prompt
    lead = f"The picture shows {person}."
    return f"{lead} {_cut(prompt, MAX_EXPANSION_WORDS - _words(lead))}"


def shortened_by_code(message: str) -> str:
    """At most 25 words of a message, in their order: the sentence that asks for something, then what fits beside it."""
    if _length(message) <= MAX_MESSAGE_WORDS:
        return message
    sentences = [part for part in re.split(r"(?<=[.!?;\n])\s+|(?<=[。！？])", message) if part.strip()]
    ranked = sorted(range(len(sentences)), key=lambda place: (-_weight(sentences[place]), -place))
    kept: list[int] = []
    room = MAX_MESSAGE_WORDS
    for place in ranked:
        if (length := _length(sentences[place])) <= room:
            kept.append(place)
            room -= length
    return " ".join(sentences[place] for place in sorted(kept)) or _telegram(sentences[ranked[0]])


def _weight(sentence: str) -> int:
    words = set(re.findall(r"\w+", sentence.lower()))
    return 3 * len(words & _REQUEST_WORDS) + min(5, len(_stems(sentence)))


def _telegram(sentence: str) -> str:
    """Its words without the ones that carry least, the last 25 of them: a request comes at the end."""
    words = [word[:_LONGEST_WORD] for word in sentence.split()]
    telling = [word for word in words if word.lower().strip(",.;:!?") not in _FUNCTION_WORDS]
    return " ".join((telling or words)[-MAX_MESSAGE_WORDS:])[-10 * MAX_MESSAGE_WORDS :].strip()


_CAPTION_TAILS = {
    6: "in one quiet moment",
    4: "captured in soft and gentle light",
    0: "captured in one quiet moment of soft and gentle light",
}
"""What is put behind a caption of at least so many words to make it 10 to 13."""
_CAPTION_LEAD = re.compile(r"^(the picture shows|portrait of)\s+", re.IGNORECASE)
_NEUTRAL_CAPTION = "A small moment from our story, painted in light and colour just for you."


def template_caption(prompt: str, safe: Safe) -> str:
    """A caption without a model: 10 to 15 words of the prompt's beginning, or neutral ones where those aren't safe."""
    first = re.split(r"(?<=[.!?])\s", _plain(prompt[:_READ_CHARS]), maxsplit=1)[0]
    first = _CAPTION_LEAD.sub("", first)
    words = re.sub(r"[^\w\s,'’-]", "", first).split()[:MAX_CAPTION_WORDS]
    while len(words) > MIN_CAPTION_WORDS and words[-1].lower().strip(",") in _FUNCTION_WORDS:
        words.pop()
    words = " ".join(words).strip(",").split()
    if len(words) < MIN_CAPTION_WORDS:
        words += next(tail for least, tail in _CAPTION_TAILS.items() if len(words) >= least).split()
    text = " ".join(words)
    text = f"{text[:1].upper()}{text[1:]}."
    return text if usable_caption(text) and safe(text) else _NEUTRAL_CAPTION
