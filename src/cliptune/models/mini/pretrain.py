"""Make the mini CLIP again from nothing: python -m cliptune.models.mini.pretrain --out DIR

One run over drawn pictures with captions. The loss is CLIP's, with soft targets: equal captions of one batch share
the mass of a match.

    loss = ½ H(T, softmax(s · I Cᵀ)) + ½ H(T, softmax(s · C Iᵀ))      T_ij ∝ 1 where captions i and j are equal

letters   I, C unit vectors of images and captions, (B, 128) · s learned scale · H cross-entropy of rows
order     easy scenes named by a noun alone come first, for a batch full of colour words teaches colours and nothing
          else; from the middle on more captions name colours, and some say only 'shape'.
A seed gives the same model on the same machine with the same number of threads.
"""

import argparse
import json
import math
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
import transformers
from torch import Generator, Tensor
from transformers import CLIPModel, PreTrainedTokenizerFast

from cliptune.datasets.world import Kind, describe, random_scene, render

from .exam import grade, questions
from .model import PREPROCESSOR, embed_images, embed_texts, new_model, train_tokenizer

_SHARES: dict[Kind, float] = {"digit": 0.32, "capital": 0.18, "lowercase": 0.02, "shape": 0.48}
_ONE_KIND = 0.3
"""part of the batches that show one kind only: harder negatives"""
_TOKENIZER_CAPTIONS = 15_000
_LARGEST_SCALE = 100.0


@dataclass(frozen=True)
class Plan:
    """How long, how fast, from which seed."""

    steps: int = 7000
    batch: int = 64
    lr: float = 1e-3
    """the peak, after the warm-up; a cosine takes it to zero"""
    warm_up: int = 100
    weight_decay: float = 0.1
    """on matrices only"""
    seed: int = 0
    threads: int = 1
    evaluate_every: int = 500


@dataclass(frozen=True)
class Lesson:
    """What batches look like at one moment of training."""

    easy: float
    """chance of an easy scene"""
    easy_colour: float
    """chance that the caption of an easy shape names its colour"""
    colour: float
    """the same for scenes that are not easy"""
    generic: float
    """chance that a shape is only called 'shape' or 'object'"""


def lesson(progress: float) -> Lesson:
    """The curriculum; `progress` runs from 0 to 1."""
    later = min(1.0, max(0.0, (progress - 0.5) / 0.15))
    return Lesson(
        easy=max(0.12, 1 - progress / 0.8),
        easy_colour=0.12 + 0.58 * later,
        colour=0.6 + 0.2 * later,
        generic=0.12 * later,
    )


class Teacher:
    """An endless source of batches: pictures (B, 3, 32, 32) and their captions."""

    def __init__(self, seed: int):
        self.rng = Random(seed)
        self.noise = Generator().manual_seed(seed)

    def batch(self, size: int, now: Lesson) -> tuple[Tensor, list[str]]:
        kinds = self.rng.choices(list(_SHARES), list(_SHARES.values()), k=size)
        if self.rng.random() < _ONE_KIND:
            kinds = kinds[:1] * size
        scenes = [random_scene(self.rng, kind, easy=self.rng.random() < now.easy) for kind in kinds]
        captions = [
            describe(scene, self.rng, now.easy_colour if scene.easy else now.colour, now.generic) for scene in scenes
        ]
        return render(scenes, self.noise), captions

    def captions(self, count: int) -> Iterator[str]:
        """Captions of every period of training, without their pictures."""
        for i in range(count):
            now = lesson(i / count)
            kind = self.rng.choices(list(_SHARES), list(_SHARES.values()))[0]
            scene = random_scene(self.rng, kind, easy=self.rng.random() < now.easy)
            yield describe(scene, self.rng, now.colour, now.generic)


def shared_targets(captions: list[str]) -> Tensor:
    """Rows of equal mass over equal captions, a full stop set aside, (B, B)."""
    numbers: dict[str, int] = {}
    wordings = torch.tensor([numbers.setdefault(caption.rstrip("."), len(numbers)) for caption in captions])
    same = (wordings[:, None] == wordings[None, :]).float()
    return same / same.sum(dim=1, keepdim=True)


