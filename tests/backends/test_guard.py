"""The text classifier: a tiny model of Qwen3Guard's class is loaded and asked, and answers are read strictly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from core.backends import Classified, Completion, Outcome, Unwatched, Watch
from core.backends.guard import MAX_TOKENS, Guard, load_guard, read_opinion
from core.contracts import ModelInfo
from core.errors import BadAnswer, Cancelled
from core.weights import Facts, Located

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


def test_a_model_of_the_class_loads_and_its_noise_is_no_opinion(weights: Located) -> None:
    guard = load_guard(weights, device="cpu")
    outcomes = guard.classify(["a woman at a window", "another"], Unwatched())
    assert guard.info.name == "tiny-guard"
    assert [type(outcome) for outcome in outcomes] == [BadAnswer, BadAnswer]


class Answering:
    """A language model that has its answers ready: what the caller makes of them is tested."""

    info = ModelInfo(name="answering", revision="0", profile="embedded")

    def __init__(self, answers: list[Outcome[str]]) -> None:
        self.answers, self.asked = answers, list[Completion]()

    def generate(self, requests: Sequence[Completion], watch: Watch) -> list[Outcome[str]]:
        self.asked += requests
        return self.answers


def test_each_text_is_one_question_and_keeps_its_place() -> None:
    cancelled = Cancelled("The job was cancelled.")
    model = Answering(["Safety: Safe\nCategories: None\n", cancelled, "no", "Safety: Unsafe\nCategories: Violent, PII"])
    outcomes = Guard(model).classify(["a", "b", "c", "d"], Unwatched())
    assert outcomes[0] == Classified("safe")
    assert outcomes[1] is cancelled
    assert isinstance(outcomes[2], BadAnswer)
    assert outcomes[3] == Classified("unsafe", ("Violent", "PII"))
    assert [request.turns[0].content for request in model.asked] == ["a", "b", "c", "d"]
    assert all(len(request.turns) == 1 and request.max_tokens == MAX_TOKENS for request in model.asked)
    assert all(request.temperature == 0 for request in model.asked)


@pytest.mark.parametrize(
    "answer",
    ["", "Safe", "Safety: Maybe\nCategories: None", "Safety: Safe", "Categories: None", "xSafety: Safe\nCategories: "],
)
def test_an_answer_in_another_form_is_no_opinion(answer: str) -> None:
    assert isinstance(read_opinion(answer), BadAnswer)
