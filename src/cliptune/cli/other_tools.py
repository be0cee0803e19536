"""What other tools call our verbs, options and settings."""

SYNONYMS: dict[str, tuple[str, ...]] = {
    "train": ("fit", "finetune", "fine-tune", "tune", "adapt", "learn", "run", "start"),
    "evaluate": ("test", "val", "validate", "eval", "score", "benchmark", "measure"),
    "predict": ("infer", "inference", "classify", "detect", "segment", "mark", "label"),
    "report": ("compare", "plot", "plots", "html", "summary", "results", "table"),
    "study": ("sweep", "grid", "ablate", "ablation", "reproduce", "search"),
    "show": ("info", "describe", "explain", "print"),
    "list": ("ls", "methods", "models", "datasets", "recipes"),
    "check": ("inspect", "dry-run", "dryrun", "verify", "data"),
    "doctor": ("env", "environment", "diagnose"),
    "demo": ("example", "quickstart", "tutorial", "try"),
}
"""verbs of other tools, by ours"""
NOT_YET: dict[str, tuple[str, ...]] = {
    "merge": ("export", "convert", "save", "onnx", "serve", "deploy", "app", "gradio"),
}
"""what other tools do that cliptune does not, by the verb that comes nearest"""
OPTIONS: dict[str, tuple[str, ...]] = {
    "--model": ("backbone", "arch", "architecture", "net", "network", "weights", "pretrained", "checkpoint", "ckpt"),
    "--data": ("dataset", "data-dir", "data-path", "datasets", "images", "folder", "path", "input", "train-dir"),
    "--root": ("data-root", "root-dir", "dataset-root"),
    "--out": ("output", "output-dir", "outdir", "out-dir", "save-dir", "run-dir", "project", "name", "o"),
    "--shots": ("num-shots", "n-shots", "k-shot", "few-shot"),
    "--device": ("gpu", "gpus", "cuda", "cpu", "accelerator"),
    "--dtype": ("precision", "fp16", "bf16", "half", "amp", "mixed-precision"),
    "--seeds": ("repeats", "repeat", "runs", "n-seeds"),
    "--resume": ("continue", "resume-from"),
    "--fresh": ("force", "overwrite", "exist-ok", "f"),
    "--track": ("wandb", "tensorboard", "logger", "report-to"),
    "--top": ("topk", "top-k"),
    "--classes": ("labels", "class-names", "classnames", "names", "candidate-labels"),
    "--csv": ("output", "out", "o", "output-file", "save", "save-to", "results"),
    "--threshold": ("conf", "confidence", "min-score", "min-confidence", "thresh"),
    "--skip-bad": ("ignore-errors", "skip-errors", "ignore-bad", "skip-corrupt"),
    "--task": ("mode",),
}
"""options of other tools, by ours"""
SETTINGS: dict[str, tuple[str, ...]] = {
    "train.lr": ("learning-rate", "base-lr", "lr0"),
    "train.epochs": ("epoch", "max-epochs", "num-epochs", "n-epochs", "num-train-epochs"),
    "train.steps": ("iters", "iterations", "max-steps", "n-iters", "num-steps", "max-iters"),
    "train.batch": ("batch-size", "bs", "b", "batchsize", "train-batch-size", "per-device-train-batch-size"),
    "train.weight_decay": ("wd", "decay"),
    "train.warmup_steps": ("warmup", "warm-up", "warmup-epochs"),
    "train.clip": ("grad-clip", "max-grad-norm", "clip-grad", "gradient-clip"),
    "train.schedule": ("scheduler", "lr-scheduler", "lr-schedule"),
    "train.augment": ("augmentation", "aug", "transforms"),
    "train.patience": ("early-stopping", "early-stop"),
    "data.template": ("prompt-template", "templates"),
    "rank": ("r", "lora-rank", "lora-r"),
    "alpha": ("lora-alpha",),
    "dropout": ("dropout-rate", "lora-dropout"),
}
"""other tools' options that are settings of ours (--set key=value); a setting's own bare name needs no line"""
