"""Our CUDA kernels on this machine's GPU, against the references, on the workloads of cases.py and on huge batches; then the
small ones under compute-sanitizer. Without a GPU everything is compiled, and what was not run is said. Speaks TAP.

gpu.py BUILD SHARED WORK [NAME...]    only these definitions; GPU_ARCHS="90a" where there is no GPU to ask

WORK keeps what was compiled. Where BUILD has no mkdef, a WORK that another machine prepared is taken as it is.
"""
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from cases import GPU_LARGE, GPU_WANTED, cases, definitions, huge, smallest, wanted, workloads
from ours import run

BUILD, SHARED, work = Path(sys.argv[1]).absolute(), Path(sys.argv[2]), Path(sys.argv[3]).absolute()
ds, ready = work / "ds", work / "ready.json"
TOOLS = "memcheck", "racecheck"
here = torch.cuda.is_available()
n = 0


def archs():
    if here:
        major, minor = torch.cuda.get_device_capability()
        return ["%d%d%s" % (major, minor, "a" if major >= 9 else "")]
    return os.environ.get("GPU_ARCHS", "90a").split()


lib = work / ("lib-" + "-".join(archs()))


def prepare():
    """Definitions, workloads and sources; {name: how many workloads a sanitizer looks at}."""
    for old in "ds", "ours":
        shutil.rmtree(work / old, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    all_of = definitions(BUILD, SHARED, work)
    small = {}
    for d in wanted(all_of, SHARED) + smallest(all_of, GPU_WANTED) + [all_of[n] for n in GPU_LARGE]:
        if d["name"] not in small:
            given = cases(d)
            workloads(ds, d, given + huge(d))
            small[d["name"]] = 0 if d["name"] in GPU_LARGE else len(given)
    run(BUILD / "bin/mksol", "-d", ds, "-t", work / "gpu", *small)
    ready.write_text(json.dumps(small))
    return small


def compile_one(name):
    so, sources = lib / ("onboard_cuda_%s.so" % name), work / "gpu/src" / name
    # mksol leaves files as they are that stay the same
    if not so.exists() or so.stat().st_mtime < max(f.stat().st_mtime for f in sources.iterdir()):
        lib.mkdir(exist_ok=True)
        half = so.with_suffix(".half")
        run("nvcc", "-O3", "-std=c++17", "-Xcompiler", "-fPIC", "-shared", *["-gencode=arch=compute_%s,code=sm_%s" % (a, a) for a in archs()],
            "-I", sources, "-o", half, sources / "kernel.cu", "-lcublas", "-lcublasLt")
        half.rename(so)
    return "%d kB" % (so.stat().st_size >> 10)


def evaluate(name, traces, *more, before=()):
    """How many workloads passed; each definition has GPU locks of its own, since nothing is timed."""
    own = work / traces / name
    own.mkdir(parents=True, exist_ok=True)
    got = subprocess.run([str(x) for x in (*before, BUILD / "bin/evalwl", "-d", ds, "--lib", lib, "-c", work / "cache" / name, "--python", sys.executable,
                         "-t", own / "traces", "--again", "--locks", own, "-s", "onboard", "--no-time", "--trials=1", "-o", own / "report.json", *more, name)],
                         capture_output=True, text=True)
    if got.returncode:
        raise RuntimeError(got.stderr)
    of = json.loads((own / "report.json").read_text())[name]["onboard_cuda_" + name]
    if set(of) != {"PASSED"}:
        raise RuntimeError("%s\n%s" % (of, got.stderr))
    return "%d workloads" % of["PASSED"]


def sanitize(name, tool, small):
    """The small workloads once more; the references are kept, so that Python has nothing to do."""
    if tool == "racecheck" and not any("__global__" in f.read_text() for f in (work / "gpu/src" / name).iterdir()):
        return "# SKIP no kernel but cuBLAS' own, which fail under it"
    if tool == "racecheck" and (ds / "definitions/sampling" / (name + ".json")).exists() and "_renorm_" not in name:
        return "# SKIP draws are too many for it; those that renormalise are the same kernel"
    log = work / tool / name / "log"
    log.parent.mkdir(parents=True, exist_ok=True)
    for f in log.parent.glob("log.*"):
        f.unlink()
    said = evaluate(name, tool, "--limit=%d" % small, "--timeout=600", before=(
        "compute-sanitizer", "--target-processes=all", "--tool", tool, "--log-file", str(log) + ".%p"))
    text = "".join(f.read_text() for f in log.parent.glob("log.*"))
    counts = [int(x) for x in re.findall(r"SUMMARY: (\d+) ", text)]
    if not counts:
        raise RuntimeError("compute-sanitizer said nothing")
    if sum(counts):
        raise RuntimeError("\n".join(s for s in text.splitlines() if "Host Frame" not in s))
    return "%s, %d processes" % (said, len(counts))


def t(what, fn, *args):
    global n
    n += 1
    try:
        line = "ok %d %s: %s" % (n, what, fn(*args))
    except Exception as e:
        text = getattr(e, "stderr", None) or str(e) or repr(e)
        line = "not ok %d %s\n%s" % (n, what, "\n".join("# " + s for s in text.splitlines()[-25:]))
    print(line, flush=True)


def main():
    small = prepare() if (BUILD / "bin/mkdef").exists() or not ready.exists() else json.loads(ready.read_text())
    small = {name: k for name, k in small.items() if name in sys.argv[4:] or not sys.argv[4:]}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = {name: pool.submit(compile_one, name) for name in small}
        for name, m in made.items():
            t("compiled for %s: %s" % (" ".join(archs()), name), m.result)
    if not here:
        print("ok %d kernels on a GPU # SKIP no GPU here: %d kernels were compiled, none was run" % (n + 1, len(small)))
        return print("1..%d" % (n + 1))
    print("# " + torch.cuda.get_device_name(), flush=True)
    todo = [("kernel on the GPU", lambda x: evaluate(x, "plain"))]
    if shutil.which("compute-sanitizer"):
        todo += [(tool, lambda x, tool=tool: sanitize(x, tool, small[x])) for tool in TOOLS]
    else:
        t("compute-sanitizer", lambda: "# SKIP it is not on PATH")
    with ThreadPoolExecutor(min(8, os.cpu_count())) as pool:
        for what, fn in todo:
            runs = {name: pool.submit(fn, name) for name in small if what not in TOOLS or small[name]}
            for name, r in runs.items():
                t("%s: %s" % (what, name), r.result)
    print("1..%d" % n)


main()
