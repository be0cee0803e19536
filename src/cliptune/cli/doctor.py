"""`cliptune doctor`: the environment, and whether the embedded model works in it."""

from cliptune.cli import options, output


def doctor(json: options.Json = False) -> None:
    """Versions, devices, and whether the embedded model works.

    It is loaded and has to know its digits.
    """
    import os

    import torch

    from cliptune import environment
    from cliptune.training.compute import compute, fastest

    machine = compute()
    facts = environment.describe(machine)
    facts["cores"] = os.cpu_count()
    facts["cuda"] = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    facts["cpu"] = torch.backends.cpu.get_cpu_capability()
    facts["fastest_dtype"] = fastest(machine.device.type)
    facts["hub_offline"] = bool(os.environ.get("HF_HUB_OFFLINE"))
    facts["digits_zero_shot"] = digits_zero_shot()
    for key, value in facts.items():
        shown = output.percent(value) if key == "digits_zero_shot" else value
        output.say(f"{key:<17} {shown}")
    output.say("all well" if facts["digits_zero_shot"] > 0.5 else "the embedded model does not work as it should")
    output.result(facts)


def digits_zero_shot() -> float:
    """Zero-shot accuracy of the embedded model on the test digits."""
    from cliptune.datasets import open_set
    from cliptune.datasets.base import prompts
    from cliptune.datasets.pixels import Pixels
    from cliptune.models.backbone import load
    from cliptune.tasks.classify import predict, scorer
    from cliptune.training.compute import compute

    backbone, digits = load("mini"), open_set("digits")
    pixels = Pixels(digits, digits.test, backbone.preprocess)
    tokens = backbone.tokens(prompts(digits.classes, digits.templates[0]))
    return float(predict(scorer(backbone, tokens), pixels, backbone, compute("cpu", "float32"), 256).correct.mean())
