# SPDX-License-Identifier: MIT
"""Nothing that was acknowledged is lost, whatever happens meanwhile: model.py, seed by seed.

    MODEL_SEED=17      runs this seed alone, to look at it again
    MODEL_SEEDS=500    that many, from MODEL_FIRST (default 1) on, instead of 10 (2,000 if long)
    MODEL_KEEP=1       leaves a failed run's folder
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

import model

SHORT = 10
LONG = 2000
PART = 20  # seeds of one process


def seeds():
    if "MODEL_SEED" in os.environ:
        return [int(os.environ["MODEL_SEED"])]
    first = int(os.environ.get("MODEL_FIRST", 1))
    return range(first, first + int(os.environ.get("MODEL_SEEDS", SHORT)))


@pytest.mark.parametrize("seed", seeds())
def test_model(seed):
    model.Run(seed).go()


@pytest.mark.long
def test_model_long():
    """Many seeds, several at a time; goes on after a failure, so that one run tells all."""
    last = int(os.environ.get("MODEL_SEEDS", LONG))
    parts = ["%d-%d" % (first, min(first + PART - 1, last))
             for first in range(SHORT + 1, last + 1, PART)]

    def run(part):
        return subprocess.run([sys.executable, model.__file__, part], capture_output=True, text=True)

    with ThreadPoolExecutor(2 * os.cpu_count()) as pool:
        runs = list(pool.map(run, parts))
    print("".join(r.stdout for r in runs))
    failed = [r.stdout + r.stderr for r in runs if r.returncode]
    assert not failed, "\n".join(failed)
