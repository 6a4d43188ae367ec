"""Each kind of a statement of age computes the range of years that a reader of its pattern expects."""

from __future__ import annotations

from datetime import date

import pytest

from core.policy.ages.kinds import KINDS

TODAY = date(2026, 6, 1)
EXPECTED: dict[str, list[tuple[list[float], tuple[float, float] | None]]] = {
    "years": [([12], (12, 12))],
    "years_from_2": [([1], None), ([2], (2, 2))],
    "years_from_3": [([2], None), ([3], (3, 3))],
    "years_from_5": [([4], None), ([5], (5, 5))],
    "years_3_to_11": [([2], None), ([3], (3, 3)), ([11], (11, 11)), ([12], None)],
    "years_from_13": [([12], None), ([13], (13, 13))],
    "at_most": [([16], (16, 16))],
    "range": [([15, 13], (13, 15))],
    "siblings": [([22, 9], (9, 22)), ([33, 1], None), ([9, 1], (1, 9)), ([18, 1], None), ([30], (30, 30))],
    "months": [([18], (1, 1)), ([30], (2, 2)), ([11], (0, 0))],
    "weeks": [([60], (1, 1)), ([51], (0, 0))],
    "days": [([800], (2, 2)), ([364], (0, 0))],
    "decades": [([1], (10, 10))],
    "dozens": [([1], (12, 12))],
    "nth_year": [([14], (13, 13))],
    "decade_of_life": [([10], (10, 19))],
    "before_adulthood": [([4], (14, 14))],
    "months_before_adulthood": [([6], (17, 17)), ([30], (15.5, 15.5)), ([240], (0, 0))],
    "years_to_21": [([7], (14, 14))],
    "years_before_age": [([4, 16], (12, 12))],
    "age_in_years": [([16, 2], (14, 14))],
    "adult_age_in_years": [([18, 3], (15, 15)), ([21, 5], (16, 16)), ([17, 3], None), ([22, 3], None)],
    "adult_age_in_months": [([18, 30], (15.5, 15.5)), ([18, 6], (17, 17)), ([17, 6], None), ([22, 6], None)],
    "years_since": [([9], (9, 9))],
    "months_since": [([25], (2, 2))],
    "difference": [([38, 24], (14, 14)), ([24, 38], (14, 14))],
    "last_less_first": [([6, 20], (14, 14))],
    "half_less": [([2, 30], (14, 14))],
    "half_more": [([2, 30], (16, 16))],
    "last_over_first": [([2, 28], (14, 14)), ([0, 28], None)],
    "first_over_last": [([28, 2], (14, 14)), ([28, 0], None)],
    "lustra": [([3], (15, 15))],
    "mean": [([10, 18], (14, 14))],
    "age_in_calendar_year": [([18, 2029], (15, 15)), ([18, 2026], None)],
    "calendar_year_of_age": [([2030, 18], (14, 14)), ([2026, 18], None)],
    "days_since": [([4745], (13, 13))],
    "cube_root": [([2197], (13, 13))],
    "birth_date_short": [([3, 5, 15], (10, 11)), ([31, 31, 15], (10, 11)), ([32, 5, 15], None), ([3, 32, 15], None)],
    "age_after": [([12, 3], (15, 15))],
    "dozen_and": [([3], (15, 15))],
    "dozen_less": [([2], (10, 10))],
    "score_less": [([6], (14, 14))],
    "score_share": [([2], (10, 10)), ([0], None)],
    "double_and": [([5, 3], (13, 13))],
    "half_and": [([20, 3], (13, 13))],
    "triple": [([4], (12, 12))],
    "two_thirds": [([24], (16, 16))],
    "three_quarters": [([20], (15, 15))],
    "percent": [([50, 30], (15, 15))],
    "product": [([3, 5], (15, 15))],
    "sum": [([7, 8], (15, 15))],
    "double": [([7], (14, 14))],
    "half": [([30], (15, 15))],
    "third": [([45], (15, 15))],
    "quarter": [([60], (15, 15))],
    "fifth": [([75], (15, 15))],
    "square": [([4], (16, 16))],
    "square_root": [([196], (14, 14))],
    "quotient": [([30, 2], (15, 15)), ([30, 0], None)],
    "under": [([18], (0, 17)), ([12], (0, 11)), ([25], (18, 24)), ([19], (18, 18))],
    "birth_year": [([2012], (13, 14)), ([1899], None), ([1900], (125, 126)), ([2027], (-2, -1)), ([2028], None)],
    "birth_year_short": [([12], (13, 14)), ([26], (-1, 0)), ([27], (98, 99)), ([99], (26, 27)), ([100], None)],
    "birth_year_showa": [([60], (40, 41))],
    "birth_year_heisei": [([24], (13, 14))],
    "birth_year_reiwa": [([1], (6, 7))],
    "birth_year_minguo": [([101], (13, 14))],
    "class_of": [
        ([2030], (14, 14)),
        ([2026], (18, 18)),
        ([2044], (0, 0)),
        ([2045], None),
        ([1947], (97, 97)),
        ([1946], None),
    ],
    "class_of_short": [([30], (14, 14)), ([49], None)],
    "grade": [([7], (12, 13)), ([12], (17, 18)), ([13], None)],
    "grade_uk": [([9], (13, 14)), ([13], (17, 18)), ([14], None)],
    "grade_from_11": [([2], (12, 13)), ([7], None)],
    "grade_from_12": [([3], (14, 15)), ([7], None)],
    "grade_from_15": [([1], (15, 16)), ([4], None)],
}


@pytest.mark.parametrize(
    ("kind", "numbers", "years"), [(kind, *case) for kind, cases in EXPECTED.items() for case in cases]
)
def test_kind_computes_the_years(kind: str, numbers: list[float], years: tuple[float, float] | None) -> None:
    assert KINDS[kind](numbers, TODAY) == years


def test_every_kind_has_a_case() -> None:
    assert EXPECTED.keys() == KINDS.keys()
