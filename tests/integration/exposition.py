# SPDX-License-Identifier: MIT
"""A strict parser of Prometheus' text format 0.0.4, of the part that eefs uses (gauges and
counters): what it does not know is an error."""

import re

NAME = r"[a-zA-Z_][a-zA-Z0-9_]*"
LABEL = r'(%s)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"' % NAME
SAMPLE = re.compile(r"(%s)(?:\{((?:%s,?)*)\})? (-?[0-9]+(?:\.[0-9]+)?|NaN)" % (NAME, LABEL))
UNIT = re.compile(r"_(ms|milliseconds|minutes|kib|mib|kilobytes)(_|$)")


def parse(text):
    """{(name, frozenset(labels)): value}; each family stands together, with HELP and TYPE."""
    samples, seen, family, kind = {}, set(), None, None
    assert text.endswith("\n") or not text
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("# HELP "):
            family = line.split(" ", 3)[2]
            assert len(line.split(" ", 3)) == 4 and family not in seen, line
            seen.add(family)
            words = next(lines).split(" ")
            assert words[:3] == ["#", "TYPE", family] and words[3] in ("gauge", "counter"), line
            kind = words[3]
            assert (kind == "counter") == family.endswith("_total"), family
            assert not UNIT.search(family), family
            continue
        m = SAMPLE.fullmatch(line)
        assert m and m.group(1) == family, line
        labels = re.findall(LABEL, m.group(2) or "")
        assert len(dict(labels)) == len(labels), line
        key = (family, frozenset((k, re.sub(r"\\(.)", lambda e: {"n": "\n"}.get(e[1], e[1]), v))
                                 for k, v in labels))
        assert key not in samples, line
        samples[key] = float(m.group(4 if m.lastindex == 4 else m.lastindex))
        assert kind != "counter" or samples[key] >= 0
    return samples


def value(samples, name, **labels):
    """The one sample of that name that has these labels."""
    found = [v for (n, have), v in samples.items() if n == name and set(labels.items()) <= have]
    assert len(found) == 1, (name, labels, found)
    return found[0]
