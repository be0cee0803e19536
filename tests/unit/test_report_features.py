"""Image features in one run's report: which are taken, the two numbers by hand, the two panels; and the temperature."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file
from sklearn.neighbors import KNeighborsClassifier

from cliptune.errors import UserError
from cliptune.report import features, one_run
from cliptune.report.blocks import Drawing, Table
from cliptune.report.page import write_report
from cliptune.report.read import read_record
from tests.unit.report_runs import write_run
from tests.unit.test_report import read_page


def with_features(folder, n=60, d=8, rows=None, **run):
    """A run whose features are noise before and lie at their class after."""
    write_run(folder, n=n, gallery=False, steps=2, **run)
    labels = read_record(folder).predictions.labels
    draw = np.random.default_rng(0)
    place = {name: draw.normal(size=d) for name in sorted(set(labels))}
    noise = draw.normal(size=(n, d))
    after = np.array([place[label] for label in labels]) + 0.05 * noise
    both = {"before": noise.astype(np.float16)[:rows], "after": after.astype(np.float16)[:rows]}
    save_file(both, folder / "features.safetensors")
    return folder


class TestChoice:
    def test_classes_and_images_are_taken_evenly(self):
        names = [f"c{i % 25:02d}" for i in range(25 * 120)]
        chosen = features.choose(np.ones((3000, 2)), np.ones((3000, 2)), names, sorted(set(names)))
        assert chosen.classes == ("c00", "c03", "c05", "c08", "c11", "c13", "c16", "c19", "c21", "c24")
        assert chosen.of_classes == 25
        assert np.bincount(chosen.labels).tolist() == [100] * 10

    def test_few_are_all_taken(self):
        chosen = features.choose(np.eye(3), np.eye(3), ["b", "a", "b"], ["a", "b", "unseen"])
        assert chosen.classes == ("a", "b")
        assert chosen.labels.tolist() == [0, 1, 1]
        assert np.argmax(chosen.before, axis=1).tolist() == [1, 0, 2]

    def test_evenly(self):
        assert features.evenly(7, 3).tolist() == [0, 3, 6]
        assert features.evenly(2, 10).tolist() == [0, 1]


class TestNumbers:
    def test_neighbours_are_scikits(self):
        draw = np.random.default_rng(1)
        found = features.unit(draw.normal(size=(80, 4)))
        labels = (found[:, 0] > 0).astype(int)
        right = 0
        for i in range(80):
            others = np.arange(80) != i
            # weights break no tie here: two classes and five votes
            knn = KNeighborsClassifier(5, metric="cosine", algorithm="brute").fit(found[others], labels[others])
            right += knn.predict(found[i : i + 1])[0] == labels[i]
        assert features.neighbours(found, labels) == right / 80

    def test_of_equal_votes_the_nearest_decides(self):
        angles = np.radians([0, 1, 2, 3, 4, 90])
        found = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        assert features.neighbours(found, np.array([0, 0, 1, 1, 2, 3]), k=2) == pytest.approx(3 / 6)

    def test_silhouette_by_hand(self):
        """Two images at 0 degrees, two at 90: a = 0, b = 1, so 1."""
        found = np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]])
        assert features.silhouette(found, np.array([0, 0, 1, 1])) == pytest.approx(1.0)
        assert features.silhouette(found, np.zeros(4, int)) is None


class TestPage:
    def test_two_panels_and_the_numbers(self, tmp_path):
        folder = with_features(tmp_path / "run")
        drawing, table = features.drawn(read_record(folder))
        assert isinstance(drawing, Drawing)
        assert isinstance(table, Table)
        before, after = drawing.figure.axes
        assert (before.get_title(loc="left"), after.get_title(loc="left")) == ("before", "after")
        assert len(before.lines) == len(after.lines) == 10
        assert sum(len(line.get_xdata()) for line in after.lines) == 60
        looks = {(line.get_color(), line.get_marker()) for line in after.lines}
        assert len(looks) == 10
        assert "perplexity 19" in drawing.caption
        assert "n = 60 test images of 10 classes" in drawing.caption
        silhouette, neighbours = table.rows
        assert silhouette["before"] < 0.1 < 0.9 < silhouette["after"]
        assert neighbours["before"] < 0.4 < neighbours["after"]
        text = read_page(write_report([folder], folder / "page.html")[0]).text
        assert "Image features before and after" in text

    def test_same_folder_same_picture(self, tmp_path):
        record = read_record(with_features(tmp_path / "run"))
        first, second = (features.drawn(record)[0].figure.axes[1].lines[0].get_xdata() for _ in range(2))
        assert first.tolist() == second.tolist()

    def test_a_run_that_kept_none_says_nothing(self, tmp_path):
        folder = write_run(tmp_path / "run", steps=1, n=30, gallery=False)
        assert "features" not in [section.anchor for section in one_run.page_of(read_record(folder)).sections]

    def test_other_images_are_not_drawn(self, tmp_path):
        [only] = features.drawn(read_record(with_features(tmp_path / "run", rows=10)))
        assert "not about the same images" in only.text

    def test_a_broken_file_is_refused(self, tmp_path):
        folder = write_run(tmp_path / "run", steps=1, n=30, gallery=False)
        (folder / "features.safetensors").write_bytes(b"x")
        with pytest.raises(UserError, match=r"features\.safetensors: broken"):
            write_report([folder])
        save_file({"before": np.zeros((3, 2), np.float16)}, folder / "features.safetensors")
        with pytest.raises(UserError, match="holds before, not before and after"):
            write_report([folder])


class TestTemperature:
    def test_stands_beside_the_reliability_diagram(self, tmp_path):
        folder = write_run(tmp_path / "run", steps=1, n=200, gallery=False)
        run = json.loads((folder / "run.json").read_text())
        for name, temperature in (("test", 1.5), ("zero_shot", 0.75)):
            told = {"temperature": temperature, "n": 40, "nll": 0.321, "ece": 0.012}
            run["metrics"][name]["calibrated"] = told
        (folder / "run.json").write_text(json.dumps(run))
        text = read_page(write_report([folder], folder / "page.html")[0]).text
        ece, nll = (run["metrics"]["test"][key] for key in ("ece", "nll"))
        assert "Confidences at a temperature T, fitted to 40 validation images" in text
        assert f"after 1.500 {100 * ece:.1f} % 1.2 % {nll:.3f} 0.321" in text

    def test_its_absence_is_said(self, tmp_path):
        folder = write_run(tmp_path / "run", steps=1, n=200, gallery=False)
        text = read_page(write_report([folder], folder / "page.html")[0]).text
        assert "Confidence at a fitted temperature: not measured" in text
