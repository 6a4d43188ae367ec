"""Decide from the apparent ages in a generated picture whether it may be released.

Nudity changes what a picture of a young person is, so a picture that the output check calls sexual is read for age on
every route before it is released. The zimage worker can't run that check: it hands such a picture out only to an
orchestrator that has committed itself to it, and never uploads it.

May import: core.contracts, core.errors, core.policy.
"""

from __future__ import annotations

import hashlib
import hmac

from core.contracts import AgeBand, AgeCheck, CheckResult, PictureCheck, Route, StageContext
from core.errors import PolicyBlocked
from core.policy.audit import audit
from core.policy.version import POLICY_VERSION

AGE_CHECK_SCORE = 0.5
"""Score of the output check from which a picture is read for age; the middle of the range that the authors of open_nsfw
call undecided (0.2 to 0.8), because a needless check costs a stage and a missing one can't be made good."""
MINOR_IN_PICTURE = "minor_in_picture"
AGE_NOT_READABLE = "age_not_readable"
_STAGE = "check"
_UNSIGNED = "unsigned"


def needs_age_check(check: PictureCheck | None, *, score_from: float = AGE_CHECK_SCORE) -> bool:
    """Whether the people's age has to be read: the picture is over either threshold, or nothing is known of it."""
    return check is None or check.score is None or check.score >= min(score_from, check.threshold)


def reject_minor_in_picture(read: CheckResult, *, threshold: float, route: Route) -> AgeCheck:
    """Raises `PolicyBlocked` where somebody may be under 18, or where the age of somebody can't be judged.

    Undecided readings count against the picture: a face read as `unknown`, no face and an unknown whole, and more faces
    than are read. The whole picture is judged beside its faces, because a face can be missed.
    """
    people = (*read.faces, read.whole)
    under_18 = max(person.under_18 for person in people)
    if under_18 >= threshold or any(person.age_band is AgeBand.UNDER_18 for person in people):
        raise _refusal(MINOR_IN_PICTURE, "The picture may show a person under 18 and was withheld.", route)
    unread = any(person.age_band is AgeBand.UNKNOWN for person in read.faces or (read.whole,))
    if unread or read.faces_not_read:
        raise _refusal(AGE_NOT_READABLE, "The age of a person in the picture can't be judged; it was withheld.", route)
    return AgeCheck(faces=len(read.faces), under_18=under_18, threshold=threshold)


def _refusal(category: str, message: str, route: Route) -> PolicyBlocked:
    audit().refused((category,), route, stage=_STAGE, version=POLICY_VERSION)
    return PolicyBlocked(f"{message} Change what it asks for.", categories=(category,), stage=_STAGE)


# ── the orchestrator's commitment ────────────────────────────────────────────────────────────────────────────────────


def age_check_commitment(trace_id: str, prompt: str, key: bytes | None) -> str:
    """What the orchestrator puts into a stage's `context.age_check`: an HMAC-SHA256 over the request and its prompt.

    Without a signing key it says only that the caller runs the check, and whoever may call the endpoint vouches for it.
    """
    if key is None:
        return _UNSIGNED
    said = b"\0".join((b"age-check", trace_id.encode(), prompt.encode("utf-8", "surrogatepass")))
    return "v1:" + hmac.new(key, said, hashlib.sha256).hexdigest()


def committed_to_age_check(context: StageContext | None, prompt: str, key: bytes | None) -> bool:
    """Whether the caller is an orchestrator that runs the age check; compared in constant time."""
    if context is None or context.age_check is None:
        return False
    expected = age_check_commitment(context.trace_id, prompt, key)
    return hmac.compare_digest(context.age_check.encode("utf-8", "surrogatepass"), expected.encode())
