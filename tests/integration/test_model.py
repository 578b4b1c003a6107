# SPDX-License-Identifier: MIT
"""Nothing that was acknowledged is lost, whatever happens meanwhile: model.py, seed by seed.

    MODEL_SEED=17      runs this seed alone, to look at it again
    MODEL_SEEDS=500    that many, from MODEL_FIRST (default 1) on, instead of 10 (2,000 if long)
    MODEL_KEEP=1       leaves a failed run's folder
"""

import os

import pytest

from model import Run

SHORT = 10
LONG = 2000


def seeds():
    if "MODEL_SEED" in os.environ:
        return [int(os.environ["MODEL_SEED"])]
    first = int(os.environ.get("MODEL_FIRST", 1))
    return range(first, first + int(os.environ.get("MODEL_SEEDS", SHORT)))


@pytest.mark.parametrize("seed", seeds())
def test_model(seed):
    Run(seed).go()


@pytest.mark.long
def test_model_long():
    """Many seeds; goes on after a failure, so that one run tells all."""
    failed, excused = [], 0
    for seed in range(SHORT + 1, int(os.environ.get("MODEL_SEEDS", LONG)) + 1):
        run = Run(seed)
        try:
            run.go()
        except Exception as error:  # pylint: disable=broad-except
            failed.append(seed)
            print("seed %d: %s: %s" % (seed, type(error).__name__, error))
        excused += run.model.excused
    print("excused by a race: %d" % excused)
    assert not failed, "seeds that failed: %s" % failed
