"""Ages stated as a bare number between everyday words: `Mia is like 12 or 13`, `at 11 she moved`, `shown at nine`.

They have neither a unit nor a noun, so the words on both sides decide. They count only with sexual content.

May import: core.policy.ages, core.policy.normalization, core.policy.spelling.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from core.policy.ages.numbers import Number, NumberWords
from core.policy.normalization import ADULT_AGE, word_set
from core.policy.spelling import is_everyday

_TOKENS = re.compile(r"[,;:()\[\]|\n!?\"…]|\.(?!\d)|\s[-–—]\s|\d+(?:[.,]\d+)*(?:\s?/\s?\d+)?|[^\W\d_]+")
_YOUNGEST = 3
_MOST_HEDGES = 4
_YOUNGEST_ALONE = 8
"""Minimum number at the beginning of a clause (`sixteen and restless`), where smaller ones are usually counts."""
_CLOCK_HOURS = 12


_BEFORE = word_set("""
    is was s am m im be being been turning turnt turnd gone becomes became
    becoming then now once than barely hardly scarcely not
    only just looks look looked nearly almost aged age reached reaching say says said maybe probably perhaps
    possibly clearly obviously still already remains stays approaching pushing nearing hes shes theyre appears seems
    passes hits hit mere tender somewhere
""")
"""Words before an age; a hedge (`only`, `like`) may follow them."""
_HEDGES = word_set("""
    only just jus jst barely hardly scarcely nearly almost like
    about around maybe perhaps possibly probably roughly still
    already now all of a an say circa approximately to be or the ripe old young sweet no more
    most at than some
""")
_JUST_BELOW = frozenset(["shy", "short", "south", "side", "shade", "hair", "north", "tad", "touch"])
"""`just shy of sixteen`, `this side of twelve`: an age below the number that follows `of`."""
_AFTER = word_set("""
    she he they her his their him who whom whose and but or when while though although if so because since until
    till with wearing in on at today now already then yet again too the my our going tops max maximum something ish
    plus tomorrow soon next this last
    apiece each fr lol lmao tbh ngl rn haha bruh smh tho omg istg imo lmfao xd
""")
"""Words that may follow an age; before another noun, the number counts things."""
_CONTINUED = frozenset(["and", "but", "when", "who", "going"])
_PRONOUNS = word_set("""
    she he they i we her his
""")
_PERSONS = word_set("""
    girl boy woman man lady person child kid model self herself himself him her queen king prince princess actress
    actor singer hero heroine general captain emperor pope star celebrity dancer character artist composer teacher
    nurse doctor wizard witch president senator boss mother father mum mom dad sister brother wife husband
    girlfriend boyfriend grandmother grandfather grandma grandpa knight warrior detective dancer swimmer skater rider
    singer painter pianist violinist drummer redhead brunette blonde blond runner player gymnast ballerina skier
    student pupil orphan twin cousin niece nephew friend stranger traveller traveler passenger beggar apprentice
    servant maid shepherd sailor soldier cyclist climber diver surfer jockey acrobat juggler chorister goalie
    goalkeeper striker pitcher cheerleader vlogger streamer gamer coder poet writer cook baker waif urchin heir
    heiress uncle aunt auntie grandson granddaughter landlord neighbour neighbor bishop priest monk nun judge
    lawyer professor novelist
""")
_GROUPS = word_set("""
    group party team crowd set pair row choice out table handful number total pack box dozen bunch one some each part
    half most best cast family flock herd class queue band committee jury league score hand line circle stack pile
    series sequence batch bouquet length width height depth distance page pages chapter level factor ratio mother
    father mum mom dad parent grandmother grandfather grandma grandpa leader captain teacher boss king queen
    list career price cost bill temperature speed value fee tip budget sum average rating grade mark magnitude
    troupe company ensemble choir orchestra gang audience community village tribe army squad fleet staff council club
""")
"""Nouns before a count: `a group of six or seven`, `a mother of three`."""
_COUNTED = word_set("""
    score rating bill total cost count weight
    size number room page chapter gate route score level iso no vol temperature time price it that there this what
""")
_COPULAS = word_set("is was")
_DETERMINERS = word_set("the this that my our his her their your a an")
_THINGS = word_set("""
    car van truck lorry tractor motorbike motorcycle bike bicycle boat ship train tram bridge road tower castle church
    building house cottage barn hotel fence wall gate roof pond well garden hedge oak tree bonsai cactus vine laptop
    computer phone camera printer fridge oven boiler kettle sofa couch mattress wardrobe carpet desk clock watch coat
    jacket guitar piano violin tattoo scar mortgage lease company firm business shop restaurant bakery website whisky
    whiskey cheddar sourdough tortoise parrot macaw cockatoo goldfish racehorse
""")
"""Subjects whose age may be meant; no word that is also used of a person, such as `kitten`, `pet` or `doll`."""

_CLOCK_CONTEXT = word_set("""
    dinner lunch breakfast party meet meeting come see you me us here there home tonight tomorrow today it morning
    evening night bed work door doors show call back up ready over starts start open opens closes out pm date drinks
    alarm train bus flight class coffee tea brunch supper sunrise sunset yoga swim run shower gym concert shop market
    service mass ferry tram beach again early late until by
""")
_EVENTS = word_set("""
    leaving arriving starting opening departing beginning closing featuring serving boarding consisting including
    starring ending finishing during running calling
""")
"""Verbs of things that have a time of day, such as a bus or a concert."""
_TIMES = word_set("""
    morning mornings evening evenings afternoon afternoons night nights oclock clock am pm m sharp daily tonight
    sunset sunrise dusk dawn noon midnight
