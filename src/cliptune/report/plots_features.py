"""t-SNE of image features, before and after side by side."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cliptune.report import plots, theme, words

SEED = 0


def embed(features: np.ndarray, perplexity: int) -> np.ndarray:
    """t-SNE coordinates [n 2] by cosine distance, from a fixed seed."""
    from sklearn.manifold import TSNE

    return TSNE(perplexity=perplexity, metric="cosine", init="pca", random_state=SEED).fit_transform(features)


@theme.themed
def two_panels(
    before: np.ndarray, after: np.ndarray, labels: np.ndarray, classes: Sequence[str], perplexity: int
) -> Figure:
    """Colour, marker and a name in their midst tell the class; features [n d], labels int [n]."""
    figure = Figure(figsize=(plots.WIDE, 4.9), layout="constrained")
    panels = figure.subplots(1, 2)
    for ax, features, title in zip(panels, (before, after), ("before", "after")):
        at = embed(features, perplexity)
        for index, name in enumerate(words.distinct(classes, 22)):
            mine, look = labels == index, theme.series(index) | {"linestyle": "none"}
            ax.plot(*at[mine].T, label=name, markersize=3.6, alpha=0.6, markeredgewidth=0, **look)
            ax.text(*np.median(at[mine], axis=0), name, fontsize=8, fontweight="bold", ha="center", va="center")
        ax.set_title(title)
        ax.set(xticks=[], yticks=[], xlabel="t-SNE 1 (no unit)", ylabel="t-SNE 2 (no unit)")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=5, markerscale=2)
    return figure
