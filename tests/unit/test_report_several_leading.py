"""What comparisons begin with: several data sets, base and novel, unequal classes."""

import json
import re

import pytest

from cliptune.report import several_runs
from cliptune.report.page import write_report
from cliptune.report.read import read_record
from tests.unit.report_runs import write_run
from tests.unit.test_report_leading import halves_run, unequal_run


def changed(folder, **over):
    """A run folder with keys of run.json replaced."""
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(run | over))
    return folder


def named(folder, data, **over):
    run = json.loads((folder / "run.json").read_text())
    return changed(folder, data=run["data"] | {"name": data, "episode_sha256": data}, **over)


def page(folders):
    return several_runs.page_of([read_record(folder) for folder in folders])


@pytest.fixture(scope="module")
def five_sets(tmp_path_factory):
    """One method on five data sets, of which it loses on one."""
    home = tmp_path_factory.mktemp("five")
    after = {"pets": 0.9, "cars": 0.8, "maps": 0.85, "food": 0.88, "loss": 0.3}
    return [
        named(write_run(home / data, after=value, steps=1, gallery=False), data, peak_memory_bytes=700_000_000 + i)
        for i, (data, value) in enumerate(after.items())
    ]


class TestSeveralDataSets:
    def test_a_table_and_no_chart_of_single_points(self, five_sets):
        found = page(five_sets)
        assert [drawing.name for drawing in found.drawings] == []
        table = next(block for block in found.sections[0].blocks if block.kind == "table")
        assert sorted(row["data"] for row in table.rows) == ["cars", "food", "loss", "maps", "pets"]
        assert "chance" in [column.title for column in table.columns]

    def test_the_verdict_tells_of_each(self, five_sets):
        verdict = page(five_sets).verdict
        assert verdict.lead == "Better than zero-shot in 4 of 5 runs."
        assert verdict.kind == "even"
        text = " ".join(verdict.sentences)
        assert re.search(r"Worse: dora, loss, 16 shots −\d+\.\d points\.", text)
        assert "like with like" not in text + verdict.lead

    def test_every_run_has_a_tile(self, five_sets):
        names = " ".join(tile.name for tile in page(five_sets).tiles)
        assert all(data in names for data in ("pets", "cars", "maps", "food", "loss"))

    def test_no_word_of_seeds_where_there_is_one_run(self, five_sets):
        titles = [section.title for section in page(five_sets).sections]
        assert "Accuracy" in titles
        assert not any("mean over seeds" in title for title in titles)


class TestOneMethod:
    def test_five_seeds_are_judged_together(self, tmp_path):
        folders = [write_run(tmp_path / str(seed), seed=seed, steps=1, gallery=False) for seed in (1, 2, 3, 4, 5)]
        verdict = page(folders).verdict
        assert (verdict.kind, verdict.lead) == ("gain", "Better than zero-shot in 1 of 1 comparison.")
        assert re.search(r"dora, digits, 16 shots, 5 seeds \+\d+\.\d points \(95 % ", verdict.sentences[0])
        assert "No two methods" not in " ".join(verdict.sentences)

    def test_seeds_that_disagree_are_no_gain(self, tmp_path):
        """Three draws, of which each differs from zero-shot for its test images alone, in both directions."""
        after = {1: 0.70, 2: 0.58, 3: 0.70}
        folders = [
            write_run(tmp_path / str(seed), seed=seed, after=value, steps=1, gallery=False)
            for seed, value in after.items()
        ]
        verdict = page(folders).verdict
        assert (verdict.kind, verdict.lead) == ("even", "Better than zero-shot in 0 of 1 comparison.")


