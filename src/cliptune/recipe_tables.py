"""The tables of a recipe beside [method]: strict, frozen dataclasses whose fields' strings are their help."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Header:
    """The table [recipe]."""

    preset: Literal["auto", "paper", "small"] = "auto"
    """whose defaults are taken; --preset wins"""


@dataclass(frozen=True)
class DataSettings:
    name: str = "digits"
    """a data set's name, a folder (one sub-folder per class) or a CSV (image, label, split)"""
    root: str = ""
    """folder that holds the named data sets"""
    template: str = ""
    """prompt with one {}; empty takes the data set's first template"""
    split_seed: int = 0
    """seed of the split made when your own images come without one"""
    names: str = ""
    """class names of your own images: a JSON object {"folder": "name"} or a text file of lines 'folder name'"""
    missing: Literal["refuse", "skip"] = "refuse"
    """listed files that are not there or cannot be read: refuse to run, or leave them out and say so"""


@dataclass(frozen=True)
class ModelSettings:
    name: str = "mini"
    """zoo name, hub id or local folder"""


@dataclass(frozen=True)
class ProtocolSettings:
    name: Literal[
        "few-shot", "full-data", "base-to-novel", "out-of-distribution", "cross-dataset", "domain-generalization"
    ] = "few-shot"
    """which images are trained on, chosen on and tested on (docs/protocols.md)"""
    shots: int | Literal["auto", "all"] = "auto"
    """training images per class; auto: 16, but all under full-data and domain-generalization"""
    seed: int = 1
    """draws the few-shot images, the adapter's first numbers, the order and the augmentation"""
    sampler: Literal["dassl", "cliplora"] = "dassl"
    """dassl draws train then validation without repeats; cliplora validation first"""
    repeat: bool | Literal["auto"] = "auto"
    """whether a class with fewer images than shots repeats some; auto: only with cliplora, as that code does"""
    half: Literal["base", "novel"] = "base"
    """base-to-novel: the half of the classes that is trained on"""
    tests: tuple[str, ...] = ()
    """out-of-distribution, cross-dataset: the further sets that are tested; empty takes the papers'"""
    target: str = ""
    """domain-generalization: the domain that is held out"""
    target_split: Literal["all", "val"] = "all"
    """domain-generalization: the target's images as Dassl takes them, or its validation images alone (ODG-CLIP)"""
    open_set: bool = False
    """domain-generalization: ODG-CLIP's classes, every source some of them and the target unknown ones besides"""


@dataclass(frozen=True)
class TrainSettings:
    steps: int | Literal["auto"] = "auto"
    """optimiser steps; auto goes by epochs, else by passes, else by steps_per_shot"""
    epochs: int = 0
    """whole epochs over the training images; 0 goes by passes or steps_per_shot, or is 10 where all images are trained
    on"""
    passes: int = 0
    """steps = this × training images / batch, not under least_steps nor over most_steps; 0 goes by steps_per_shot"""
    steps_per_shot: int = 500
    """few-shot: steps = this × shots, however many classes (CLIP-LoRA)"""
    least_steps: int = 0
    """at least so many steps, unless train.steps says how many"""
    most_steps: int = 0
    """at most so many steps, unless train.steps says how many; 0 sets no limit"""
    batch: int = 32
    """images per step; the last batch of an epoch may be smaller"""
    chunk: int = 0
    """images that go through the image tower together inside a step; 0 is the whole batch. Less memory, the same
    gradient up to the masks of dropout, which every part draws anew"""
    text_chunk: int = 0
    """class prompts that go through the text tower together inside a step; 0 is all. Less memory for one more text
    forward, the same gradient up to the masks of dropout"""
    lr: float = 2e-4
    """learning rate at the first step"""
    min_lr: float = 1e-6
    """what the learning rate approaches after the last step"""
    schedule: Literal["cosine", "constant", "plateau"] = "cosine"
    """how the rate goes from lr to min_lr: cosine per step; constant; plateau: a tenth whenever the validation loss
    has not fallen for more than `plateau_patience` validations (medvlsm)"""
    plateau_patience: int = 5
    """validations that `plateau` waits"""
    warmup_steps: int = 0
    """steps of linear rise before the schedule"""
    weight_decay: float = 1e-2
    """AdamW's decoupled decay"""
    clip: float = 0.0
    """longest gradient, as one vector over all trained numbers; 0 clips nothing"""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's decay rates"""
    eps: float = 1e-8
    """AdamW's floor"""
    augment: Literal["data", "photo", "crop", "affine", "none"] = "data"
    """data takes what the data set declares, and for your own images decides from them before training whether they may
    be mirrored; photo: random crop, half mirrored; crop: random crop, never mirrored; affine: light geometry, never
    mirrored"""
    crop: tuple[float, float] = (0.08, 1.0)
    """photo and crop only: area range of the random crop"""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """arithmetic of the image tower's products; all else stays float32. auto: 16 bits for large backbones where the
    device has instructions for it"""
    patience: int = 0
    """validations in a row without a better one after which training ends, with the numbers of the best one; 0 never
    ends early. The learning rate goes as it would over all steps"""
    validate_every: int | Literal["epoch"] = 0
    """steps between two validations, or epoch; 0 is a twentieth of all steps where patience or plateau asks for them,
    else none. Without these the accuracies are told and nothing else depends on them"""
    early_stop_on: Literal["accuracy", "loss"] = "accuracy"
    """what makes a validation better: accuracy (of segmentation: Dice), the lower loss among equals (few-shot sets
    validate on min(shots, 4) images a class, so equals are common); or the loss alone, which often rises while accuracy
    still does"""
    min_delta: float = 0.0
    """by how much a validation has to be better than the best to count"""
    checkpoint_seconds: float = 60.0
    """how often the state for --resume is written"""


