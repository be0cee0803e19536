"""Make the mini segmenter's decoder again: python -m cliptune.models.mini.pretrain_decoder --out DIR

A CLIPSeg decoder (Lüddecke & Ecker, CVPR 2022) learns on drawn objects to mark what a prompt refers to. Both towers
are the shipped mini CLIP's and stay as they are; a picture passes the image tower once for all its prompts.

    loss = BCE(z, y) + 1 − (2 Σ σ(z) y + 1) / (Σ σ(z) + Σ y + 1)      means over pictures and prompts

letters   z logits, y mask, (B, 96, 96) each · σ logistic function · Σ over the pixels of one mask
size      transformers' complex transposed convolution enlarges twice by patch // 4 = 2, so that patches of 8 pixels
          give logits of half the picture's side; they are interpolated (bilinear) to the mask's side for the loss
          and for every score here.
A seed gives the same decoder on the same machine with the same number of threads.
"""

import argparse
import json
import math
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import get_args

import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import save_file
from torch import Generator, Tensor
from transformers import AutoTokenizer, CLIPSegForImageSegmentation, PreTrainedTokenizerFast

from cliptune.datasets.world.objects import Asked, draw, random_picture, refer

from .segmenter import DECODER_FILE, PREPROCESSOR, SIDE, TOWERS, new_segmenter, with_decoder

ASKED: tuple[Asked, ...] = get_args(Asked)
_ABSENT = 0.6
"""part of the pictures whose fourth prompt names something that is not there; else it asks for a kind once more"""
_EXAM = "exam of the mini segmenter"
_EXAM_PICTURES = 200


@dataclass(frozen=True)
class Plan:
    """How long, how fast, from which seed; and the decoder's form."""

    steps: int = 1400
    batch: int = 8
    """pictures a step, each with four prompts"""
    lr: float = 3e-3
    """the peak, after the warm-up; a cosine takes it to zero"""
    warm_up: int = 50
    weight_decay: float = 0.01
    """on matrices only"""
    seed: int = 0
    threads: int = 1
    evaluate_every: int = 350
    layers: str = "1,2,3"
    """blocks of the image tower that the decoder reads"""
    width: int = 64
    hidden: int = 256
    """width of the decoder's MLPs"""


@dataclass(frozen=True)
class Lesson:
    """Pictures, prompts about them, and what each prompt marks."""

    images: Tensor
    """(B, 3, S, S) in 0..1"""
    rows: Tensor
    """the picture of each prompt, (P,)"""
    prompts: list[str]
    asked: list[Asked]
    masks: Tensor
    """(P, S, S) of 0 and 1"""


class Teacher:
    """An endless source of lessons; equal seeds, equal lessons."""

    def __init__(self, seed: int | str):
        self.rng = Random(seed)
        self.noise = Generator().manual_seed(self.rng.getrandbits(48))

    def lesson(self, size: int) -> Lesson:
        """`size` pictures, each asked by kind, by colour, by both, and for what is absent or by kind again."""
        pictures = [random_picture(self.rng) for _ in range(size)]
        images, things = draw(pictures, self.noise, SIDE)
        rows, prompts, asked, masks = [], [], [], []
        for row, picture in enumerate(pictures):
            last: Asked = "absent" if self.rng.random() < _ABSENT else "kind"
            for each in ("kind", "colour", "both", last):
                reference = refer(picture, self.rng, each)
                rows.append(row)
                prompts.append(reference.text)
                asked.append(reference.asked)
                masks.append(things[row, list(reference.things)].any(dim=0))
        return Lesson(images, torch.tensor(rows), prompts, asked, torch.stack(masks).float())


def marks(model: CLIPSegForImageSegmentation, tokenizer: PreTrainedTokenizerFast, lesson: Lesson) -> Tensor:
    """Logits at the masks' size, (P, S, S); gradients reach the decoder only."""
    with torch.no_grad():
        seen = model.clip.vision_model(pixel_values=2 * lesson.images - 1, output_hidden_states=True).hidden_states
        tokens = tokenizer(lesson.prompts, padding=True, truncation=True, return_tensors="pt")
        asked = model.clip.get_text_features(input_ids=tokens.input_ids).pooler_output
    activations = tuple(seen[layer + 1][lesson.rows] for layer in model.extract_layers)
    logits = model.decoder(activations, asked).logits
    return F.interpolate(logits[:, None], size=lesson.masks.shape[-2:], mode="bilinear", align_corners=False)[:, 0]


