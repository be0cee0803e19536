"""Numbers of a recipe that no run can use, refused with what would do."""

from typing import TYPE_CHECKING

from cliptune.errors import UserError

if TYPE_CHECKING:
    from cliptune.recipe import Recipe


def check_numbers(recipe: "Recipe") -> None:
    """Refuse numbers no run can use.

    Raises:
        UserError: a number out of its bounds.
    """
    lowest = {
        "train.epochs": 0,
        "train.passes": 0,
        "train.steps_per_shot": 1,
        "train.least_steps": 0,
        "train.most_steps": 0,
        "train.batch": 1,
        "train.chunk": 0,
        "train.text_chunk": 0,
        "train.lr": 0,
        "train.min_lr": 0,
        "train.warmup_steps": 0,
        "train.weight_decay": 0,
        "train.clip": 0,
        "train.plateau_patience": 0,
        "train.min_delta": 0,
        "train.eps": 0,
        "train.patience": 0,
        "train.validate_every": 0,
        "train.checkpoint_seconds": 0,
        "loss.image": 0,
        "loss.text": 0,
        "loss.logits": 0,
        "evaluate.batch": 1,
        "segment.side": 0,
        "segment.bce": 0,
        "segment.decoder_lr": 0,
    }
    for key, bound in lowest.items():
        section, name = key.split(".")
        table = getattr(recipe, section)
        value = None if table is None else getattr(table, name)
        if value not in (None, "epoch") and value < bound:
            raise UserError(f"{key} = {value} makes no sense", f"{key} has to be at least {bound}")
    if recipe.train.steps != "auto" and recipe.train.steps < 1:
        raise UserError(f"train.steps = {recipe.train.steps} makes no sense", "at least 1, or auto")
    if 0 < recipe.train.most_steps < recipe.train.least_steps:
        raise UserError(
            f"train.most_steps = {recipe.train.most_steps} is less than train.least_steps = {recipe.train.least_steps}",
            "raise train.most_steps, or set it to 0 for no limit",
        )
    if isinstance(recipe.protocol.shots, int) and recipe.protocol.shots < 1:
        raise UserError(f"protocol.shots = {recipe.protocol.shots} makes no sense", "at least 1, or all")
    low, high = recipe.train.crop
    if not 0 < low <= high <= 1:
        raise UserError(
            f"train.crop = {[low, high]} makes no sense", "two fractions of the area, low first: [0.08, 1.0]"
        )
    if not all(0 <= beta < 1 for beta in recipe.train.betas):
        raise UserError(f"train.betas = {list(recipe.train.betas)} makes no sense", "each at least 0 and less than 1")
    if recipe.segment and not 0 < recipe.segment.threshold < 1:
        raise UserError(f"segment.threshold = {recipe.segment.threshold} makes no sense", "between 0 and 1, as 0.5")
    if recipe.data.template and recipe.data.template.count("{}") != 1:
        raise UserError(f"data.template = {recipe.data.template!r}", "write one {} where the class name goes")
