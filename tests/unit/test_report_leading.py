"""What leads a page: harmonic mean, mean over classes or accuracy; chance; remarks."""

import csv
import json

import numpy as np
import pytest

from cliptune.cli.progress import forgotten_lines, leading_again, leading_lines
from cliptune.cli.seeds import lost, together
from cliptune.notebook import of_run
from cliptune.report import answer, one_run, resampled
from cliptune.report.card import model_card
from cliptune.report.leading import beside_chance, chance_of, is_unequal, leading, scores
from cliptune.report.read import Record, measure, read_record
from cliptune.report.remarks import remarks
from cliptune.report.tables import retention
from cliptune.runs import Run
from cliptune.statistics import wilson
from cliptune.studies.pool import headline
from tests.unit.report_runs import write_run


def scored(labels, guesses):
    """A measured test: what run.json says, and the rows of its prediction file."""
    right = np.array([label == guess for label, guess in zip(labels, guesses)])
    names = list(dict.fromkeys(labels))
    per_class = {}
    for name in names:
        of_class = np.array([label == name for label in labels])
        per_class[name] = {"accuracy": float(right[of_class].mean()), "n": int(of_class.sum())}
    found = {
        "accuracy": float(right.mean()),
        "n": len(labels),
        "interval": wilson(float(right.mean()), len(labels)),
        "macro_accuracy": float(np.mean([each["accuracy"] for each in per_class.values()])),
        "per_class": per_class,
    }
    rows = [(f"image{i}.png", label, guess, 0.5, guess) for i, (label, guess) in enumerate(zip(labels, guesses))]
    return found, rows


def write_predictions(path, rows):
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        written = csv.writer(file)
        written.writerow(["path", "label", "prediction", "score", "top5"])
        written.writerows(rows)


def answers(n, right):
    """Labels of two classes, and guesses of which `right` are so."""
    labels = [("a", "b")[i % 2] for i in range(n)]
    other = {"a": "b", "b": "a"}
    return labels, [label if i < right else other[label] for i, label in enumerate(labels)]


def halves_run(folder, base, novel, n=200):
    """A base-to-novel run: right answers before and after, of `n` images a half."""
    folder = write_run(folder, classes=("a", "b"), steps=1, gallery=False, retention=False)
    told, before = {}, {}
    for name, (was, now) in {"base": base, "novel": novel}.items():
        before[name], rows_before = scored(*answers(n, was))
        told[name], rows = scored(*answers(n, now))
        places = ("", "") if name == "base" else ("predictions/", "zero_shot_predictions/")
        files = ("predictions.csv", "zero_shot_predictions.csv") if name == "base" else ("novel.csv", "novel.csv")
        write_predictions(folder / f"{places[0]}{files[0]}", rows)
        write_predictions(folder / f"{places[1]}{files[1]}", rows_before)
    for found in (told, before):
        first, second = found["base"]["accuracy"], found["novel"]["accuracy"]
        found["harmonic_mean"] = 2 * first * second / (first + second)
    run = json.loads((folder / "run.json").read_text())
    tests = {name: {"data": "digits", "classes": 5, "images": n} for name in ("base", "novel")}
    run |= {"protocol": "base-to-novel", "metrics": told | {"zero_shot": before}, "tests": tests}
    (folder / "run.json").write_text(json.dumps(run))
    return folder


def unequal_run(folder, zero_shot, after):
    """A run on 200 images of 'plain' and 20 of 'rare': right answers of each, before and after."""
    folder = write_run(folder, classes=("plain", "rare"), steps=1, gallery=False, retention=False)
    labels = ["plain"] * 200 + ["rare"] * 20
    other = {"plain": "rare", "rare": "plain"}
    metrics = {}
    for key, file, (plain, rare) in (
        ("test", "predictions.csv", after),
        ("zero_shot", "zero_shot_predictions.csv", zero_shot),
    ):
        right = [i < plain for i in range(200)] + [i < rare for i in range(20)]
        metrics[key], rows = scored(labels, [label if good else other[label] for label, good in zip(labels, right)])
        write_predictions(folder / file, rows)
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(run | {"metrics": metrics}))
    return folder


