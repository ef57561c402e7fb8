"""A study in simulation.

    python benchmarks/collect.py

Simulated raters answer from CIFAR-100's matrix (WordNet's path similarity, no lower bound). Of three they leave a pair
together with a probability of exp(similarity / temperature) over the sum of the same for the three pairs, at the
temperature at which two raters agree on two triplets in three, as people do about the things of Hebart et al. (2020). A
rating is the similarity on the scale from 1 to 7 with normal noise of standard deviation 1. After so many answers the
matrix is built, and Spearman's correlation with the truth over all pairs is taken.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from measure import RESULTS, table, write_result
from scipy.stats import spearmanr

import simmatrix
from simmatrix.builders.completion import complete
from simmatrix.builders.ordinal import embed, expected_shares
from simmatrix.web.questions import best_triplets

TEMPERATURE = 0.016
SEEDS = (1, 2, 3)
FIRST, MOST = 300, {"random": 10_000, "active": 3_500}
# The last two were added after the first run, where the curves part; docs/collect.md says so.
WANTED = (0.7, 0.75, 0.8, 0.85, 0.875, 0.88, 0.883)
RATINGS = (500, 1000, 2000, 3000, 4000, 4950, 7500, 10_000)

Curve = list[tuple[int, float]]


def truth() -> np.ndarray:
    """Return CIFAR-100's matrix."""
    return np.asarray(simmatrix.from_wordnet("cifar100", lower_bound=0.0).values, dtype=np.float64)


def rho(values: np.ndarray, wanted: np.ndarray) -> float:
    """Return Spearman's correlation over pairs of distinct classes."""
    pairs = np.triu_indices(len(wanted), 1)
    return float(spearmanr(values[pairs], wanted[pairs]).statistic)


def any_triplets(count: int, number: int, random: np.random.Generator) -> np.ndarray:
    """Draw triplets of distinct classes."""
    return np.argsort(random.random((number, count)), axis=1)[:, :3]


