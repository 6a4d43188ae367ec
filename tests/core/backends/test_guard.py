"""The text classifier: loading of a tiny model of Qwen3Guard's class, and strict parsing of answers."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from core.backends import BatchCallbacks, Classified, Completion, NoCallbacks, Outcome
from core.backends.guard import MAX_TOKENS, GuardClassifier, load_classifier, parse_classification
from core.contracts import ExpandRequest, ExpandTask, ModelInfo
from core.errors import BadAnswer, Cancelled, Misconfigured, PolicyBlocked
from core.settings import Settings, load_settings
from core.weights import TABLE, Facts, Located, Model, Profile, write_manifest
from core.worker.job import Job
from core.worker.progress import Progress
from handlers.llm import load

TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}<|im_start|>"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Located:
    """Qwen3ForCausalLM with 2 layers of 16 and random weights, saved as a hub repository would be."""
    torch = pytest.importorskip("torch")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    folder: Path = tmp_path_factory.mktemp("guard")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: at for at, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|im_end|>", chat_template=TEMPLATE,
        additional_special_tokens=["<|im_start|>"],
    )  # fmt: skip
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(fast), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, max_position_embeddings=512, eos_token_id=fast.eos_token_id,
        bos_token_id=fast.eos_token_id, pad_token_id=fast.pad_token_id,
    )  # fmt: skip
    Qwen3ForCausalLM(config).save_pretrained(folder)
    return Located(folder, "tiny-guard", "0", "embedded", Facts())


def test_random_model_loads_and_its_output_is_an_error(weights: Located) -> None:
    guard = load_classifier(weights, device="cpu")
    outcomes = guard.classify(["a woman at a window", "another"], NoCallbacks())
    assert guard.info.name == "tiny-guard"
    assert [type(outcome) for outcome in outcomes] == [BadAnswer, BadAnswer]


class Answering:
    """A language model with prepared answers, for tests of its caller."""

    info = ModelInfo(name="answering", revision="0", profile="embedded")

    def __init__(self, answers: list[Outcome[str]]) -> None:
        self.answers, self.asked = answers, list[Completion]()

    def generate(self, requests: Sequence[Completion], watch: BatchCallbacks) -> list[Outcome[str]]:
        self.asked += requests
        return self.answers


def test_each_text_is_one_prompt_and_order_is_kept() -> None:
    cancelled = Cancelled("The job was cancelled.")
    model = Answering(["Safety: Safe\nCategories: None\n", cancelled, "no", "Safety: Unsafe\nCategories: Violent, PII"])
    outcomes = GuardClassifier(model).classify(["a", "b", "c", "d"], NoCallbacks())
    assert outcomes[0] == Classified("safe")
    assert outcomes[1] is cancelled
    assert isinstance(outcomes[2], BadAnswer)
    assert outcomes[3] == Classified("unsafe", ("Violent", "PII"))
    assert [request.turns[0].content for request in model.asked] == ["a", "b", "c", "d"]
    assert all(len(request.turns) == 1 and request.max_tokens == MAX_TOKENS for request in model.asked)
    assert all(request.temperature == 0 for request in model.asked)


CARD_CATEGORIES = (
    "Violent",
    "Non-violent Illegal Acts",
    "Sexual Content or Sexual Acts",
    "PII",
    "Suicide & Self-Harm",
    "Unethical Acts",
    "Politically Sensitive Topics",
    "Copyright Violation",
    "Jailbreak",
)
"""Every category that the model cards of Qwen3Guard-Gen name, beside `None`."""


@pytest.mark.parametrize("label", ["Safe", "Controversial", "Unsafe"])
@pytest.mark.parametrize("category", CARD_CATEGORIES)
def test_every_label_and_category_of_the_model_card_is_parsed(label: str, category: str) -> None:
    read = parse_classification(f"Safety: {label}\nCategories: {category}")
    assert read == Classified(label.lower(), (category,))  # type: ignore[arg-type]  # the card's labels


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        ("Safety: Safe\nCategories: None", Classified("safe")),
        ("Safety: Safe\nCategories: None\nRefusal: Yes", Classified("safe")),
        ("Safety: Unsafe\nCategories: Violent\nRefusal: No", Classified("unsafe", ("Violent",))),
        ("Safety: Unsafe\nCategories: Violent, Jailbreak", Classified("unsafe", ("Violent", "Jailbreak"))),
        ("Safety: Unsafe\nCategories: Violent\nJailbreak\nRefusal: No", Classified("unsafe", ("Violent", "Jailbreak"))),
        ("Safety: Unsafe\nCategories: Violent, Violent", Classified("unsafe", ("Violent",))),
        ("Safety: Unsafe\nCategories: None", Classified("unsafe")),
        ("Safety: Unsafe\nCategories:", Classified("unsafe")),
        ("<think>\n\n</think>\n\nSafety: Safe\nCategories: None\n", Classified("safe")),
        ("Safety: Safe\nSafety: Unsafe\nCategories: PII", Classified("unsafe", ("PII",))),
    ],
)
def test_every_answer_format_of_the_model_card_is_parsed(answer: str, read: Classified) -> None:
    assert parse_classification(answer) == read


def test_longest_answer_of_the_model_card_fits_the_token_limit() -> None:
    answer = f"Safety: Controversial\nCategories: {', '.join(CARD_CATEGORIES)}\nRefusal: Yes"
    assert len(re.findall(r"\w+|[^\w\s]|\n", answer)) * 1.5 < MAX_TOKENS, "more tokens than a BPE makes of English"


@pytest.mark.parametrize(
    "answer",
    ["", "Safe", "Safety: Maybe\nCategories: None", "Safety: Safe", "Categories: None", "xSafety: Safe\nCategories: "],
)
def test_answer_in_another_format_is_an_error(answer: str) -> None:
    assert isinstance(parse_classification(answer), BadAnswer)


@pytest.fixture
def settings(weights: Located, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with full weights and the classifier; both models are the tiny one, at the pinned commits."""
    for model in (Model.TEXT, Model.GUARD):
        entry = TABLE[Profile.FULL][model]
        folder = tmp_path / "full" / model
        shutil.copytree(weights.path, folder)
        write_manifest(folder, entry.name, entry.source.revision, entry.facts)
    for name, value in {"WEIGHTS": "full", "WEIGHTS_DIR": str(tmp_path), "LLM_CLASSIFIER": "guard"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LLM_DEVICE", "cpu")
    monkeypatch.setenv("LLM_THREADS", "1")
    return load_settings()


async def test_worker_loads_the_classifier_and_refuses_if_its_answer_cannot_be_parsed(
    settings: Settings,
) -> None:
    respond = load(settings)

    async def drop(_: object) -> None: ...

    async def ask(task: ExpandTask) -> object:
        request = ExpandRequest.model_validate({"task": task, "messages": [{"role": "user", "content": "a pier"}]})
        return await respond(request, Job("job", Progress(drop, interval_s=60)))

    with pytest.raises(PolicyBlocked) as refused:
        await ask(ExpandTask.SHORTS)
    assert refused.value.categories == ("classifier_failed",)
    assert "pier" in str(getattr(await ask(ExpandTask.CHAT_1TO1), "prompt", "")), "the adult route goes by the rules"


def test_worker_with_a_classifier_does_not_start_without_its_weights(settings: Settings, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "full" / "guard")
    with pytest.raises(Misconfigured, match="fetch --profile full --only guard"):
        load(settings)


@pytest.mark.parametrize("config", [None, "no json", "[]", "{}"])
def test_classifier_weights_without_a_model_type_are_refused_at_start(tmp_path: Path, config: str | None) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(Misconfigured, match="model_type"):
        load_classifier(Located(tmp_path, "broken", "0", "full", Facts()))
