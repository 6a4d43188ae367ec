"""Text policy: two tiers, one engine, one table of routes. See `docs/safety.md` for what is refused where.

    check(texts, route)       every text of a request, before anything runs; refuses by raising `PolicyBlocked`
    check_chat(messages, route)   the same for a conversation, where a mere mention of a child is no refusal
    build_final_prompt(prompt, route)   a prompt about to reach a GPU: constrained where the route asks, judged again
    evaluate_private_chat()   `build_final_prompt` for `chat/private/imagegen`
    sanitize_general()        the same for `imagegen`
    apply_classifier(verdict)    a text classifier's opinions beside the rules; `enforce` then refuses
    needs_age_check(check)    whether a finished picture's people are read for age; `reject_minor_in_picture` decides
    reject_minor(features)    the age veto; `treatment` says whether features may go where adult content passes

May import: core.contracts and core.errors. It knows no HTTP, no model and no picture.
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