class TestBaseToNovel:
    def page(self, folder):
        return one_run.page_of(read_record(folder))

    def test_the_harmonic_mean_leads_and_both_halves_follow(self, tmp_path):
        page = self.page(halves_run(tmp_path / "run", base=(60, 160), novel=(120, 80)))
        tiles = {tile.name: (tile.value, tile.beside) for tile in page.tiles}
        assert list(tiles)[:3] == ["harmonic mean", "base", "novel"]
        assert tiles["harmonic mean"] == ("53.3 %", "zero-shot 40.0 %, +13.3 points")
        assert tiles["base"] == ("80.0 %", "zero-shot 30.0 %, +50.0 points")
        assert tiles["novel"] == ("40.0 %", "zero-shot 60.0 %, −20.0 points")

    def test_novel_classes_lost_is_no_gain(self, tmp_path):
        verdict = self.page(halves_run(tmp_path / "run", base=(60, 160), novel=(120, 80))).verdict
        assert verdict.kind == "even"
        assert verdict.lead == "Base classes gained, novel classes lost."
        text = " ".join(verdict.sentences)
        assert text.startswith("Harmonic mean of base and novel 53.3 %, zero-shot 40.0 %: +13.3 points (95 % ")
        assert "Novel classes: 60.0 % → 40.0 % (−20.0 points; 0 images fixed, 40 broken, p < 0.001)." in text

    def test_a_loss_within_the_noise_is_no_gain_either(self, tmp_path):
        verdict = self.page(halves_run(tmp_path / "run", base=(60, 160), novel=(120, 118))).verdict
        assert verdict.kind == "even"
        assert verdict.lead == "Base classes gained; novel classes fell, but the loss is within chance."

    def test_nothing_is_said_of_what_no_test_is_sure_of(self, tmp_path):
        verdict = self.page(halves_run(tmp_path / "run", base=(60, 61), novel=(120, 119))).verdict
        assert (verdict.kind, verdict.lead) == ("even", "No difference that this test can tell from chance.")

    def test_both_gained(self, tmp_path):
        assert self.page(halves_run(tmp_path / "run", base=(60, 160), novel=(80, 120))).verdict.kind == "gain"

    def test_both_lost(self, tmp_path):
        assert self.page(halves_run(tmp_path / "run", base=(160, 60), novel=(120, 80))).verdict.kind == "loss"

    def test_without_files_of_the_novel_half_nothing_is_claimed(self, tmp_path):
        folder = halves_run(tmp_path / "run", base=(60, 160), novel=(80, 120))
        (folder / "predictions" / "novel.csv").unlink()
        verdict = self.page(folder).verdict
        assert verdict.kind == "unknown"
        assert verdict.lead == "Without predictions of both halves nothing is tested."
        assert "No paired test of the harmonic mean" in " ".join(verdict.sentences)

    def test_chance_of_both(self, tmp_path):
        lead = leading(read_record(halves_run(tmp_path / "run", base=(60, 160), novel=(80, 120))))
        assert lead.chance == pytest.approx(0.2)


class TestUnequalClasses:
    @pytest.mark.parametrize(
        ("sizes", "said"), [((100, 100), False), ((100, 70), False), ((100, 66), True), ((5,), False), ((70, 30), True)]
    )
    def test_rule(self, sizes, said):
        classes = {str(index): {"accuracy": 0.5, "n": n} for index, n in enumerate(sizes)}
        found = measure("test", {"accuracy": 0.5, "n": sum(sizes), "per_class": classes})
        assert is_unequal(found) is said

    def test_the_mean_over_classes_leads_beside_accuracy(self, tmp_path):
        page = one_run.page_of(read_record(unequal_run(tmp_path / "run", zero_shot=(196, 2), after=(176, 16))))
        tiles = {tile.name: (tile.value, tile.beside) for tile in page.tiles}
        assert tiles["mean over classes, after"][0] == "84.0 %"
        assert tiles["mean over classes, zero-shot"] == ("54.0 %", "at chance (50.0 %)")
        assert tiles["gain, points"][0] == "+30.0"
        assert tiles["accuracy, after"][0] == "87.3 %"
        assert page.verdict.kind == "gain"
        text = " ".join(page.verdict.sentences)
        assert text.startswith("Mean over classes 84.0 %, zero-shot 54.0 %: +30.0 points (95 % ")
        assert "unequal (20 to 200 images a class)" in text
        assert "Always answering 'plain' would give an accuracy of 90.9 %." in text
        assert "zero-shot is at chance (mean over classes 54.0 %, accuracy 90.0 %; guessing among 2 classes" in text

    def test_opposite_answers_are_told(self, tmp_path):
        verdict = one_run.page_of(read_record(unequal_run(tmp_path / "run", (196, 2), (150, 16)))).verdict
        assert verdict.kind == "even"
        assert verdict.lead == "It depends on what counts: the mean over classes rose, the accuracy fell."

    def test_equal_classes_keep_accuracy(self, tmp_path):
        folder = write_run(tmp_path / "run", steps=1, gallery=False)
        assert leading(read_record(folder)).kind == "accuracy"
        assert [tile.name for tile in one_run.page_of(read_record(folder)).tiles][:3] == [
            "after",
            "zero-shot",
            "gain, points",
        ]


