"""What several of these tests do: run a tool, and define what a config needs."""
import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(*args, **kw):
    return subprocess.run([str(a) for a in args], check=True, capture_output=True, text=True, cwd=ROOT, **kw)


def define(build, work, slug, config, *serving):
    """The definitions of a config in work/ds, as if none existed; serving: options of needed."""
    k = run(build / "bin/needed", "-c", config, *serving).stdout
    k = json.loads(run(build / "bin/classify", "--index", "manifests/snapshot", "-", input=k).stdout)
    for e in k["kernels"]:
        wrapped = (ROOT / "kernels" / e["op_type"] / (e["template"] + "_baseline.py")).exists()
        e.update(phase1_status="new", fi_status="fi_supported" if wrapped else "fi_missing")
    run(build / "bin/mkdef", "--slug", slug, "--dataset", work / "ds", "--ours", work / "ours", "-o", "/dev/null", "-", input=json.dumps(k))


def changed(work, config, **change):
    """A copy of a config with other numbers or layers, in work/."""
    path = work / config.name
    path.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    return path
