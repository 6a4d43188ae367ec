"""Apply all rules to all texts of a request; the most severe matching rule decides.

**First principle.** Exceptions apply only if the whole request has no sexual content. With sexual content, an ambiguous
number, noun or name has its hard meaning, without it the everyday one: beside nudity, `a 12 year old horse rider` is a
child. `_concepts_in_context` implements this. A phrase that a concept lists as `never` never has the hard meaning
(`minor chord`, `15 minutes`, `no minors`).

The time is linear in the text: a fixed number of streams, one walk over a trie of bounded depth for each, and rules
over positions. A text over `MAX_TEXT_CHARS` is refused, not cut.

May import: core.contracts, core.errors, core.policy.
"""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from core.contracts import ChatMessage, Route
from core.errors import PolicyBlocked
from core.policy.audit import audit, configure_audit
from core.policy.loading import lexicon
from core.policy.normalization import Stream, streams
from core.policy.routes import ROUTES
from core.policy.rules import AGE, Lexicon, Rule
from core.policy.sequences import Found, linked_spans, spans_of
from core.policy.verdict import CLASSIFIER_FAILED, Action, Treatment, Verdict
from core.policy.version import POLICY_VERSION

MAX_TEXT_CHARS = 16_384
TOO_LONG = "too_long"
AMBIGUOUS_YOUTH = "ambiguous_youth"
MINOR_ON_ADULT_ROUTE = "minor_on_adult_route"


def prepare(audit_file: Path | None, key: bytes | None) -> None:
    """Compile the rules and configure the audit, once before a process's first job. Raises `Misconfigured`.

    `key` is the key of the audit's hashes. The rules are hundreds of thousands of objects that live as long as the
    process, so the garbage collector neither runs while they are compiled nor visits them later.
    """
    gc.disable()
    try:
        lexicon()
    finally:
        gc.enable()
    gc.freeze()
    configure_audit(audit_file, key)


def _near(rule: Rule, found: Found) -> bool:
    first, second = (spans_of(found, group) for group in rule.groups)
    edges = {at for start, end in first for at in range(start - rule.within - 1, end + rule.within + 1)}
    return any(not edges.isdisjoint(range(*span)) for span in second)


def _matches_in_text(rule: Rule, found: Found, stream: Stream, linking: set[str]) -> bool:
    if not all(any(concept in found for concept in group) for group in rule.groups):
        return False
    return bool(linked_spans(found, rule.groups, stream, linking)) if rule.how == "linked" else _near(rule, found)


def find_matching_rules(texts: Iterable[str], words: Lexicon, today: date | None = None) -> list[Rule]:
    """Return the rules that match the texts: `linked` and `near` within one text, `together` across all texts."""
    today = today or datetime.now(UTC).date()
    text_rules = [rule for rule in words.rules if rule.how != "together"]
    everyday: set[str] = set()
    suspicious: set[str] = set()
    matched: list[Rule] = []
    texts = tuple(dict.fromkeys(texts))
    for text in texts:
        for stream in streams(text, words.spelling):
            found = words.find(stream, today)
            everyday |= found.everyday.keys()
            suspicious |= found.suspicious.keys()
            if not found.everyday:
                continue
            new_matches = [rule for rule in text_rules if _matches_in_text(rule, found.everyday, stream, words.linking)]
            if new_matches:
                matched += new_matches
                text_rules = [rule for rule in text_rules if rule not in new_matches]
    if not everyday.isdisjoint(words.sexual):
        suspicious = suspicious.union(*(words.doubtful_concepts(text, today) for text in texts))
    concepts = _concepts_in_context(everyday, suspicious, words.sexual)
    together = (rule for rule in words.rules if rule.how == "together")
    matched += [rule for rule in together if all(not concepts.isdisjoint(group) for group in rule.groups)]
    return list({rule.id: rule for rule in matched}.values())


def _concepts_in_context(everyday: set[str], suspicious: set[str], sexual: Collection[str]) -> set[str]:
    """Return the concepts of a whole request by the first principle: exceptions apply only without sexual content.

    Sexual content is determined from the everyday reading, so that `naked eye` and `chicken breast` have no effect.
    """
    sexual_concepts = everyday.intersection(sexual)
    return sexual_concepts | suspicious.difference(sexual) if sexual_concepts else everyday


def matching_rules(texts: Iterable[str], today: date | None = None) -> list[Rule]:
    """Return all rules that match the texts, of any tier and route."""
    return find_matching_rules(texts, lexicon(), today)


_SEVERITY = (Action.ALLOW, Action.CONSTRAIN, Action.REFUSE)


def _action(rule: Rule, route: Route, treated_as: Treatment) -> Action:
    """Return the action of a rule on a route. An unknown tier refuses."""
    if rule.tier == "soft":
        return Action.CONSTRAIN if treated_as == "moderated" else Action.ALLOW
    if rule.tier in {"anchor", "caption"}:
        return Action.ALLOW
    if rule.tier == "minor":
        return Action.REFUSE if ROUTES[route].refuses_any_minor else Action.ALLOW
    return Action.REFUSE