""")
_SHOWN = word_set("""
    shown pictured seen depicted portrayed drawn sketched painted imagined reimagined rendered remembered here
    illustrated sculpted captured but
""")
"""Words before an age in a picture: `shown at nine`."""
_PROFESSIONS = ("ist", "ian", "eer")
"""Endings of nouns for persons: `a guitarist of thirteen`."""
_SHORTEST_PROFESSION = 6
_AS_BEFORE = word_set("""
    as how like way what
""")
_LOOKED = word_set("""
    looked looks appeared appears was
""")


@dataclass(frozen=True, slots=True)
class _Place:
    """The position of a number among the words and punctuation marks of a text."""

    tokens: Sequence[str]
    start: int
    end: int

    def before(self, by: int) -> str:
        at = self.start - by
        return self.tokens[at] if at >= 0 else ""

    def next(self, by: int) -> str:
        at = self.end + by
        return self.tokens[at] if at < len(self.tokens) else ""

    @property
    def after(self) -> str:
        return self.next(0)


def bare_ages(text: str, words: NumberWords) -> Iterator[float]:
    """Yield the ages below 18 in a `native` text that the words on both sides identify."""
    tokens = _TOKENS.findall(text)
    numbers = words.find(tuple((token.strip(),) for token in tokens))
    for found in numbers.values():
        for number in found:
            if number.language in {"", "en"} and not number.ordinal and _YOUNGEST <= number.value < ADULT_AGE:
                place = _Place(tokens, number.start, number.end)
                if _is_age(place, number):
                    yield number.value


def _is_age(place: _Place, number: Number) -> bool:
    after = place.after
    ends = not after or not after[0].isalnum()
    if place.before(1) == "at":
        return _at_an_age(place, number, ends=ends)
    if _of_an_age(place) or _of_each(place, ends=ends):
        return True
    if not ends and after not in _AFTER and not after.endswith("ing"):
        return False
    if place.after in _CONTINUED and not place.before(1).isalnum():
        return number.value >= _YOUNGEST_ALONE
    by = 1
    while by <= _MOST_HEDGES and place.before(by) in _HEDGES and place.before(by) not in _BEFORE:
        by += 1
    if place.before(by) not in _BEFORE or place.before(by + 1) in _COUNTED:
        return False
    return not (place.before(by) in _COPULAS and _of_a_thing(place, by + 1))


def _of_a_thing(place: _Place, by: int) -> bool:
    """Whether a thing is the subject of a clause: `my car is 15`, unlike `the girl in my car is 15`."""
    by_determiner = by + 2 if place.before(by + 1) in {"old", "new"} else by + 1
    begins = not place.before(by_determiner + 1)[:1].isalnum()
    return place.before(by) in _THINGS and place.before(by_determiner) in _DETERMINERS and begins


def _of_an_age(place: _Place) -> bool:
    """Whether a number after `of` is an age (`shy of twelve`, `a dancer of ten or so`), not `a group of six`."""
    if place.before(1) == "of" and place.before(2) in _JUST_BELOW:
        return True
    by = 1
    while by <= _MOST_HEDGES and place.before(by) in _HEDGES and place.before(by) != "of":
        by += 1
    if place.before(by) != "of" or place.before(by + 1) in _GROUPS:
        return False
    or_another = place.after in {"or", "to"} and place.next(1).isalnum()
    after = place.next(2) if or_another else place.after
    if after and after[0].isalnum() and after not in _AFTER and not after.endswith("ing"):
        return False
    noun = place.before(2)
    person = noun in _PERSONS or (len(noun) >= _SHORTEST_PROFESSION and noun.endswith(_PROFESSIONS))
    return or_another or by > 1 or person


def _of_each(place: _Place, *, ends: bool) -> bool:
    """Whether several persons share the age: `both of them eleven`, `the sisters are eleven each`."""
    if place.before(1) == "them" and place.before(3) in {"both", "all", "each"}:
        return ends
    return place.before(1) in {"are", "were"} and place.after in {"each", "apiece"}


def _shown_at(place: _Place) -> bool:
    """Whether the age follows a word for a picture or a look: `shown at nine`, `as he looked at seven`."""
    if place.before(2) in _SHOWN:
        return True
    by = 3 if place.before(2) == "like" else 2
    return place.before(by) in _LOOKED and not _AS_BEFORE.isdisjoint({place.before(by + 2), place.before(by + 3)})


def _at_an_age(place: _Place, number: Number, *, ends: bool) -> bool:
    """Whether a number after `at` is an age (`at 11 she …`, `Mozart at six`) and not a time (`meet me at six`)."""
    person = place.before(2)
    if not _TIMES.isdisjoint({place.after, place.next(1), place.next(2)}):
        return False
    goes_on = place.after in _AFTER or (place.after.endswith("ing") and place.after not in _EVENTS)
    if _shown_at(place):
        return ends or goes_on
    if person in _PERSONS or (len(person) > 3 and person.isalpha() and not is_everyday(person)):
        return ends or goes_on
    acts = place.after.endswith("ing") and goes_on
    if acts and person.isalpha() and person not in _CLOCK_CONTEXT and not place.before(3).isalnum():
        return True
    if place.after == "," and person.isalpha() and person not in _CLOCK_CONTEXT:
        return place.next(1) in _PRONOUNS or place.next(1).endswith("ing")
    return place.after in _PRONOUNS and (number.value > _CLOCK_HOURS or not person or not person.isalnum())


def spelled_fractions(text: str, fractions: Collection[str] = "¼½¾⅓⅔") -> str:
    """Replace a fraction after a digit by `.5`, so that `6¾` is not read as 63."""
    if not any(fraction in text for fraction in fractions):
        return text
    return re.sub(rf"(?<=\d)\s?[{''.join(fractions)}]", ".5", text)
