"""The papers' values beside ours: found, compared only like with like, drawn hollow."""

import pytest

from cliptune import published
from cliptune.datasets.facts import facts_of
from cliptune.errors import UserError
from cliptune.report import papers, plots_compare
from cliptune.report.compare import groups, name_all
from tests.unit.test_report_compare import record

DORA = {"dora": ("CLIP-DoRA table 1", "CLIP-DoRA")}
N = facts_of("eurosat").counts[2]


def paper(**wanted) -> float:
    [value] = [
        each.value / 100 for each in published.results() if all(getattr(each, key) == it for key, it in wanted.items())
    ]
    return value


EUROSAT_4 = paper(source="CLIP-DoRA table 1", method="CLIP-DoRA", dataset="EuroSAT", shots="4")


def eurosat(accuracy=0.75, *, n=N, model="vit-b-16", data="eurosat", split="published", **run):
    run = {"method": "dora", "shots": 4} | run
    test = {"accuracy": accuracy, "n": n}
    found = record("1110", metrics={"test": test}, model={"name": model, "sha256": "m"}, data=data, **run)
    found.run["data"]["split"] = split
    return found


def rows(*records, reported=DORA):
    return papers.beside_papers(name_all(list(records))[0], reported)


class TestRows:
    def test_like_with_like(self):
        [row] = rows(eurosat(0.75, seed=1), eurosat(0.85, seed=2))
        assert row["accuracy"] == pytest.approx(0.8)
        assert row["deviation"] == pytest.approx(0.1 / 2**0.5)
        assert row["paper"] == EUROSAT_4
        assert row["comparable"]
        assert row["difference"] == pytest.approx(0.8 - EUROSAT_4)
        assert (row["paper_data"], row["paper_backbone"], row["paper_shots"]) == ("EuroSAT", "ViT-B/16", "4")

    def test_a_hub_id_is_the_same_backbone(self):
        [row] = rows(eurosat(model="openai/clip-vit-base-patch16"))
        assert row["comparable"]
        same = eurosat()
        same.run["model"] |= {"name": "my clip", "source": "openai/clip-vit-base-patch16"}
        [row] = rows(same)
        assert row["comparable"]

    @pytest.mark.parametrize(
        ("other", "reason"),
        [
            ({"model": "mini"}, "backbone: the paper's is ViT-B/16"),
            ({"n": 200}, f"test images: 200 of the published {N:,}"),
            ({"shots": 3}, "shots: the paper's are "),
            ({"split": "made here, seed 7"}, "split: made here, seed 7"),
            ({"data": "digits"}, "data: the paper's is Average"),
            ({"protocol": "full-data"}, "protocol: the paper's is few-shot"),
        ],
    )
    def test_never_a_difference_of_unlike_things(self, other, reason):
        [row] = rows(eurosat(**other))
        assert row["difference"] is None
        assert not row["comparable"]
        assert reason in row["unlike"]
        assert row["paper"] is not None
        text = [cell.text for cell in papers.papers_table([row]).cells[0]]
        assert text[-1].startswith("not comparable (")
        assert text[-3] == ""

    def test_the_backbone_chooses_among_tables_of_several(self):
        reported = {"dora": ("CLIP-DoRA table 2", "CLIP-DoRA")}
        [row] = rows(eurosat(model="vit-l-14", shots=16), reported=reported)
        large = paper(
            source="CLIP-DoRA table 2", method="CLIP-DoRA", dataset="EuroSAT", shots="16", backbone="ViT-L/14"
        )
        assert (row["paper"], row["comparable"]) == (large, True)

    def test_base_novel_and_their_harmonic_mean(self):
        metrics = {name: {"accuracy": value, "n": 5} for name, value in (("base", 0.9), ("novel", 0.7))}
        found = eurosat(method="ast", protocol="base-to-novel", shots=16)
        found.run["metrics"] = metrics | {"harmonic_mean": 0.7875}
        told = rows(found, reported={"ast": ("CLIP-AST table 2", "CLIP-AST")})
        assert [row["test"] for row in told] == ["base", "novel", "harmonic mean"]
        for row, metric in zip(told, ("base top1", "novel top1", "harmonic mean")):
            wanted = {"source": "CLIP-AST table 2", "method": "CLIP-AST", "dataset": "EuroSAT"}
            assert row["paper"] == paper(metric=metric, **wanted)
            assert row["comparable"]

    def test_a_test_set_of_its_own(self):
        found = eurosat(data="imagenet", method="ast", protocol="out-of-distribution", shots=16)
        found.run["tests"] = {"imagenet_v2": {"data": "imagenet_v2"}}
        found.run["metrics"] = {"imagenet_v2": {"accuracy": 0.6, "n": 10_000}}
        [row] = rows(found, reported={"ast": ("CLIP-AST table 3", "CLIP-AST")})
        assert row["paper_data"] == "ImageNetV2"
        assert row["comparable"], row["unlike"]

    def test_zero_shot_has_no_shots(self):
        [row] = rows(eurosat(method="zero_shot"), reported={"zero_shot": ("CLIP-DoRA table 1", "CLIP (Zero-shot)")})
        assert row["comparable"], row["unlike"]
        assert row["paper"] == 0.475

    def test_other_labels_are_left_out(self):
        assert rows(eurosat(method="lora")) == []

    @pytest.mark.parametrize(
        ("reported", "fix"),
        [(("CLIP-DoRA table 1", "CLIP-DORA"), "CLIP-DoRA"), (("no paper", "x"), "CLIP-AST table 1")],
    )
    def test_a_name_nobody_published_is_refused(self, reported, fix):
        with pytest.raises(UserError, match="nothing was published") as refused:
            rows(eurosat(), reported={"dora": reported})
        assert fix in refused.value.fix


def test_hollow_markers_are_the_comparable_ones():
    runs = name_all([eurosat(shots=1), eurosat(shots=4), eurosat(shots=16, n=10)])[0]
    beside = papers.beside_papers(runs, DORA)
    figure = plots_compare.accuracy_by_shots(groups(runs), {"dora": 0}, beside)
    [hollow] = [line for line in figure.axes[0].lines if line.get_label() == "CLIP-DoRA, the paper's"]
    assert list(hollow.get_xdata()) == [1, 4]
    assert list(hollow.get_ydata()) == pytest.approx([100 * row["paper"] for row in beside[:2]])
    assert hollow.get_markerfacecolor() == "#ffffff"
    plain = plots_compare.accuracy_by_shots(groups(runs), {"dora": 0})
    assert len(plain.axes[0].lines) == len(figure.axes[0].lines) - 1
