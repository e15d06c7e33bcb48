"""Our CUDA kernels on the processor (tests/cuda), against the references, on the workloads of cases.py. Speaks TAP.

kernels.py BUILD SHARED [NAME...]    only these definitions
"""
import json
import os
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cases import NARROW_WANTED, SHARED_WANTED, cases, definitions, wanted, workloads
from ours import ROOT, run

BUILD, SHARED = Path(sys.argv[1]).absolute(), Path(sys.argv[2])
sys.path.append(str(ROOT / "tests/cuda"))
import translate  # noqa: E402

work = Path(tempfile.mkdtemp())
ds = work / "ds"
CUDA = next((p for p in map(Path, (os.environ.get("CUDA_HOME", ""), "/usr/local/cuda")) if (p / "include/cuda_bf16.h").exists()), None)


def build(d, arch):
    """The kernel, for the processor."""
    folder, so = work / arch / d["name"], work / arch / ("onboard_cuda_%s.so" % d["name"])
    translate.main(work / "gpu/src" / d["name"], folder)
    run("g++", "-std=c++17", "-O2", "-fno-strict-aliasing", "-U_FORTIFY_SOURCE", "-fPIC", "-shared", "-w", "-isystem", CUDA / "include",
        *(["-DHOST_SM90"] if arch == "sm_90a" else []), "-I", "tests/cuda", "-I", folder, "-o", so, folder / "kernel.cpp")


def evaluate(d, arch):
    out = work / "report.json"
    evalwl = run(BUILD / "bin/evalwl", "-d", ds, "--lib", work / arch, "-c", work / "cache", "--device=cpu", "--python", sys.executable,
                 "-t", work / "traces" / arch, "-s", "onboard", "--no-time", "--trials=1", "--timeout=200", "-o", out, d["name"])
    got = json.loads(out.read_text())[d["name"]]["onboard_cuda_" + d["name"]]
    assert set(got) == {"PASSED"}, evalwl.stderr.splitlines()[0]
    return got["PASSED"]


def main():
    todo = [d for d in wanted(definitions(BUILD, SHARED, work), SHARED) if d["name"] in sys.argv[3:] or not sys.argv[3:]]
    run(BUILD / "bin/mksol", "-d", ds, "-t", work / "gpu", *[d["name"] for d in todo])
    # what has a version of its own for Hopper is tried as that, too
    todo = [(d, arch) for d in todo for arch in ("sm_80", "sm_90a")
            if arch == "sm_80" or "ptx_sm90.cuh" in os.listdir(work / "gpu/src" / d["name"])]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        built = [pool.submit(build, *x) for x in todo]
    for n, ((d, arch), made) in enumerate(zip(todo, built), 1):
        what = "kernel on the processor, %s: %s" % (arch, d["name"])
        try:
            made.result()
            if arch == "sm_80":
                workloads(ds, d, cases(d))
            print("ok %d %s: %d workloads" % (n, what, evaluate(d, arch)), flush=True)
        except Exception as e:
            text = getattr(e, "stderr", None) or repr(e)
            print("not ok %d %s\n%s" % (n, what, "\n".join("# " + s for s in text.splitlines()[-12:])), flush=True)
    n = len(todo)
    if not (SHARED / "models").is_dir():
        for kind in NARROW_WANTED + SHARED_WANTED:
            n += 1
            print("ok %d kernel on the processor, %s # SKIP no %s" % (n, kind, SHARED), flush=True)
    print("1..%d" % n)


if CUDA:
    main()
else:
    print("ok 1 kernels on the processor # SKIP no CUDA headers here\n1..1")
shutil.rmtree(work)