class TestIntervals:
    def test_of_a_harmonic_mean(self):
        # Two halves of 4,000 images each, right in half of them before and in 80 % after: the harmonic mean moves
        # from 0.5 to 0.8, and its standard error is that of the mean of both halves, sqrt(p (1 − p) / 8000).
        draw = np.random.default_rng(0)
        halves = [(draw.random(4000) < 0.5, draw.random(4000) < 0.8) for _ in range(2)]
        found = resampled.harmonic_mean(halves)
        reached = [after.mean() for _, after in halves]
        middle = 2 * reached[0] * reached[1] / sum(reached)
        error = 1.96 * np.sqrt(0.8 * 0.2 / 8000)
        assert found.after == pytest.approx((middle - error, middle + error), abs=0.002)  # 2,000 resamples
        assert found.difference[0] > 0.27

    def test_of_a_mean_over_classes(self):
        labels = ["many"] * 4000 + ["few"] * 100
        after = np.array([i % 2 == 0 for i in range(4100)])
        found = resampled.class_mean(labels, ~after, after)
        error = 1.96 * np.sqrt(0.25 / 4000 + 0.25 / 100) / 2
        assert found.after == pytest.approx((0.5 - error, 0.5 + error), abs=0.006)

    def test_one_image_of_a_small_class_is_no_gain(self):
        """Classes of 1, 1, 1 and 2 images, one of them fixed: a quarter of the mean over classes, and chance."""
        before, after = (np.array(right, dtype=bool) for right in ([0, 1, 1, 1, 1], [1, 1, 1, 1, 1]))
        found = resampled.class_mean(["a", "b", "c", "d", "d"], before, after).difference
        assert found[0] < 0 < 0.25 < found[1]

    def test_scores_have_the_leading_numbers_as_their_means(self, tmp_path):
        for name, run in (
            ("halves", halves_run(tmp_path / "halves", base=(60, 160), novel=(120, 80))),
            ("unequal", unequal_run(tmp_path / "unequal", (150, 5), (120, 15))),
        ):
            record = read_record(run)
            found = scores(record)
            assert found is not None
            assert found.values.mean() == pytest.approx(leading(record).after, abs=1e-12), name
            assert len(found.paths) == len(set(found.paths)) == len(found.values) == len(found.right)

    def test_a_harmonic_mean_s_scores_move_as_it_does(self, tmp_path):
        """Their standard error beside that of the harmonic mean over resampled test images."""
        found = scores(read_record(halves_run(tmp_path / "run", base=(60, 160), novel=(120, 80))))
        assert found is not None
        base, novel = found.right[:200], found.right[200:]
        values = found.values[:200], found.values[200:]
        error = np.sqrt(sum(part.var(ddof=1) * 200 for part in values)) / 400
        low, high = resampled.harmonic_mean([(~part.astype(bool), part.astype(bool)) for part in (base, novel)]).after
        assert error == pytest.approx((high - low) / 2 / 1.96, rel=0.05)  # 2,000 resamples

    def test_no_right_answer_at_all(self):
        nothing = np.zeros(10, dtype=bool)
        assert resampled.harmonic_mean([(nothing, nothing), (nothing, nothing)]).after == (0.0, 0.0)


