"""Sentences that code puts in front of a prompt, to make the image model draw clothed adults.

They describe what is visible, because the image model runs without guidance and ignores "no …". They have fewer than
25 words, because the prompt after them must fit into the model's 512 tokens too. The embedded image model is trained on
these sentences: after a change it must be trained again.

May import: nothing.
"""

from __future__ import annotations

CONSTRAINT = (
    "A tasteful picture of adults, each fully dressed in opaque everyday clothes that cover the body "
    "from neck to knees."
)
"""For explicit text on a moderated route."""

STRONG_CONSTRAINT = (
    "A modest picture of adults in thick winter clothes: long coat, high collar, long sleeves and trousers, "
    "fully covered from neck to feet."
)
"""For the second attempt, after the output check has rejected a picture."""

ADULT_ANCHOR = "Every person in the picture is a grown adult of at least twenty-five years."
"""For allowed text with `girl` on the adult-allowed route, which the image model may read as a child."""
