"""Every rule over every text of a request; the most severe one that is met wins.

**First principle.** Exceptions hold only where nothing sexual is said in the whole request. With sexual content, an
ambiguous number, noun or name is read the dangerous way; without, the everyday way: `a 12 year old horse rider` is no
horse beside nudity. `_meant` is the one place where this is decided. What a concept lists as `never` can't be read the
dangerous way at all (`minor chord`, `15 minutes`, `no minors`).

The time is linear in the text: a fixed number of streams, one walk over a trie of bounded depth for each, and rules
over positions. A text over `MAX_TEXT_CHARS` is refused, not cut.

May import: core.contracts, core.errors, core.policy.
"""

from __future__ import annotations

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

    `key` is the key of the audit's hashes.
    """
    lexicon()
    configure_audit(audit_file, key)


def _near(rule: Rule, found: Found) -> bool:
    first, second = (spans_of(found, group) for group in rule.groups)
    edges = {at for start, end in first for at in range(start - rule.within - 1, end + rule.within + 1)}
    return any(not edges.isdisjoint(range(*span)) for span in second)


def _met_in_place(rule: Rule, found: Found, stream: Stream, linking: set[str]) -> bool:
    if not all(any(concept in found for concept in group) for group in rule.groups):
        return False
    return bool(linked_spans(found, rule.groups, stream, linking)) if rule.how == "linked" else _near(rule, found)


def met_in(texts: Iterable[str], words: Lexicon, today: date | None = None) -> list[Rule]:
    """The rules of a lexicon that the texts meet: `linked` and `near` within one text, `together` across all texts."""
    today = today or datetime.now(UTC).date()
    in_place = [rule for rule in words.rules if rule.how != "together"]
    everyday: set[str] = set()
    suspicious: set[str] = set()
    met: list[Rule] = []
    texts = tuple(dict.fromkeys(texts))
    for text in texts:
        for stream in streams(text, words.spelling):
            found = words.find(stream, today)
            everyday |= found.everyday.keys()
            suspicious |= found.suspicious.keys()
            if not found.everyday:
                continue
            now_met = [rule for rule in in_place if _met_in_place(rule, found.everyday, stream, words.linking)]
            if now_met:
                met += now_met
                in_place = [rule for rule in in_place if rule not in now_met]
    if not everyday.isdisjoint(words.sexual):
        suspicious = suspicious.union(*(words.suspected(text, today) for text in texts))
    meant = _meant(everyday, suspicious, words.sexual)
    together = (rule for rule in words.rules if rule.how == "together")
    met += [rule for rule in together if all(not meant.isdisjoint(group) for group in rule.groups)]
    return list({rule.id: rule for rule in met}.values())


def _meant(everyday: set[str], suspicious: set[str], sexual: Collection[str]) -> set[str]:
    """The concepts of a whole request, by the first principle: exceptions hold only where nothing sexual is said.

    What is sexual is decided by the everyday reading, so that `naked eye` and `chicken breast` raise no suspicion.
    """
    said = everyday.intersection(sexual)
    return said | suspicious.difference(sexual) if said else everyday


def rules_met(texts: Iterable[str], today: date | None = None) -> list[Rule]:
    """Every rule that the texts meet together, of whatever tier and route."""
    return met_in(texts, lexicon(), today)


_SEVERITY = (Action.ALLOW, Action.CONSTRAIN, Action.REFUSE)


def _action(rule: Rule, route: Route, treated_as: Treatment) -> Action:
    """The action of one rule on one route. An unknown tier refuses."""
    if rule.tier == "soft":
        return Action.CONSTRAIN if treated_as == "moderated" else Action.ALLOW
    if rule.tier in {"anchor", "caption"}:
        return Action.ALLOW
    if rule.tier == "minor":
        return Action.REFUSE if ROUTES[route].refuses_any_minor else Action.ALLOW
    return Action.REFUSE


def treatment_of(route: Route, treated_as: Treatment | None) -> Treatment:
    """The treatment of a text on a route; `treated_as` can only make it stricter."""
    return "adult_allowed" if ROUTES[route].adult_allowed and treated_as != "moderated" else "moderated"


def judge(
    texts: Iterable[str], route: Route, *, treated_as: Treatment | None = None, today: date | None = None
) -> Verdict:
    """The most severe verdict of all rules over all texts of one request, taken together. Never raises.

    `categories` are those of the rules with the most severe action; where all pass, those that later stages use: that
    the text is explicit, or that it is open whether a person is an adult (`AMBIGUOUS_YOUTH`).
    """
    texts = tuple(texts)
    if any(len(text) > MAX_TEXT_CHARS for text in texts):
        return Verdict(Action.REFUSE, (TOO_LONG,), POLICY_VERSION)
    treated = treatment_of(route, treated_as)
    met = rules_met(texts, today)
    asked = [(rule.category, _action(rule, route, treated)) for rule in met]
    worst = max((action for _, action in asked), key=_SEVERITY.index, default=Action.ALLOW)
    categories = {category for category, action in asked if action is worst}
    if worst is Action.ALLOW:
        categories = {rule.category for rule in met if rule.tier in {"soft", "anchor"}}
    return Verdict(worst, tuple(sorted(categories)), POLICY_VERSION)


def check(
    texts: Iterable[str], route: Route, *, treated_as: Treatment | None = None, stage: str | None = None
) -> Verdict:
    """Judge the texts; raise `PolicyBlocked` for a refusal, with the categories and no word of the texts."""
    texts = tuple(texts)
    return enforce(judge(texts, route, treated_as=treated_as), texts, route, stage=stage)


def enforce(verdict: Verdict, texts: Iterable[str], route: Route, *, stage: str | None = None) -> Verdict:
    """Return a verdict that does not refuse; for a refusal write the audit and raise `PolicyBlocked`."""
    if verdict.action is Action.REFUSE:
        audit().refused(verdict.categories, route, stage=stage, version=verdict.version, texts=texts)
        raise PolicyBlocked(_refusal(verdict.categories), categories=verdict.categories, stage=stage)
    return verdict


@dataclass(frozen=True, slots=True)
class ChatVerdict:
    """The verdict on a conversation, and how the rest of its request is to be treated."""

    verdict: Verdict
    treated_as: Treatment


def judge_chat(
    messages: Sequence[ChatMessage], route: Route, *, treated_as: Treatment | None = None, today: date | None = None
) -> ChatVerdict:
    """`judge` over all messages; a mere mention of a child makes the adult-allowed route moderated, not refused.

    Refused all the same: anything sexual anywhere in the conversation, a child in the last message of the user or in a
    persona (a system message), an age below 18 in any message. The written prompt is judged by itself, without mercy
    for mentions. Never raises.
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
    """`judge_chat`, and raises `PolicyBlocked` where that says refuse."""
    said = judge_chat(messages, route, treated_as=treated_as)
    enforce(said.verdict, [message.content for message in messages], route, stage=stage)
    return said


def _only_mentions(messages: Sequence[ChatMessage], today: date | None) -> bool:
    """Whether nothing is sexual, and no minor would be in the picture that the conversation asks for."""
    words = lexicon()
    today = today or datetime.now(UTC).date()
    asked = max((at for at, message in enumerate(messages) if message.role == "user"), default=len(messages) - 1)
    minors = {concept for rule in words.rules if rule.tier == "minor" for group in rule.groups for concept in group}
    for at, message in enumerate(messages):
        shows = minors if at >= asked or message.role == "system" else {AGE}
        for stream in streams(message.content, words.spelling):
            found = words.find(stream, today)
            if not words.sexual.isdisjoint(found.everyday) or not shows.isdisjoint(found.shown):
                return False
    return True


def _refusal(categories: tuple[str, ...]) -> str:
    if categories == (CLASSIFIER_FAILED,):
        return f"The text could not be judged by the classifier ({CLASSIFIER_FAILED}); shorten it, or send it again."
    return f"The text is refused by the content policy ({', '.join(categories)}). Change what it asks for."
