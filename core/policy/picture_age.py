"""Decide from the apparent ages in a generated picture whether it may be released.

On every route, a picture that the output check rates as sexual is released only after a check of the apparent ages in
it. The zimage worker can't run that check: it returns such a picture only to an orchestrator that has committed to run
it, and never uploads it.

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
"""Score of the output check from which a picture needs an age check: the middle of the range that the authors of
open_nsfw call undecided (0.2 to 0.8). A needless check costs one stage; a missing one can't be corrected."""
MINOR_IN_PICTURE = "minor_in_picture"
AGE_NOT_READABLE = "age_not_readable"
_STAGE = "check"
_UNSIGNED = "unsigned"


def needs_age_check(check: PictureCheck | None, *, score_from: float = AGE_CHECK_SCORE) -> bool:
    """Whether a picture needs an age check: its score reaches one of the thresholds, or is unknown."""
    return check is None or check.score is None or check.score >= min(score_from, check.threshold)


def reject_minor_in_picture(read: CheckResult, *, threshold: float, route: Route) -> AgeCheck:
    """Return the age check of a picture. Raises `PolicyBlocked` if a person may be under 18 or an age is not readable.

    An age is not readable if a face is read as `unknown`, if there is no face and the whole picture is `unknown`, or if
    there are more faces than are read. The whole picture is judged in addition to its faces, because a face can be
    missed.
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
    return PolicyBlocked(f"{message} Change the request.", categories=(category,), stage=_STAGE)


def age_check_commitment(trace_id: str, prompt: str, key: bytes | None) -> str:
    """Return the value of a stage's `context.age_check`: an HMAC-SHA256 over the trace id and the prompt.

    Without a signing key the value is a constant: any caller of the endpoint can claim to run the check.
    """
    if key is None:
        return _UNSIGNED
    content = b"\0".join((b"age-check", trace_id.encode(), prompt.encode("utf-8", "surrogatepass")))
    return "v1:" + hmac.new(key, content, hashlib.sha256).hexdigest()


def committed_to_age_check(context: StageContext | None, prompt: str, key: bytes | None) -> bool:
    """Whether the caller has committed to run the age check; compared in constant time."""
    if context is None or context.age_check is None:
        return False
    expected = age_check_commitment(context.trace_id, prompt, key)
    return hmac.compare_digest(context.age_check.encode("utf-8", "surrogatepass"), expected.encode())