class TestChance:
    @pytest.mark.parametrize(
        ("accuracy", "classes", "said"),
        [(0.082, 7, "below chance"), (0.15, 7, "at chance"), (0.25, 7, ""), (0.5, 2, "at chance"), (0.9, 2, "")],
    )
    def test_beside(self, accuracy, classes, said):
        assert beside_chance(measure("test", {"accuracy": accuracy, "n": 840}), 1 / classes) == said

    def test_of_a_record_without_tests(self, tmp_path):
        record = read_record(write_run(tmp_path / "run", steps=1, gallery=False))
        assert chance_of(record) == pytest.approx(0.1)

    def test_a_run_at_chance_says_so_on_its_page(self, tmp_path):
        folder = write_run(tmp_path / "run", before=0.08, after=0.6, steps=1, gallery=False)
        page = one_run.page_of(read_record(folder))
        assert "at chance (10.0 %)" in page.tiles[1].beside or "below chance (10.0 %)" in page.tiles[1].beside
        assert any("guessing among 10 classes reaches 10.0 %" in text for text in page.verdict.sentences)


class TestRemarks:
    def record(self, tmp_path, classes, data):
        run = {
            "data": {"classes": list(classes), "template": "a photo of a {}."},
            "recipe": {"data": {"name": data}},
            "metrics": {"test": {"accuracy": 0.9, "n": 100}, "zero_shot": {"accuracy": 0.8, "n": 100}},
        }
        return Record(tmp_path, run)

    def test_codes_of_own_folders(self, tmp_path):
        [found] = remarks(self.record(tmp_path, ("aGrass", "bField"), "/home/me/photos"))
        assert "2 of 2 class names are codes" in found.what
        assert "'a photo of a aGrass.'" in found.what
        assert '{"aGrass": "grass", "bField": "field"}' in found.fix

    @pytest.mark.parametrize("data", ["fgvc_aircraft", "digits", ""])
    def test_names_of_published_sets_are_theirs(self, tmp_path, data):
        assert remarks(self.record(tmp_path, ("707-320", "737-200"), data)) == []

    def test_windows_paths_are_paths(self, tmp_path):
        assert remarks(self.record(tmp_path, ("0", "1"), r"C:\photos"))

    def test_what_the_run_noted_of_its_training_is_listed(self, tmp_path):
        noted = {"remarks": [{"what": "below the probe"}, {"what": "the loss stayed", "fix": "longer"}]}
        record = read_record(write_run(tmp_path / "run", steps=1, gallery=False))
        sentences = one_run.page_of(Record(record.folder, dict(record.run) | {"learning": noted})).verdict.sentences
        assert "Note: below the probe." in sentences
        assert "Note: the loss stayed. To do: longer." in sentences


class TestEverywhereElse:
    """Several seeds, a study's lines, Python and the model card begin with what leads, too."""

    @pytest.fixture
    def halves(self, tmp_path):
        reached = ((60, 160), (120, 80)), ((60, 140), (120, 100))
        return [
            Run(halves_run(tmp_path / f"s{seed}", *pair), record=self.told(tmp_path / f"s{seed}"))
            for seed, pair in enumerate(reached)
        ]

    @pytest.fixture
    def unequal(self, tmp_path):
        folder = unequal_run(tmp_path / "run", (196, 2), (176, 16))
        return Run(folder, record=self.told(folder))

    def told(self, folder):
        """run.json with its tests named as a run names them."""
        run = json.loads((folder / "run.json").read_text())
        return run | {"tests": {name: {} for name in ("base", "novel", "test") if name in run["metrics"]}}

    def test_several_seeds_of_base_and_novel(self, halves):
        rows = together(halves)
        assert [row["test"] for row in rows] == ["harmonic mean of base and novel", "base", "novel"]
        assert rows[0]["values"] == pytest.approx([2 * 0.8 * 0.4 / 1.2, 2 * 0.7 * 0.5 / 1.2])
        assert rows[0]["zero_shot"] == pytest.approx(0.4)
        assert lost(rows) == ["novel classes lost 15.0 points"]

    def test_several_seeds_of_unequal_classes(self, unequal):
        rows = together([unequal, unequal])
        assert [row["test"] for row in rows] == ["mean over classes", "test accuracy"]
        assert (rows[0]["mean"], rows[0]["zero_shot"]) == (pytest.approx(0.84), pytest.approx(0.54))
        assert lost(rows) == []

    def test_a_study_s_line(self, halves, unequal):
        assert headline(halves[0].record) == (
            "harmonic mean of base and novel 53.3 %, base 80.0 %, novel 40.0 % (novel classes lost 20.0 points)"
        )
        assert headline(unequal.record) == "mean over classes 84.0 %, test 87.3 %"

    def test_python(self, halves, unequal):
        assert repr(halves[0]).endswith(
            "harmonic mean of base and novel 0.533, base accuracy 0.800, novel accuracy 0.400)"
        )
        assert repr(unequal).endswith("mean over classes 0.840, test accuracy 0.873)")
        assert "<tr><td>mean over classes</td><td>54.0</td><td>84.0</td><td></td><td></td></tr>" in of_run(unequal)

    def test_the_model_card(self, unequal):
        head = next(line for line in model_card(unequal.record).splitlines() if "accuracy |" in line)
        assert head.startswith("| | mean over classes | accuracy |")