def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor, targets: Tensor) -> Tensor:
    """Symmetric cross-entropy of unit vectors (B, d) against soft targets (B, B)."""
    logits = scale * images @ texts.T
    return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2


def learning_rate(step: int, plan: Plan) -> float:
    """Linear warm-up times a cosine over all steps; `step` counts from 0."""
    return plan.lr * min(1.0, (step + 1) / plan.warm_up) * (1 + math.cos(math.pi * step / plan.steps)) / 2


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after `step` steps; the model goes on changing when the run goes on."""

    step: int
    loss: float
    """mean over the steps since the last checkpoint"""
    model: CLIPModel
    tokenizer: PreTrainedTokenizerFast


def pretrain(plan: Plan) -> Iterator[Checkpoint]:
    """Train from nothing; stops at every `evaluate_every` steps and at the end to show what there is."""
    teacher = Teacher(plan.seed + 1)
    tokenizer = train_tokenizer(Teacher(plan.seed).captions(_TOKENIZER_CAPTIONS))
    model = new_model(tokenizer, plan.seed)
    optimizer = _optimizer(model, plan)
    losses = []
    for step in range(plan.steps):
        pictures, captions = teacher.batch(plan.batch, lesson(step / plan.steps))
        images = embed_images(model, pictures)
        texts = embed_texts(model, tokenizer, captions)
        loss = contrastive_loss(images, texts, model.logit_scale.exp(), shared_targets(captions))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, plan)
        optimizer.step()
        model.logit_scale.data.clamp_(0, math.log(_LARGEST_SCALE))
        losses.append(loss.item())
        if (step + 1) % plan.evaluate_every == 0 or step + 1 == plan.steps:
            yield Checkpoint(step + 1, sum(losses) / len(losses), model, tokenizer)
            losses.clear()


def _optimizer(model: CLIPModel, plan: Plan) -> torch.optim.AdamW:
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": plan.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=plan.lr, betas=(0.9, 0.98), eps=1e-6, fused=True)


def save(folder: Path, checkpoint: Checkpoint) -> CLIPModel:
    """Write the model (float16 numbers), tokenizer and preprocessing; returns the model as it reads back, in float32.

    The configuration says float32, so that transformers computes in float32 unless asked otherwise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.half() for name, tensor in checkpoint.model.state_dict().items()}
    checkpoint.model.save_pretrained(folder, state_dict=state)
    checkpoint.tokenizer.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR, indent=2) + "\n")
    return CLIPModel.from_pretrained(folder, dtype=torch.float32)


def main(arguments: list[str] | None = None) -> None:
    """The command: train, print a line per evaluation, write the folder."""
    folder, plan = _parse(arguments)
    torch.set_num_threads(plan.threads)
    exam = questions()
    begin = time.monotonic()
    for checkpoint in pretrain(plan):
        scores = grade(checkpoint.model, checkpoint.tokenizer, exam)
        words = ", ".join(f"{name} {score}" for name, score in scores.items())
        seconds = time.monotonic() - begin
        print(f"step {checkpoint.step}, {seconds:.0f} s, loss {checkpoint.loss:.3f}: {words}", flush=True)
    final = save(folder, checkpoint)
    facts = {
        "made_by": "python -m cliptune.models.mini.pretrain",
        "plan": asdict(plan),
        "kinds": _SHARES,
        "pairs": plan.steps * plan.batch,
        "parameters": sum(p.numel() for p in final.parameters()),
        "final_scale": round(final.logit_scale.exp().item(), 2),
        "seconds": round(time.monotonic() - begin),
        "zero_shot_percent": grade(final, checkpoint.tokenizer, exam),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    }
    (folder / "mini.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(f"wrote {folder}")


def _parse(arguments: list[str] | None) -> tuple[Path, Plan]:
    parser = argparse.ArgumentParser(description="Make the mini CLIP again from nothing.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    plan = Plan()
    for name, value in asdict(plan).items():
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, type=type(value), default=value, help=f"default {value}")
    values = vars(parser.parse_args(arguments))
    return values.pop("out"), Plan(**values)


if __name__ == "__main__":
    main()
