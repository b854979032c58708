"""Tables, lists and plots for the documentation."""

import csv
import platform
import re
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure

# One colour and marker for each thing compared, the same in all plots
COLOURS = [f"C{i}" for i in range(10)]
MARKERS = "osD^vP*X<>"


class Report:
    """The part of a page that one section writes: NAME.inc, its data and plots.

    Parameters
    ----------
    folder : path
        Where the files go.
    name : str
        The section's name.
    """

    def __init__(self, folder, name):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.lines = []

    def paragraph(self, text):
        """Add text in reStructuredText."""
        self.lines += [text, ""]

    def bullets(self, items):
        """Add a list."""
        self.lines += [*(f"- {item}" for item in items), ""]

    def table(self, title, header, rows):
        """Add a table; the first column is set to the left."""
        self.lines += [f".. csv-table:: {title}", "   :header-rows: 1", ""]
        self.lines += [f"   {quoted(row)}" for row in [header, *rows]]
        self.lines.append("")

    def data(self, header, rows, suffix=""):
        """Store the measurements themselves, and say where."""
        path = self.folder / f"{self.name}{suffix}.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)

    def picture(self, figure, description, suffix=""):
        """Store a figure of matplotlib and add it."""
        path = self.folder / f"{self.name}{suffix}.png"
        figure.savefig(path, dpi=100, bbox_inches="tight")
        # Relative to the page, one level up, which includes the piece
        self.lines += [f".. image:: {self.folder.name}/{path.name}"]
        self.lines += [f"   :alt: {description}", ""]

    def picture_in_both_modes(self, make_figure, description):
        """Store a figure for light pages and one for dark pages, and add them.

        Parameters
        ----------
        make_figure : callable
            Makes the figure, in the style that is set.
        description : str
        """
        for mode, base in [("light", "default"), ("dark", "dark_background")]:
            path = self.folder / f"{self.name}_{mode}.png"
            with style.context(base):
                make_figure().savefig(path, dpi=200, transparent=True)
            self.lines += [f".. image:: {self.folder.name}/{path.name}"]
            self.lines += [f"   :alt: {description}", f"   :class: only-{mode}", ""]

    def better_peers(
        self, victories, title="Where another package is faster", what="time"
    ):
        """List the cases in which a peer was better than skmbsgd, with the reason.

        Parameters
        ----------
        victories : list of (peer, reason, where, ratio)
            ``ratio`` is what the peer took divided by what we took, and None where we
            did not arrive.
        title : str
        what : str
            What is compared.
        """
        self.paragraph(f"**{title}**")
        if not victories:
            self.paragraph("There is no such case in these tables.")
            return
        cases = {}
        for peer, reason, where, ratio in victories:
            portion = (
                "skmbsgd did not reach it"
                if ratio is None
                else f"{ratio:.2g} of the {what} of skmbsgd"
            )
            cases.setdefault((peer, reason), []).append(f"{where} ({portion})")
        self.bullets(
            f"{peer}: {'; '.join(where)}. The reason: {reason}."
            for (peer, reason), where in sorted(cases.items())
        )

    def write(self):
        """Write the file."""
        text = "\n".join(["..", "   Written by python -m benchmarks; do not edit.", ""])
        text += "\n" + "\n".join(self.lines).rstrip() + "\n"
        (self.folder / f"{self.name}.inc").write_text(text)


def quoted(row):
    """A row of csv-table."""
    return ",".join('"' + str(cell).replace('"', '""') + '"' for cell in row)


def with_spread(values, unit=1e3):
    """Median and half the distance of the quartiles, in milliseconds by default."""
    values = unit * np.asarray(values)
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{digits(middle)} ± {digits((high - low) / 2, 1)}"


def digits(number, n=3):
    """The number with n digits that count, and no exponent."""
    if number == 0 or not np.isfinite(number):
        return str(number)
    places = n - 1 - int(np.floor(np.log10(abs(number))))
    return f"{round(number, places):,.{max(places, 0)}f}"


def picture_of_curves(curves, x_label, y_label):
    """Lines in logarithmic axes, from a dict of pairs (x, y)."""
    figure = Figure(figsize=(7, 4.5))
    axes = figure.subplots()
    for i, (name, (x, y)) in enumerate(curves.items()):
        axes.plot(
            x,
            y,
            marker=MARKERS[i % len(MARKERS)],
            color=COLOURS[i % len(COLOURS)],
            linewidth=2.5 if i == 0 else 1,
            markersize=5,
            zorder=3 if i == 0 else 2,
            label=name,
        )
    axes.set(xscale="log", yscale="log", xlabel=x_label, ylabel=y_label)
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def picture_of_points(rows, x_label, reference):
    """Points in a logarithmic axis, a line of them for each row.

    Parameters
    ----------
    rows : dict of dicts
        Numbers by the name of the row and the name of the point.
    x_label : str
    reference : float
        Where a grey line is drawn.
    """
    figure = Figure(figsize=(9, 0.8 + 0.35 * len(rows)))
    axes = figure.subplots()
    names = list(dict.fromkeys(name for points in rows.values() for name in points))
    for i, name in enumerate(names):
        heights = [h for h, points in enumerate(rows.values()) if name in points]
        axes.plot(
            [points[name] for points in rows.values() if name in points],
            heights,
            MARKERS[i % len(MARKERS)],
            color=COLOURS[i % len(COLOURS)],
            label=name,
            markersize=9 if i == 0 else 6,
            zorder=3 if i == 0 else 2,
        )
    axes.axvline(reference, color="grey", linewidth=1)
    axes.set(xscale="log", xlabel=x_label)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def processor():
    """The name of the processor, if the system has it."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    names = re.findall(r"model name\s*:\s*(.*)", text)
    return f"{len(names)} x {names[0]}" if names else platform.machine()


def circumstances(effort, peers=()):
    """A paragraph with date, machine and versions; names of what is absent."""
    present = [peer for peer in peers if peer.is_available()]
    absent = sorted({peer.name for peer in peers} - {peer.name for peer in present})
    versions = {name: version(name) for name in ("numpy", "scipy", "scikit-learn")}
    versions |= {peer.distribution: peer.version() for peer in present}
    listed = ", ".join(f"{name} {number}" for name, number in versions.items())
    text = (
        f"Measured on {time.strftime('%Y-%m-%d')} in one {effort.name} run, on "
        f"{processor()}, with Python {platform.python_version()}, {listed}."
    )
    if absent:
        text += f" Not installed, and therefore left out: {', '.join(absent)}."
    return text