def marking_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Binary cross-entropy plus soft Dice loss, one number, of (P, S, S) each."""
    likely = logits.sigmoid()
    shared = (likely * masks).sum(dim=(1, 2))
    dice = (2 * shared + 1) / (likely.sum(dim=(1, 2)) + masks.sum(dim=(1, 2)) + 1)
    return F.binary_cross_entropy_with_logits(logits, masks) + (1 - dice).mean()


def dice_of(logits: Tensor, masks: Tensor) -> Tensor:
    """Dice of each marked area, (P,), where σ(z) > ½; an empty mask counts 1 if nothing is marked, else 0."""
    marked = logits > 0
    total = marked.sum(dim=(1, 2)) + masks.sum(dim=(1, 2))
    shared = (marked * masks).sum(dim=(1, 2))
    return torch.where(total > 0, 2 * shared / total.clamp(min=1), 1.0)


def exam(pictures: int = _EXAM_PICTURES) -> Lesson:
    """Held-out pictures; the same on every call."""
    return Teacher(_EXAM).lesson(pictures)


@torch.no_grad()
def grade(
    model: CLIPSegForImageSegmentation, tokenizer: PreTrainedTokenizerFast, lesson: Lesson
) -> dict[str, dict[str, float]]:
    """Mean Dice in per cent by what the prompts ask: the model's, and that of marking nothing and everything."""
    dice = torch.cat([dice_of(marks(model, tokenizer, part), part.masks) for part in _parts(lesson, 32)])
    answers = {
        "dice": dice,
        "nothing": dice_of(torch.full_like(lesson.masks, -1.0), lesson.masks),
        "everything": dice_of(torch.ones_like(lesson.masks), lesson.masks),
    }
    groups = {"all": torch.ones(len(lesson.asked), dtype=torch.bool)}
    groups |= {asked: torch.tensor([each == asked for each in lesson.asked]) for asked in ASKED}
    return {
        name: {group: round(100 * values[rows].mean().item(), 1) for group, rows in groups.items()}
        for name, values in answers.items()
    }


def _parts(lesson: Lesson, size: int) -> Iterator[Lesson]:
    """The lesson in lessons of at most `size` pictures."""
    for first in range(0, len(lesson.images), size):
        of_part = [i for i, row in enumerate(lesson.rows.tolist()) if first <= row < first + size]
        yield Lesson(
            lesson.images[first : first + size],
            lesson.rows[of_part] - first,
            [lesson.prompts[i] for i in of_part],
            [lesson.asked[i] for i in of_part],
            lesson.masks[of_part],
        )


def learning_rate(step: int, plan: Plan) -> float:
    """Linear warm-up times a cosine over all steps; `step` counts from 0."""
    return plan.lr * min(1.0, (step + 1) / plan.warm_up) * (1 + math.cos(math.pi * step / plan.steps)) / 2


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after `step` steps; the model goes on changing when the run goes on."""

    step: int
    loss: float
    """mean over the steps since the last checkpoint"""
    model: CLIPSegForImageSegmentation


def pretrain_decoder(plan: Plan, tokenizer: PreTrainedTokenizerFast) -> Iterator[Checkpoint]:
    """Train a new decoder; stops at every `evaluate_every` steps and at the end to show what there is."""
    teacher = Teacher(plan.seed)
    layers = [int(layer) for layer in plan.layers.split(",")]
    model = new_segmenter(layers, plan.width, plan.hidden, plan.seed)
    optimizer = _optimizer(list(model.decoder.parameters()), plan)
    losses = []
    for step in range(plan.steps):
        lesson = teacher.lesson(plan.batch)
        loss = marking_loss(marks(model, tokenizer, lesson), lesson.masks)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.decoder.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, plan)
        optimizer.step()
        losses.append(loss.item())
        if (step + 1) % plan.evaluate_every == 0 or step + 1 == plan.steps:
            yield Checkpoint(step + 1, sum(losses) / len(losses), model)
            losses.clear()


def _optimizer(parameters: Sequence[Tensor], plan: Plan) -> torch.optim.AdamW:
    matrices = [p for p in parameters if p.ndim >= 2]
    others = [p for p in parameters if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": plan.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=plan.lr, betas=(0.9, 0.98), eps=1e-6, fused=True)


def save(folder: Path, model: CLIPSegForImageSegmentation) -> CLIPSegForImageSegmentation:
    """Write the decoder (float16), the configuration and the preprocessing; returns the model as it reads back."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.half().contiguous() for name, tensor in model.decoder.state_dict().items()},
        folder / DECODER_FILE,
        metadata={"format": "pt"},
    )
    model.config.architectures = ["CLIPSegForImageSegmentation"]
    model.config.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR, indent=2) + "\n")
    return with_decoder(folder)


def main(arguments: list[str] | None = None) -> None:
    """The command: train, print a line per evaluation, write the folder."""
    folder, plan = _parse(arguments)
    torch.set_num_threads(plan.threads)
    tokenizer = AutoTokenizer.from_pretrained(TOWERS)
    lesson = exam()
    begin = time.monotonic()
    for checkpoint in pretrain_decoder(plan, tokenizer):
        scores = grade(checkpoint.model, tokenizer, lesson)["dice"]
        words = ", ".join(f"{name} {score}" for name, score in scores.items())
        seconds = time.monotonic() - begin
        print(f"step {checkpoint.step}, {seconds:.0f} s, loss {checkpoint.loss:.3f}: Dice {words}", flush=True)
    seconds = time.monotonic() - begin
    final = save(folder, checkpoint.model)
    facts = {
        "made_by": "python -m cliptune.models.mini.pretrain_decoder",
        "plan": asdict(plan),
        "pictures": plan.steps * plan.batch,
        "parameters": sum(p.numel() for p in final.decoder.parameters()),
        "seconds": round(seconds),
        "exam": {"pictures": len(lesson.images), "prompts": len(lesson.prompts)},
        "dice_percent": grade(final, tokenizer, lesson),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    }
    (folder / "mini_segmenter.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(f"wrote {folder}")


def _parse(arguments: list[str] | None) -> tuple[Path, Plan]:
    parser = argparse.ArgumentParser(description="Make the mini segmenter's decoder again.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    plan = Plan()
    for name, value in asdict(plan).items():
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, type=type(value), default=value, help=f"default {value}")
    values = vars(parser.parse_args(arguments))
    return values.pop("out"), Plan(**values)


if __name__ == "__main__":
    main()
