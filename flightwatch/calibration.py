"""What limit an alert budget means: how many alerts a rule would have raised for each limit, by what the store has.

In: a store, a pipeline, a rule with a budget. Out: the curve of alerts a week over the rate of visits up to which one counts
as rare, and the largest rate that keeps to the budget. The time in which too little history was known to call anything rare
is left out. A rate is set for a day and holds until the next one.
"""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from flightwatch.backtesting import Backtest, backtest, found_at
from flightwatch.pipeline import Pipeline
from flightwatch.records import Finding
from flightwatch.rules import Rule
from flightwatch.rules.budgets import budget_of, limited
from flightwatch.rules.measures import PERIOD_DAYS, per_day
from flightwatch.store import Store

log = logging.getLogger(__name__)

LEAST_WEEKS = 8.0
"""A shorter time says too little of how many alerts a week there are."""

DAYS_A_YEAR, DAYS_A_WEEK = PERIOD_DAYS["year"], PERIOD_DAYS["week"]


@dataclass(frozen=True)
class Curve:
    """How many alerts a rule would have raised in some `weeks`: `rates` are those of the visits that it found (visits a day
    of observation, ascending). `limit` is the largest rate that keeps to the budget (alerts a week), 0 where not even first
    visits alone do, None where too little is known."""

    rule_id: str
    budget: float
    weeks: float
    rates: NDArray[np.float64]
    limit: float | None

    def a_week(self, rate: float) -> float:
        """Alerts a week with a limit."""
        return float((self.rates <= rate).sum()) / self.weeks


def calibrated(store: Store, pipeline: Pipeline, rule: Rule, until: datetime | None = None) -> Curve | None:
    """The curve of a rule; None where it has no budget."""
    condition = budget_of(rule)
    if condition is None or condition.budget is None:
        return None
    done = backtest(store, replace(pipeline, rules=(limited(rule, math.inf),)), None, until)
    rates, begin = _rates(done)
    weeks = max((done.until - begin) / timedelta(days=DAYS_A_WEEK), 0.0)
    budget = per_day(condition.budget) * DAYS_A_WEEK
    limit = _limit(rates, budget * weeks) if weeks >= LEAST_WEEKS else None
    return Curve(rule.id, budget, weeks, rates, limit)


def _rates(done: Backtest) -> tuple[NDArray[np.float64], datetime]:
    """The rates of the visits that would have been told of, and since when enough is known of them."""
    told = [(f, _rate(f)) for f in done.findings if f.key not in done.silent]
    begin = max((found_at(f) for f, rate in told if rate is None), default=done.since)
    return np.sort([rate for f, rate in told if rate is not None and found_at(f) > begin]), begin


def _rate(finding: Finding) -> float | None:
    return next((held.number for held in finding.held if held.number is not None), None)


def _limit(rates: NDArray[np.float64], most: float) -> float:
    """The largest rate up to which there are no more than so many visits."""
    fit = [float(rate) for rate in np.unique(rates) if (rates <= rate).sum() <= most]
    return max(fit, default=0.0)


def within_budgets(store: Store, pipeline: Pipeline) -> tuple[Rule, ...]:
    """The rules of a pipeline, those with a budget with the limit that it means today."""
    out = []
    for rule in pipeline.rules:
        curve = calibrated(store, pipeline, rule)
        if curve is not None:
            log.info("%s", in_words(curve))
        out.append(rule if curve is None or curve.limit is None else limited(rule, curve.limit))
    return tuple(out)


def in_words(curve: Curve) -> str:
    """One line on what the budget means."""
    name = f"{curve.rule_id}: a budget of {curve.budget:.3g} a week"
    if curve.limit is None:
        return f"{name}: {curve.weeks:.1f} weeks of enough history say too little; nothing is called rare by it yet"
    held = f"up to {curve.limit * DAYS_A_YEAR:.3g} visits a year count as rare: {curve.a_week(curve.limit):.2g} alerts a week"
    over = "; more than the budget: so many are the first of their kind" if curve.a_week(curve.limit) > curve.budget else ""
    return f"{name}: {held} in {curve.weeks:.0f} weeks{over}"


def table(curve: Curve) -> list[str]:
    """The curve as lines: for each limit how many alerts a week."""
    steps = sorted({0.0, *(rate for rate in np.quantile(curve.rates, np.linspace(0, 1, 9)).tolist())}) if len(curve.rates) else []
    return [f"  at most {rate * DAYS_A_YEAR:8.2f} a year: {curve.a_week(rate):6.2f} alerts a week" for rate in steps]


def picture(curves: Sequence[Curve]) -> bytes:
    """The curves as PNG: alerts a week over the limit, with the budget and what it means."""
    figure = Figure(figsize=(9, 3.2 * len(curves)), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, curve in zip(figure.subplots(len(curves), 1, squeeze=False)[:, 0], curves, strict=True):
        rates = np.unique(curve.rates)
        if len(rates):
            shown, a_week = np.r_[0.0, rates] * DAYS_A_YEAR, [curve.a_week(rate) for rate in np.r_[0.0, rates]]
            axes.step(shown, a_week, where="post", color="#1f5fa8", linewidth=2)
        else:
            axes.text(0.5, 0.5, "no visit with enough history before it", ha="center", va="center", transform=axes.transAxes)
        axes.axhline(curve.budget, color="#b3261e", linestyle="--", linewidth=1.2, label=f"budget: {curve.budget:.3g} a week")
        if curve.limit is not None:
            at = curve.limit * DAYS_A_YEAR
            axes.axvline(at, color="#1f2a33", linestyle=":", linewidth=1.2, label=f"limit: {at:.3g} visits a year")
        axes.set(
            title=curve.rule_id, xlabel="visits a year up to which one counts as rare", ylabel="alerts a week", ylim=(0, None)
        )
        axes.grid(alpha=0.25)
        axes.legend(loc="lower right", frameon=False)
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()