class TestForgotten:
    def test_the_rule_for_at_chance_is_that_of_the_tests(self, tmp_path):
        """The interval decides, and below chance counts as well."""
        for before, unknown in ((0.02, True), (0.04, True), (0.05, True), (0.08, False)):
            kept = {"world/shapes": {"n": 600, "before": before, "after": 0.04, "classes": 24}}
            [row] = retention(Record(tmp_path, {"retention": kept}))
            said = beside_chance(measure("before", {"accuracy": before, "n": 600}), 1 / 24)
            assert row["at_chance"] == bool(said) == unknown

    def test_at_chance_nothing_was_forgotten(self, tmp_path):
        kept = {"world/shapes": {"n": 600, "before": 0.04, "after": 0.042, "classes": 24}}
        record = read_record(write_run(tmp_path / "run", steps=1, gallery=False, retention=False))
        record = Record(record.folder, dict(record.run) | {"retention": kept})
        assert answer.forgotten(record) == (
            "What was forgotten cannot be told: on world/shapes the untouched backbone is at chance (4.0 %, guessing "
            "4.2 %)."
        )

    def test_above_chance_it_is_told(self, tmp_path):
        kept = {"world/shapes": {"n": 600, "before": 0.9, "after": 0.5, "classes": 24}}
        record = Record(tmp_path, {"retention": kept})
        assert answer.forgotten(record) == "Forgotten: world/shapes 90.0 % → 50.0 % (−40.0 points)."


class TestOnScreen:
    def test_base_and_novel(self, tmp_path):
        record = read_record(halves_run(tmp_path / "run", base=(60, 160), novel=(120, 80)))
        assert leading_lines(record) == [
            "harmonic mean of base and novel: zero-shot 40.0 % → after 53.3 %   +13.3 points "
            "(novel classes lost 20.0 points)"
        ]

    def test_unequal_classes(self, tmp_path):
        first, why = leading_lines(read_record(unequal_run(tmp_path / "run", (196, 2), (176, 16))))
        assert first == "mean over classes: zero-shot 54.0 % → after 84.0 %   +30.0 points"
        assert "(20 to 200 images a class)" in why

    def test_equal_classes_need_no_line(self, tmp_path):
        assert leading_lines(read_record(write_run(tmp_path / "run", steps=1, gallery=False))) == []

    def test_measured_again(self):
        half = {"accuracy": 0.5, "n": 10}
        found = {name: {"adapted": half, "zero_shot": {"accuracy": 0.25, "n": 10}} for name in ("base", "novel")}
        assert leading_again({"tests": found}) == [
            "harmonic mean of base and novel: zero-shot 25.0 % → after 50.0 %   +25.0 points"
        ]
        assert leading_again({"adapted": half, "zero_shot": half}) == []

    def test_what_was_at_chance_tells_nothing(self, tmp_path):
        kept = {"n": 600, "before": 0.04, "after": 0.042, "classes": 24}
        [line] = forgotten_lines(Record(tmp_path, {"retention": {"world/shapes": kept}}))
        assert line.endswith("(n = 600), at chance before (4.2 %), so it tells nothing")
