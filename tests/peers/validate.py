"""Run FlashInfer-Bench's own validator; exit 1 on any error or warning.

usage: validate.py BENCH_CLONE DATASET
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

with tempfile.TemporaryDirectory() as out:
    subprocess.run(
        [sys.executable, "-c", "from flashinfer_bench.cli.main import cli; cli()", "validate",
         "--dataset", sys.argv[2], "--disable-gpu", "--checks", "layout,definition",
         "--outputs", "json", "--output-folder", out],
        env={"PYTHONPATH": sys.argv[1], "PATH": "/usr/bin:/bin", "HOME": out}, check=True,
        capture_output=True, timeout=600)
    report = json.loads(next(Path(out).glob("*.json")).read_text())
bad = 0
for name, d in report["definitions"].items():
    for section in ("layout", "definition"):
        for m in d[section]["messages"]:
            if m["level"] in ("error", "warning"):
                print(name, section, m["level"], m["message"])
                bad += 1
print(len(report["definitions"]), "definitions,", bad, "findings")
sys.exit(1 if bad or not report["definitions"] else 0)
