"""Hold checkset against FlashInfer-Bench's validator on one dataset.

usage: checkset.py CHECKSET BENCH_CLONE DATASET

What the validator calls an error, checkset calls an error of the same
definition; the missing descriptions are the same; what the validator finds
clean has only findings of the kinds that it does not look for.
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

checkset, bench, dataset = sys.argv[1:]
with tempfile.TemporaryDirectory() as out:
    subprocess.run(
        [sys.executable, "-c", "from flashinfer_bench.cli.main import cli; cli()", "validate",
         "--dataset", dataset, "--disable-gpu", "--outputs", "json", "--output-folder", out],
        env={"PYTHONPATH": bench, "PATH": "/usr/bin:/bin", "HOME": out}, check=True,
        capture_output=True, timeout=900)
    theirs = json.loads(next(Path(out).glob("*.json")).read_text())["definitions"]
ours = json.loads(subprocess.run([checkset, "--json=-", dataset], capture_output=True).stdout)
bad = 0
by_def = {}
for f in ours["findings"]:
    by_def.setdefault(f["definition"], []).append(f)
described = lambda ms: sorted(m.split(": ", 1)[1] for m in ms if m.startswith("missing description"))
for name, d in theirs.items():
    mine = by_def.get(name, [])
    for section in ("layout", "definition", "workload", "solution", "trace", "baseline"):
        errors = [m for m in d[section]["messages"] if m["level"] == "error"]
        if errors and not any(f["level"] == "error" for f in mine):
            print(f"{name}: the validator alone has an error in {section}: {errors[0]['message'][:200]}")
            bad += 1
    a = described(m["message"] for m in d["definition"]["messages"])
    b = described(f["message"] for f in mine)
    a = ["definition" if x == "description" or x == "definition" else x for x in a]
    if sorted(a) != b:
        print(f"{name}: other missing descriptions: {sorted(set(a) ^ set(b))[:5]}")
        bad += 1
n_errors = sum(any(m["level"] == "error" for s in ("layout", "definition", "workload") for m in d[s]["messages"]) for d in theirs.values())
print(f"{len(theirs)} definitions, {n_errors} with errors of the validator, {bad} differences")
sys.exit(1 if bad or not theirs else 0)
