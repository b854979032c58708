"""Seconds per epoch of all peers on many problems, for two sections."""

from dataclasses import dataclass

import numpy as np

from benchmarks.peers import Product
from benchmarks.report import digits, picture_of_points, with_spread
from benchmarks.timing import interleaved_times, plan_measurement


@dataclass(frozen=True)
class Comparison:
    """The times of the peers on one problem.

    Attributes
    ----------
    name : str
        The problem's.
    times : dict of arrays
        Seconds per epoch of each repeat, by the peer's name.
    plans : dict of Plan
        How each peer was measured.
    """

    name: str
    times: dict
    plans: dict

    def median(self, name):
        """Seconds per epoch."""
        return float(np.median(self.times[name]))

    def ratio(self, name, reference):
        """Median over the repeats of the ratio of two times."""
        return float(np.median(self.times[name] / self.times[reference]))


def compare(name, problem, peers, effort):
    """Measure the peers that can learn a problem, in turn."""
    plans = {
        peer.name: plan_measurement(peer, problem, effort.seconds_each)
        for peer in peers
        if peer.is_available() and peer.supports(problem)
    }
    times = interleaved_times(
        {name: plan.seconds_per_epoch for name, plan in plans.items()}, effort.repeats
    )
    return Comparison(name, times, plans)


def table_of_ratios(report, title, comparisons, peers, ours):
    """A row for each problem: our time, and all other times relative to it."""
    others = [peer.name for peer in peers if peer.name != ours]
    others = [name for name in others if any(name in row.times for row in comparisons)]
    rows = [
        [
            *row.name.split(", ", 1),
            with_spread(row.times[ours]),
            *(ratio_cell(row, name, ours) for name in others),
        ]
        for row in comparisons
    ]
    report.table(title, ["data", "task", f"{ours}, ms", *others], rows)


def ratio_cell(comparison, name, ours):
    """The ratio, with a star if only some of the rows were measured."""
    if name not in comparison.times:
        return "—"
    star = " \\*" if comparison.plans[name].scale > 1 else ""
    return digits(comparison.ratio(name, ours), 2) + star


def victories(comparisons, peers, ours):
    """The cases in which a peer took less time, for Report.better_peers."""
    return [
        (peer.name, peer.strength, row.name, row.ratio(peer.name, ours))
        for peer in peers
        for row in comparisons
        if peer.name != ours
        and not isinstance(peer, Product)
        and peer.name in row.times
        and 0 < row.ratio(peer.name, ours) < 1
    ]


def measurements(comparisons):
    """Header and rows for Report.data."""
    header = ["data", "peer", "median_s", "quartile1_s", "quartile3_s"]
    header += ["repeats", "epochs", "part_of_rows"]
    rows = [
        [
            row.name,
            name,
            *(f"{np.quantile(times, q):.4g}" for q in (0.5, 0.25, 0.75)),
            len(times),
            row.plans[name].epochs[1] - row.plans[name].epochs[0],
            f"{1 / row.plans[name].scale:.4g}",
        ]
        for row in comparisons
        for name, times in row.times.items()
    ]
    return header, rows


def picture_of_times(comparisons):
    """Seconds per epoch in units of one X @ w, a line of points for each problem."""
    return picture_of_points(
        {
            row.name: {
                name: row.ratio(name, Product.name)
                for name in row.times
                if name != Product.name
            }
            for row in comparisons
        },
        "seconds per epoch / seconds of one X @ w (grey line)",
        reference=1.0,
    )


STAR = (
    "\\* measured on fewer rows and scaled to all, because the whole would have taken "
    "too long. This favours the other package, whose rows then fit into the cache."
)
