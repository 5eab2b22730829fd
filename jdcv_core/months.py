"""Months as whole numbers: 12 · year + (month - 1), so January 2020 is 24240 and the difference of
two is months."""

from __future__ import annotations


def month_of(year: int, month: int) -> int:
    """Year and month from 1 to 12 → months from year 0."""
    return 12 * year + month - 1


def year_and_month(month: int) -> tuple[int, int]:
    """Months from year 0 → (year, month from 1 to 12)."""
    return month // 12, month % 12 + 1


def as_text(month: int) -> str:
    """2014-05"""
    year, number = year_and_month(month)
    return f"{year:04d}-{number:02d}"


def month_from(text: str) -> int:
    """2024-06 → months from year 0. Raises ValueError for other text."""
    year, _, month = text.partition("-")
    if not (year.isdigit() and month.isdigit() and 1 <= int(month) <= 12):
        raise ValueError(f"{text!r} is no month")
    return month_of(int(year), int(month))