@dataclass(frozen=True)
class LossSettings:
    image: float = 0.0
    """self-consistency: weight of |image features − the backbone's|"""
    text: float = 0.0
    """self-consistency: weight of |text features − the backbone's|"""
    logits: float = 0.0
    """self-consistency: weight of KL(the backbone's logits ‖ ours)"""
    reduction: Literal["mean", "sum"] = "mean"
    """mean: PromptSRC's, over all elements; sum: CLIP-AST's eq. 9 literally, over the feature dimension"""
    teacher_templates: Literal["same", "ensemble", "imagenet-7", "imagenet-60", "imagenet-80"] = "same"
    """same: the backbone reads the student's prompts; ensemble: the mean over the data set's templates; imagenet-7,
    -60, -80: over Tip-Adapter's, PromptSRC's, CLIP's templates for ImageNet"""


@dataclass(frozen=True)
class SegmentSettings:
    """What a recipe that marks images has beside the others; it is there where the task is segmentation."""

    prompt: str = "auto"
    """kind of prompt: p0, p1 …, or random, which draws anew each time; auto: p1. Later kinds tell sizes, numbers and
    places that were read off the true masks"""
    words: str = ""
    """what to look for in your own images, where no prompts.csv says it"""
    value: int | float | tuple[int, ...] | Literal["nonzero"] = ()
    """what is marked in your own masks: a stored number, like 2, a colour, like [0, 128, 0], or all that is nonzero;
    []: of two values the one that is not black"""
    side: int = 0
    """pixels that images and masks are resized to, aspect ratio not kept; 0 is the backbone's (CLIPSeg's 352)"""
    bce: float = 0.2
    """weight of binary cross-entropy beside Dice; 0 is what medvlsm's published training really did, whose
    cross-entropy was constantly zero"""
    threshold: float = 0.5
    """probability above which a pixel is marked"""
    decoder: Literal["transposed", "all", "none"] = "transposed"
    """what of the decoder is trained beside the method: its transposed convolution (CLIP-DoRA), all, or nothing"""
    decoder_lr: float = 0.0
    """learning rate of the decoder; 0 is train.lr"""
    inert: Literal["skip", "keep"] = "skip"
    """image blocks above those that the decoder reads: skip leaves them out; keep adapts and counts them, though
    nothing reaches them"""
    published: Literal["driver", "yaml"] = "driver"
    """whose rate and batch the paper preset takes: those of medvlsm's fine-tuning driver (2e-3 and 128), which made
    the published numbers, or of its yaml files (2e-4 and 16)"""


@dataclass(frozen=True)
class EvaluateSettings:
    batch: int = 256
    """images per step of evaluation"""
    retention: str = "auto"
    """data set whose zero-shot accuracy is measured before and after; auto: world/shapes; or none"""
    features: bool = False
    """image features of the first test's images, before and after training, are kept in features.safetensors"""
