"""How often a comparison says "ahead": simulated predictions, judged by the report's own functions.

    python benchmarks/verdicts.py [--times 800] [--write]

Every method has the accuracy 90 % on 1,000 test images and differs from every other on 6 % of them; on top of that
each draw of training images moves each method by chance, so that two methods' difference has the standard deviation
"spread" over draws. Without any true difference nothing may be called ahead in more than 5 % of the tables (7 % with
what the repetitions leave open); with one method 2 points better, how often is that seen? The same seeds give the same
numbers. --write puts the tables into docs/decisions/0016-ahead-over-draws.md.
"""

import argparse
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri
from scipy.stats import multivariate_normal

from cliptune.report.compare import Cell, Named, Place
from cliptune.report.pairs import Pairs, corrected, means
from cliptune.report.read import Predictions, Record
from cliptune.report.ties import standings
from cliptune.report.verdict import of_several

DECISION = Path(__file__).parents[1] / "docs" / "decisions" / "0016-ahead-over-draws.md"
MARK = "<!-- benchmarks/verdicts.py --write -->"
IMAGES, ACCURACY, DISCORDANT = 1000, 0.9, 0.06
SPREADS = (0.0, 0.5, 1.0, 1.5, 2.0)
"""points"""
PLACE = Place("simulated", "mini", "few-shot")
PATHS = tuple(f"{index:04d}.png" for index in range(IMAGES))
TRUTH = ("a",) * IMAGES
SCORES = np.full(IMAGES, 0.9)


class Setting(NamedTuple):
    """What is simulated."""

    methods: int = 2
    draws: int = 3
    shots: tuple[int, ...] = (4,)
    lasting: float = 0.5
    """share of the variance between two methods on an image that is the same in every draw"""
    uneven: float = 1.0
    """how many times the others' spread the first method's is"""
    by_seed: float = 0.0
    """share of the spread over draws that all numbers of shots of a seed have in common"""
    untrained: bool = False
    """the last method trains nothing: one run, which no draw moves; a draw also moves all others together, as far as
    each alone, and an image is as hard in every draw"""

    def __str__(self) -> str:
        told = [f"{self.methods} methods", f"{len(self.shots)} × shots" if len(self.shots) > 1 else ""]
        told += [f"images {100 * self.lasting:.0f} % lasting" if self.lasting != 0.5 else ""]
        told += [f"one spreads {self.uneven:g} times as far" if self.uneven != 1 else ""]
        told += [f"spread {100 * self.by_seed:.0f} % the seed's" if self.by_seed else ""]
        told += ["one trains nothing" if self.untrained else ""]
        return ", ".join(text for text in told if text)


SETTINGS = (
    Setting(lasting=0.0),
    Setting(lasting=1.0),
    Setting(shots=(1, 4, 16)),
    Setting(shots=(1, 4, 16), by_seed=1.0),
    Setting(methods=4),
    Setting(methods=4, uneven=3.0),
    Setting(methods=4, shots=(1, 4, 16)),
    Setting(methods=8),
    Setting(untrained=True),
    Setting(methods=4, untrained=True),
    Setting(shots=(1, 4, 16), untrained=True),
)
SEEN = (
    Setting(lasting=0.0),
    Setting(lasting=1.0),
    Setting(shots=(1, 4, 16)),
    Setting(methods=4),
    Setting(methods=8),
    Setting(untrained=True),
    Setting(methods=4, untrained=True),
)
"""of which it is told how often a true difference is seen"""


@cache
def alike() -> float:
    """The correlation of two methods' answers at which they differ on `DISCORDANT` of the images."""
    edge = ndtri(ACCURACY)

    def excess(correlation: float) -> float:
        both = multivariate_normal.cdf([edge, edge], cov=[[1, correlation], [correlation, 1]])
        return 2 * (ACCURACY - both) - DISCORDANT

    return brentq(excess, 0.5, 0.999)


