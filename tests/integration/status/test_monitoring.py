# SPDX-License-Identifier: MIT
"""What packaging/monitoring ships: rules that promtool accepts and whose tests pass, a dashboard, and in both only
metrics that there are."""
import json
import pathlib
import re
import shutil
import subprocess

import pytest

from eefs import REPO

HERE = pathlib.Path(REPO, "packaging/monitoring")
METRIC = re.compile(r"\beefs_[a-z_]+")


def test_alert_rules():
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed")
    subprocess.run(["promtool", "check", "rules", HERE / "eefs-alerts.yml"], check=True, timeout=60)
    subprocess.run(["promtool", "test", "rules", HERE / "eefs-alerts-test.yml"], check=True, timeout=60)


def test_they_name_metrics_that_there_are():
    there = set(re.findall(r'\{"(eefs_[a-z_]+)", "(?:gauge|counter)"',
                           pathlib.Path(REPO, "sync/proto/metrics.c").read_text()))
    dashboard = json.loads((HERE / "grafana-dashboard.json").read_text())
    asked = [t["expr"] for p in dashboard["panels"] for t in p["targets"]]
    asked += re.findall(r"expr: (.*)", (HERE / "eefs-alerts.yml").read_text())
    named = {m for text in asked for m in METRIC.findall(text)}
    assert len(there) > 40 and len(named) > 10 and named <= there, named - there
    ids = [p["id"] for p in dashboard["panels"]]
    assert len(set(ids)) == len(ids) >= 10