def answered(wanted: np.ndarray, three: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return triplets with the odd one last."""
    others = three[:, [[1, 2], [0, 2], [0, 1]]]
    noise = random.gumbel(size=(len(three), 3))
    left = np.argmax(wanted[others[..., 0], others[..., 1]] / TEMPERATURE + noise, axis=1)
    rows = np.arange(len(three))
    return np.column_stack([others[rows, left], three[rows, left]])


def triplet_curve(wanted: np.ndarray, method: str, seed: int) -> Curve:
    """Return the correlation after so many answers; batches are those of `simmatrix.web.questions`."""
    count, random, curve = len(wanted), np.random.default_rng(seed), Curve()
    known = answered(wanted, any_triplets(count, FIRST, random), random)
    while True:
        curve.append((len(known), rho(expected_shares(embed(known, count).points), wanted)))
        if len(known) >= MOST[method]:
            return curve
        if method == "active":
            number = max(2 * count, len(known) // 10)
            three = best_triplets(known, count, number, len(known))
        else:
            # Random questions do not depend on the answers: how often a matrix is built changes nothing.
            three = any_triplets(count, max(2 * count, len(known) // 4), random)
        known = np.concatenate([known, answered(wanted, three, random)])


def rating_curve(wanted: np.ndarray, method: str, seed: int) -> tuple[Curve, float]:
    """Return the correlation after so many ratings, and the share of pairs rated after as many as there are pairs."""
    count, random, curve = len(wanted), np.random.default_rng(seed), Curve()
    pairs = np.triu_indices(count, 1)
    similar = wanted[pairs]
    place = (similar - similar.min()) / np.ptp(similar)
    # In rounds each pair is asked as often as any other: the fewest answers first.
    rounds = [random.permutation(len(similar)) for _ in range(RATINGS[-1] // len(similar) + 1)]
    asked = np.concatenate(rounds) if method == "active" else random.integers(0, len(similar), RATINGS[-1])
    ratings = np.clip(np.round(1 + 6 * place[asked] + random.normal(size=len(asked))), 1, 7)
    for number in RATINGS:
        times = np.bincount(asked[:number], minlength=len(similar))
        with np.errstate(invalid="ignore"):
            means = np.bincount(asked[:number], ratings[:number], minlength=len(similar)) / times
        values = np.full((count, count), 7.0)
        values[pairs] = values.T[pairs] = means
        curve.append((number, rho(complete(values, "low-rank") if np.isnan(means).any() else values, wanted)))
    return curve, float(np.mean(np.bincount(asked[: len(similar)], minlength=len(similar)) > 0))


def needed(curves: list[Curve], level: float) -> float:
    """Return after how many answers the mean curve first reaches a correlation and stays there; NaN if it does not."""
    answers = np.array([number for number, _ in curves[0]])
    mean = np.mean([[value for _, value in curve] for curve in curves], axis=0)
    below = np.flatnonzero(mean < level)
    at = int(below[-1]) + 1 if len(below) else 0
    if at == len(mean):
        return float("nan")
    if at == 0:
        return float(answers[0])
    return float(np.interp(level, mean[at - 1 : at + 1], answers[at - 1 : at + 1]))


def draw(curves: dict[str, list[Curve]], path: Path) -> None:
    """Draw the correlation over the number of answers, a thin line for each seed and a thick one for their mean."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for method, colour in (("random", "#7f6000"), ("active", "#0b57a4")):
        answers = [number for number, _ in curves[method][0]]
        values = np.array([[value for _, value in curve] for curve in curves[method]])
        axes.plot(answers, values.T, color=colour, linewidth=0.6, alpha=0.6)
        axes.plot(answers, values.mean(axis=0), color=colour, linewidth=2, label=method)
    axes.set(xlabel="answers", ylabel="Spearman's rho with the truth", ylim=(0.4, 1))
    axes.grid(alpha=0.3)
    axes.legend(title="questions")
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main() -> None:
    """Simulate studies of triplets and of ratings, and write the tables and the plot."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    wanted = truth()
    names = ("active", "random")
    with ProcessPoolExecutor(2) as workers:
        jobs = {name: [workers.submit(triplet_curve, wanted, name, seed) for seed in SEEDS] for name in names}
        rated_jobs = {name: [workers.submit(rating_curve, wanted, name, seed) for seed in SEEDS] for name in names}
        curves = {name: [job.result() for job in jobs[name]] for name in names}
        ratings = {name: [job.result() for job in rated_jobs[name]] for name in names}
    draw(curves, RESULTS / "collect.png")
    rows = []
    for level in WANTED:
        by_chance, chosen = needed(curves["random"], level), needed(curves["active"], level)
        rows.append([f"{level:g}", f"{by_chance:,.0f}", f"{chosen:,.0f}", f"{chosen / by_chance:.0%}"])
    triplets = table(["rho", "random", "active", "active of random"], rows)

    def mean(name: str, at: int) -> str:
        return f"{np.mean([curve[at][1] for curve, _ in ratings[name]]):.3f}"

    rated = table(
        ["ratings", "random", "active"],
        [[f"{n:,}", mean("random", at), mean("active", at)] for at, n in enumerate(RATINGS)],
    )
    covered = {name: np.mean([share for _, share in found]) for name, found in ratings.items()}
    body = (
        f"Answers about triplets until the matrix has a correlation with the truth (mean of {len(SEEDS)} studies):\n\n"
        f"{triplets}\n\nThe correlation after so many ratings of pairs, gaps completed by `low-rank`:\n\n{rated}\n\n"
        f"After as many ratings as there are pairs, random questions have rated {covered['random']:.0%} of the pairs, "
        f"and active ones {covered['active']:.0%}."
    )
    write_result("collect", "python benchmarks/collect.py", body)


if __name__ == "__main__":
    main()
