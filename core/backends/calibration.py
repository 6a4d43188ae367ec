"""Calibrate the vision model's letter probabilities to probabilities of an answer.

A vision model's letter probabilities have two errors. They are biased towards certain positions; each question is
therefore asked with its options in two orders, and the answers are averaged. They are also too high; the logits are
therefore divided by one temperature per attribute, which `python -m tools.calibrate` fits on labelled faces (Guo et al.
2017, arXiv:1706.04599). A checkpoint's own file is `calibration.json` in its folder; without one, both orders are asked
and every temperature is 1, which is uncalibrated.

May import: core.errors, core.prompts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import Misconfigured
from core.prompts.questions import QUESTIONS, REVERSED_QUESTIONS, Question

FILE = "calibration.json"
ORDERS: dict[str, dict[str, Question]] = {"given": QUESTIONS, "reversed": REVERSED_QUESTIONS}


@dataclass(frozen=True, slots=True)
class Calibration:
    """Calibration of a checkpoint: the `orders` of options to ask in, and a divisor of logits for each attribute."""

    orders: tuple[str, ...] = tuple(ORDERS)
    temperatures: Mapping[str, float] = field(default_factory=dict)

    def temperature(self, attribute: str) -> float:
        return self.temperatures.get(attribute, 1.0)

    def to_json(self) -> str:
        content = {"orders": list(self.orders), "temperatures": dict(self.temperatures)}
        return json.dumps(content, indent=1, sort_keys=True) + "\n"

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """Read a file; the default if there is none. Raises `Misconfigured` for a file that is not valid."""
        if not path.is_file():
            return cls()
        try:
            return cls._parsed(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            raise Misconfigured(
                f"{path} is not a valid calibration: make it again with `python -m tools.calibrate`."
            ) from None

    @classmethod
    def _parsed(cls, content: Any) -> Calibration:
        orders = tuple(content["orders"])
        temperatures = {str(name): float(value) for name, value in content["temperatures"].items()}
        if not orders or not set(orders) <= set(ORDERS) or not set(temperatures) <= set(QUESTIONS):
            raise ValueError("unknown order or attribute")
        if not all(0.01 <= value <= 100 for value in temperatures.values()):
            raise ValueError("temperature out of range")
        return cls(orders, temperatures)