def simulated(setting: Setting, spread: float, lead: float, generator: np.random.Generator) -> list[Named]:
    """Runs of every method, number of shots and seed.

    Args:
        spread: standard deviation over draws of two methods' true difference, points.
        lead: by how many points the first method is truly better.
    """
    methods, shots, draws = setting.methods, len(setting.shots), setting.draws
    shared, own = alike(), 1 - alike()
    alone = (1, 1) if setting.untrained else (shots, draws)
    answer = np.sqrt(shared) * generator.standard_normal((IMAGES, 1, *alone))
    answer = answer + np.sqrt(own * setting.lasting) * generator.standard_normal((IMAGES, methods, 1, 1))
    answer = answer + np.sqrt(own * (1 - setting.lasting)) * generator.standard_normal((IMAGES, methods, shots, draws))
    moved = np.sqrt(1 - setting.by_seed) * generator.standard_normal((methods, shots, draws))
    moved += np.sqrt(setting.by_seed) * generator.standard_normal((methods, 1, draws))
    moved[0] *= setting.uneven
    if setting.untrained:
        answer[:, -1] = answer[:, -1, :1, :1]
        moved += generator.standard_normal((1, shots, draws))
        moved[-1] = 0
    accuracy = ACCURACY + moved * spread / 100 / np.sqrt(2)
    accuracy[0] += lead / 100
    correct = answer < ndtri(np.clip(accuracy, 0.01, 0.999))
    trained = [not setting.untrained or method < methods - 1 for method in range(methods)]
    return [
        Named(f"method {method}", Cell(PLACE, count, seed), _run(correct[:, method, shot, seed], count, seed, trains))
        for method, trains in enumerate(trained)
        for shot, count in enumerate(setting.shots)
        for seed in range(draws if trains else 1)
    ]


def _run(correct: np.ndarray, shots: int, seed: int, trained: bool) -> Record:
    guesses = tuple(np.where(correct, "a", "b").tolist())
    run = {
        "metrics": {"test": {"accuracy": float(correct.mean()), "n": IMAGES}},
        "data": {"name": PLACE.data, "episode_sha256": f"{shots}-{seed}"},
        "shots": shots,
        "seed": seed,
        "trainable_parameters": 4096 if trained else 0,
    }
    return Record(Path(), run, (), Predictions(PATHS, TRUTH, guesses, SCORES))


class Said(NamedTuple):
    """What a comparison of simulated runs says."""

    verdict: bool
    """whether the sentence at the top says that a method is ahead"""
    column: bool
    """whether the column beside the best calls any method ahead or behind, at any number of shots"""


def said(runs: Sequence[Named]) -> Said:
    verdict = of_several(runs, Pairs(means=corrected(means(runs))))
    column = any(standing.alone or standing.behind for standing in standings(runs).values())
    return Said(verdict.kind == "gain", column)


def shares(setting: Setting, spread: float, lead: float, times: int) -> Said:
    """In which share of `times` repetitions each is said."""
    key = [setting.methods, setting.draws, len(setting.shots), round(100 * setting.lasting)]
    key += [round(setting.uneven), round(setting.by_seed), round(10 * spread), round(10 * lead)]
    generator = np.random.default_rng([*key, 1] if setting.untrained else key)
    told = [said(simulated(setting, spread, lead, generator)) for _ in range(times)]
    return Said(*np.mean(told, axis=0).tolist())


def rows(settings: Sequence[Setting], lead: float, times: int) -> Iterator[str]:
    """The lines of a table: in how many of a hundred tables something is called ahead, verdict and column."""
    yield "| simulated | draws | " + " | ".join(f"{spread:g}" for spread in SPREADS) + " |"
    yield "| --- | ---: |" + " ---: |" * len(SPREADS)
    for setting in settings:
        for draws in (3, 5):
            one = setting._replace(draws=draws)
            fewer = max(times // (setting.methods - 1) // len(setting.shots), times // 5)
            found = [shares(one, spread, lead, fewer) for spread in SPREADS]
            cells = [f"{100 * each.verdict:.1f} / {100 * each.column:.1f}" for each in found]
            yield f"| {one} | {draws} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=800, help="repetitions of the smallest tables")
    parser.add_argument("--write", action="store_true", help="into the decision's page")
    given = parser.parse_args()
    tables = (("No true difference", SETTINGS, 0.0), ("One method is truly 2 points better", SEEN, 2.0))
    parts = []
    for title, settings, lead in tables:
        print(f"{title}: said ahead, verdict / column, per cent of tables, by spread over draws in points")
        parts += [f"**{title}.**", ""]
        for line in rows(settings, lead, given.times):
            print(line, flush=True)
            parts.append(line)
        parts.append("")
    if given.write:
        before, _, after = DECISION.read_text("utf-8").split(MARK)
        DECISION.write_text(f"{before}{MARK}\n\n" + "\n".join(parts) + f"\n{MARK}{after}", "utf-8")


if __name__ == "__main__":
    main()
