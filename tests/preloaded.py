"""What every child of the tests' fork server has behind it: the imports of a run, and the small models loaded once."""

import gc
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest  # noqa: F401
import sklearn.datasets  # noqa: F401
import torch
from PIL import Image

from cliptune import export, segmentation  # noqa: F401
from cliptune.cli import progress  # noqa: F401
from cliptune.methods import ast, dora  # noqa: F401
from cliptune.models import backbone, segmenter
from cliptune.report import remarks  # noqa: F401
from cliptune.studies import estimate  # noqa: F401

torch.set_num_threads(1)
Image.init()
backbone.load("mini")
segmenter.load("mini")
gc.freeze()
