"""Text policy: two tiers, one engine, one table of routes. See `docs/safety.md` for what is refused where.

    check(texts, route)                 judge all texts of a request before any stage runs; raises `PolicyBlocked`
    check_chat(messages, route)         the same for a chat, which may mention a child without being refused
    build_final_prompt(prompt, route)   judge a prompt for the image model, constrain it if necessary, judge it again
    evaluate_private_chat(prompt)       `build_final_prompt` for `chat/private/imagegen`
    sanitize_general(prompt)            `build_final_prompt` for `imagegen`
    apply_classifier(verdict, …)        combine a verdict with a text classifier's results; `enforce` then refuses
    needs_age_check(check)              whether a picture needs an age check; `reject_minor_in_picture` decides on it
    reject_minor(features)              refuse a selfie of a person who may be under 18
    treatment(route, …)                 whether a request with features may have adult content

May import: core.contracts and core.errors. It contains no HTTP, no models and no pictures.
"""

from __future__ import annotations

from core.policy.audit import Audit, audit, configure_audit
from core.policy.captions import safe_caption
from core.policy.classifier import PIECE_CHARS, Classification, apply_classifier, split_for_classifier
from core.policy.constraints import ADULT_ANCHOR, CONSTRAINT, STRONG_CONSTRAINT
from core.policy.engine import ChatVerdict, check, check_chat, enforce, judge, judge_chat, prepare
from core.policy.features import reject_minor, sign_features, signed
from core.policy.final_prompt import FinalPrompt, build_final_prompt, constrain, evaluate_private_chat, sanitize_general
from core.policy.languages import coverage, not_supported, reject_uncovered, uncovered
from core.policy.picture_age import (
    age_check_commitment,
    committed_to_age_check,
    needs_age_check,
    reject_minor_in_picture,
)
from core.policy.routes import ROUTES, RouteRules, treatment
from core.policy.verdict import CLASSIFIER_FAILED, Action, Treatment, Verdict
from core.policy.version import POLICY_VERSION

__all__ = [
    "ADULT_ANCHOR",
    "CLASSIFIER_FAILED",
    "CONSTRAINT",
    "PIECE_CHARS",
    "POLICY_VERSION",
    "ROUTES",
    "STRONG_CONSTRAINT",
    "Action",
    "Audit",
    "ChatVerdict",
    "Classification",
    "FinalPrompt",
    "RouteRules",
    "Treatment",
    "Verdict",
    "age_check_commitment",
    "apply_classifier",
    "audit",
    "build_final_prompt",
    "check",
    "check_chat",
    "committed_to_age_check",
    "configure_audit",
    "constrain",
    "coverage",
    "enforce",
    "evaluate_private_chat",
    "judge",
    "judge_chat",
    "needs_age_check",
    "not_supported",
    "prepare",
    "reject_minor",
    "reject_minor_in_picture",
    "reject_uncovered",
    "safe_caption",
    "sanitize_general",
    "sign_features",
    "signed",
    "split_for_classifier",
    "treatment",
    "uncovered",
]