def treatment_of(route: Route, treated_as: Treatment | None) -> Treatment:
    """Return the treatment of a text on a route; `treated_as` can only make it stricter."""
    return "adult_allowed" if ROUTES[route].adult_allowed and treated_as != "moderated" else "moderated"


def judge(
    texts: Iterable[str], route: Route, *, treated_as: Treatment | None = None, today: date | None = None
) -> Verdict:
    """Judge all texts of one request together by all rules; return the most severe verdict. Never raises.

    `categories` are those of the rules with the most severe action. If the texts are allowed, they are the categories
    that later stages use: explicit text, or a person who may or may not be an adult (`AMBIGUOUS_YOUTH`).
    """
    texts = tuple(texts)
    if any(len(text) > MAX_TEXT_CHARS for text in texts):
        return Verdict(Action.REFUSE, (TOO_LONG,), POLICY_VERSION)
    treated = treatment_of(route, treated_as)
    matched = matching_rules(texts, today)
    actions = [(rule.category, _action(rule, route, treated)) for rule in matched]
    worst = max((action for _, action in actions), key=_SEVERITY.index, default=Action.ALLOW)
    categories = {category for category, action in actions if action is worst}
    if worst is Action.ALLOW:
        categories = {rule.category for rule in matched if rule.tier in {"soft", "anchor"}}
    return Verdict(worst, tuple(sorted(categories)), POLICY_VERSION)


def check(
    texts: Iterable[str], route: Route, *, treated_as: Treatment | None = None, stage: str | None = None
) -> Verdict:
    """Judge the texts; raise `PolicyBlocked` for a refusal, with the categories but no words of the texts."""
    texts = tuple(texts)
    return enforce(judge(texts, route, treated_as=treated_as), texts, route, stage=stage)


def enforce(verdict: Verdict, texts: Iterable[str], route: Route, *, stage: str | None = None) -> Verdict:
    """Return the verdict; if it is a refusal, write it to the audit and raise `PolicyBlocked`."""
    if verdict.action is Action.REFUSE:
        audit().refused(verdict.categories, route, stage=stage, version=verdict.version, texts=texts)
        raise PolicyBlocked(_refusal(verdict.categories), categories=verdict.categories, stage=stage)
    return verdict


@dataclass(frozen=True, slots=True)
class ChatVerdict:
    """The verdict on a chat, and the treatment of the rest of its request."""

    verdict: Verdict
    treated_as: Treatment


def judge_chat(
    messages: Sequence[ChatMessage], route: Route, *, treated_as: Treatment | None = None, today: date | None = None
) -> ChatVerdict:
    """Judge all messages; a mere mention of a child makes the adult-allowed route moderated instead of refusing.

    A mention is refused if the conversation has sexual content anywhere, if the child is in the user's last message or
    in a system message (which describes a person), or if any message states an age below 18. The prompt that a model
    writes from the chat is judged separately, without this exception. Never raises.
    """
    texts = [message.content for message in messages]
    verdict = judge(texts, route, treated_as=treated_as, today=today)
    treated = treatment_of(route, treated_as)
    if verdict.categories == (MINOR_ON_ADULT_ROUTE,) and _only_mentions(messages, today):
        return ChatVerdict(Verdict(Action.ALLOW, (), POLICY_VERSION), "moderated")
    return ChatVerdict(verdict, treated)


def check_chat(
    messages: Sequence[ChatMessage], route: Route, *, treated_as: Treatment | None = None, stage: str | None = None
) -> ChatVerdict:
    """Judge a chat as `judge_chat` does; raise `PolicyBlocked` for a refusal."""
    chat_verdict = judge_chat(messages, route, treated_as=treated_as)
    enforce(chat_verdict.verdict, [message.content for message in messages], route, stage=stage)
    return chat_verdict


def _only_mentions(messages: Sequence[ChatMessage], today: date | None) -> bool:
    """Whether the chat has no sexual content, and the requested picture would show no minor."""
    words = lexicon()
    today = today or datetime.now(UTC).date()
    last_request = max((at for at, message in enumerate(messages) if message.role == "user"), default=len(messages) - 1)
    minors = {concept for rule in words.rules if rule.tier == "minor" for group in rule.groups for concept in group}
    for at, message in enumerate(messages):
        shown_minors = minors if at >= last_request or message.role == "system" else {AGE}
        for stream in streams(message.content, words.spelling):
            found = words.find(stream, today)
            if not words.sexual.isdisjoint(found.everyday) or not shown_minors.isdisjoint(found.shown):
                return False
    return True


def _refusal(categories: tuple[str, ...]) -> str:
    if categories == (CLASSIFIER_FAILED,):
        return f"The text could not be judged by the classifier ({CLASSIFIER_FAILED}); shorten it, or send it again."
    return f"The text is refused by the content policy ({', '.join(categories)}). Change the request."
