"""Reference test of @{definition_name}.

On any machine run() is held against a second formulation, on CPU and with
small var axes. Where FlashInfer and a GPU are, the baseline solution, which
wraps FlashInfer, is held against the same.
"""
import json
import math
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

NAME, OP = "@{definition_name}", "@{op_type}"
DATASET = Path(__file__).resolve().parents[2]
CAPABILITY = (8, 0)  # of the GPU that FlashInfer's kernel needs


def small(definition):
    """The definition that is tried: the real one, unless it would not fit."""
    return definition


def indptr(lengths):
    return torch.tensor([0] + list(lengths)).cumsum(0).to(torch.int32)


def agree(got, want):
    """All outputs that the second formulation gives, in order."""
    for g, w in zip(got, want, strict=False):
        torch.testing.assert_close(g.float(), w.float(), rtol=2e-2, atol=2e-2)