class TestBaseToNovel:
    @pytest.fixture
    def pair(self, tmp_path):
        both = {"ast": ((60, 170), (120, 100)), "dora": ((60, 160), (120, 80))}
        return [
            changed(halves_run(tmp_path / method, base=base, novel=novel), method=method)
            for method, (base, novel) in both.items()
        ]

    def test_the_harmonic_mean_leads_and_the_loss_is_said(self, pair):
        verdict = page(pair).verdict
        assert verdict.lead == "Harmonic mean of base and novel: ast 63.0 %, dora 53.3 %; zero-shot 40.0 %."
        assert verdict.kind != "gain"
        assert "ast: base 30.0 % → 85.0 %, novel 60.0 % → 50.0 % (lost)." in verdict.sentences

    def test_who_is_ahead_is_told_of_the_harmonic_mean(self, tmp_path):
        """Over five seeds one has the higher base accuracy, the other the higher harmonic mean."""
        both = {"narrow": ((60, 160), (120, 60)), "broad": ((60, 120), (120, 132))}
        folders = [
            changed(halves_run(tmp_path / f"{method}-{seed}", base=base, novel=novel), method=method, seed=seed)
            for method, (base, novel) in both.items()
            for seed in (1, 2, 3, 4, 5)
        ]
        found = page(folders)
        table = next(block for block in found.sections[0].blocks if block.kind == "table")
        standing = {row["label"]: (row["standing"], round(100 * row["lead_mean"], 1)) for row in table.rows}
        assert standing == {"narrow": ("behind", 43.6), "broad": ("ahead", 62.9)}
        assert found.verdict.kind == "gain"
        assert any("broad is ahead of narrow by +19.2 points" in text for text in found.verdict.sentences)

    def test_tiles_and_figures_show_it(self, pair):
        found = page(pair)
        assert {tile.value for tile in found.tiles} == {"63.0 %", "53.3 %", "40.0 %"}
        label = found.drawings[0].figure.axes[0].get_xlabel()
        assert label == "test harmonic mean of base and novel (%)"
        table = next(block for block in found.sections[0].blocks if block.kind == "table")
        titles = [column.title for column in table.columns]
        assert titles[3] == "harmonic mean of base and novel"
        assert {"base", "novel", "novel, zero-shot"} <= set(titles)

    def test_one_run_has_one_harmonic_mean(self, pair):
        tests = next(
            block for block in page(pair).sections[0].blocks if getattr(block, "title", "").startswith("Every test")
        )
        assert sum(row["test"].startswith("harmonic") for row in tests.rows) == 2, "one a method"


def test_unequal_classes_are_told_of(tmp_path):
    both = {"lora": ((196, 2), (176, 16)), "dora": ((196, 2), (190, 10))}
    folders = [
        changed(unequal_run(tmp_path / method, before, after), method=method)
        for method, (before, after) in both.items()
    ]
    verdict = page(folders).verdict
    assert verdict.lead == "Mean over classes: lora 84.0 %, dora 72.5 %; zero-shot 54.0 %."
    assert any("Accuracy: lora 87.3 %, dora 90.9 %." in text for text in verdict.sentences)


def test_data_that_zero_shot_does_not_know_is_pointed_out_once(tmp_path):
    folders = [
        write_run(tmp_path / method, method=method, before=0.05, after=0.6, steps=1, gallery=False)
        for method in ("lora", "dora")
    ]
    notes = [text for text in page(folders).verdict.sentences if text.startswith("Note: ")]
    assert len(notes) == 1
    assert notes[0].startswith("Note: digits: zero-shot is below chance")


def test_peaks_of_one_process_are_left_out_with_the_reason(tmp_path):
    shared = [write_run(tmp_path / method, method=method, steps=1, gallery=False) for method in ("lora", "dora")]
    alone = changed(write_run(tmp_path / "ast", method="ast", steps=1, gallery=False), peak_memory_bytes=700_000_000)
    section = next(section for section in page([*shared, alone]).sections if section.anchor == "cost")
    told = {row["label"]: row["peak_memory_bytes"] for row in section.blocks[0].rows}
    assert told == {"lora": None, "dora": None, "ast": 700_000_000}
    assert "Peak memory of 2 runs is left out" in section.blocks[1].text


def test_what_is_at_chance_is_no_retention(tmp_path):
    kept = {"world/shapes": {"n": 600, "before": 0.04, "after": 0.042, "classes": 24}}
    folders = [
        write_run(tmp_path / method, method=method, steps=1, gallery=False, **{"retention": True})
        for method in ("lora", "dora")
    ]
    found = page([changed(folder, retention=kept) for folder in folders])
    section = next(section for section in found.sections if section.anchor == "forgotten")
    assert "world/shapes is left out: the untouched backbone is at chance" in section.blocks[0].text
    assert len(section.blocks) == 1


def test_backbones_in_folders_have_the_folder_s_name(tmp_path):
    model = {"name": "shared/models/photo", "source": "shared/models/photo", "sha256": "ab", "parameters": 1}
    folder = changed(write_run(tmp_path / "run", steps=1, gallery=False), model=model)
    assert read_record(folder).model == "photo"
    hub = changed(
        folder, model=model | {"name": "openai/clip-vit-base-patch16", "source": "openai/clip-vit-base-patch16"}
    )
    assert read_record(hub).model == "openai/clip-vit-base-patch16"


