"""The words that cover a person, put at the front of a prompt by code.

Worded as what is seen, because the image model runs without guidance and ignores "no …"; kept under 25 words, because
the prompt behind them has to fit into the model's 512 tokens as well. The embedded image model is trained on these very
sentences: a change here asks for retraining.

May import: nothing.
"""

from __future__ import annotations

CONSTRAINT = (
    "A tasteful picture of adults, each fully dressed in opaque everyday clothes that cover the body "
    "from neck to knees."
)
"""Where explicit text meets a moderated route."""

STRONG_CONSTRAINT = (
    "A modest picture of adults in thick winter clothes: long coat, high collar, long sleeves and trousers, "
    "fully covered from neck to feet."
)
"""For the repaint after a picture that the checker refused."""

ADULT_ANCHOR = "Every person in the picture is a grown adult of at least twenty-five years."
"""Where text that passes on the adult-allowed route says `girl`, which a painter may take for a child."""
