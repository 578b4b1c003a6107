#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Figures, not a test: `make bench`, or `make bench BENCH="latency sync"` for some of them.

Each bench_*.py here has SUBJECTS, {name: function(site)}; a function prints its figures, a peer
measured in the same run beside them. Every subject has a Site of its own.
"""

import glob
import importlib
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "integration")]

from eefs import Site  # noqa: E402


def subjects():
    found = {}
    for path in sorted(glob.glob(os.path.join(HERE, "bench_*.py"))):
        found.update(importlib.import_module(os.path.basename(path)[:-3]).SUBJECTS)
    return found


def main():
    known = subjects()
    chosen = sys.argv[1:] or list(known)
    strange = [name for name in chosen if name not in known]
    if strange:
        sys.exit("bench: no subject '%s'; there are:\n%s" % (strange[0], "\n".join(
            "  %-10s %s" % (name, run.__doc__) for name, run in known.items())))
    for name in chosen:
        print("== %s: %s" % (name, known[name].__doc__), flush=True)
        site = Site()
        try:
            known[name](site)
        finally:
            site.stop_all()
            site.remove()


if __name__ == "__main__":
    main()