def test_chance_is_drawn(tmp_path):
    folders = [write_run(tmp_path / method, method=method, steps=1, gallery=False) for method in ("lora", "dora")]
    first = page(folders).drawings[0].figure
    assert "chance" in first.axes[0].get_legend_handles_labels()[1]
    written = write_report(folders, tmp_path / "all.html")
    assert written[0].is_file()


STAYED = "the training loss has hardly fallen: 4.62 → {}, where guessing costs 4.61"
LONGER = "train longer: --set train.steps=640"


class TestTraining:
    """What runs noted of their training, and that they were not trained alike, is said where they are compared."""

    def run(self, folder, method, seed=1, taken=160, noted=(), **over):
        told = {"training": {"steps": taken, "steps_taken": taken, "stopped_early": False}}
        if noted:
            told["learning"] = {"remarks": [{"what": what, "fix": fix} for what, fix in noted]}
        name = f"{method}-{over.get('shots', 16)}-{seed}"
        return write_run(folder / name, method=method, seed=seed, steps=1, gallery=False, **told | over)

    def notes(self, folders):
        return [text for text in page(folders).verdict.sentences if text.startswith("Note: ")]

    def test_runs_that_have_hardly_learned_are_counted_by_label(self, tmp_path):
        noted = [
            self.run(tmp_path, "lora", seed, noted=[(STAYED.format(f"4.5{seed}"), LONGER)] if seed < 3 else ())
            for seed in (1, 2, 3)
        ]
        folders = [*noted, *(self.run(tmp_path, "dora", seed) for seed in (1, 2, 3))]
        assert self.notes(folders) == [
            "Note: lora, 2 of 3 runs: the training loss has hardly fallen; in lora-16-1: 4.62 → 4.51, where guessing "
            f"costs 4.61. To do: {LONGER}."
        ]

    def test_a_single_run_says_it_in_its_own_words(self, tmp_path):
        folders = [self.run(tmp_path, "lora", noted=[(STAYED.format("4.50"), LONGER)]), self.run(tmp_path, "dora")]
        assert self.notes(folders) == [f"Note: lora: {STAYED.format('4.50')}. To do: {LONGER}."]

    def test_several_seeds_of_one_method_say_it_too(self, tmp_path):
        folders = [self.run(tmp_path, "lora", seed, noted=[(STAYED.format("4.5"), LONGER)]) for seed in (1, 2)]
        assert self.notes(folders)[0].startswith("Note: lora, 2 of 2 runs: the training loss has hardly fallen; ")

    def test_what_chance_explains_is_not_counted_as_worse(self, tmp_path):
        below = "on its own 40 validation images it ends below a probe: {} against 60.0 %"
        noted = [(below.format("50.0") + ", which chance explains", ""), (below.format("20.0"), LONGER)]
        folders = [self.run(tmp_path, "lora", seed, noted=[noted[seed - 1]]) for seed in (1, 2)]
        first, second = self.notes(folders)
        assert first.startswith("Note: lora, 1 of 2 runs: on its own 40 validation images it ends below a probe; ")
        assert first.endswith("lora-16-1: 50.0 against 60.0 %, which chance explains.")
        assert second.startswith("Note: lora, 1 of 2 runs: ")
        assert second.endswith(f"To do: {LONGER}.")

    def test_unequal_training_is_told(self, tmp_path):
        folders = [self.run(tmp_path, method, taken=taken) for method, taken in (("ast", 500), ("dora", 160))]
        text = " ".join(page(folders).verdict.sentences)
        assert "Training was not equal: digits, 16 shots: ast 500 steps, dora 160 steps." in text

    def test_early_stops_and_seeds_are_a_span(self, tmp_path):
        taken = {"ast": (120, 160), "dora": (160, 160)}
        folders = [
            self.run(tmp_path, method, seed, steps[seed - 1]) for method, steps in taken.items() for seed in (1, 2)
        ]
        text = " ".join(page(folders).verdict.sentences)
        assert "Training was not equal: digits, 16 shots: ast 120–160 steps, dora 160 steps." in text

    def test_equal_training_and_methods_without_steps_need_no_word(self, tmp_path):
        folders = [self.run(tmp_path, method) for method in ("ast", "dora")]
        folders.append(write_run(tmp_path / "probe", method="linear_probe", steps=1, gallery=False))
        assert "Training was not equal" not in " ".join(page(folders).verdict.sentences)
        more = [self.run(tmp_path, method, shots=4, taken=60) for method in ("ast", "dora")]
        assert "Training was not equal" not in " ".join(page([*folders, *more]).verdict.sentences)
