"""evalwl on the processor, with real PyTorch references: statuses, resumption, agreement with flashinfer-bench. Speaks TAP.

evaluate.py BUILD [FLASHINFER_BENCH_CLONE]
"""
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy
import torch

from ours import ROOT, changed, define, run

BUILD = Path(sys.argv[1]).absolute()
bench = sys.argv[2] if len(sys.argv) > 2 else None
work = Path(tempfile.mkdtemp())
ds = work / "ds"
n = 0


def t(name, fn):
    global n
    n += 1
    try:
        print("ok %d %s: %s" % (n, name, fn()), flush=True)
    except Exception as e:
        out = getattr(e, "stderr", "") or ""
        print("not ok %d %s\n# %r\n%s" % (n, name, e, "\n".join("# " + s for s in str(out).splitlines()[-15:])), flush=True)


def skip(name, why):
    global n
    n += 1
    print("ok %d %s # SKIP %s" % (n, name, why), flush=True)


def make_definitions():
    for model in ("qwen3-8b", "deepseek-v3", "llama-3.1-8b"):
        define(BUILD, work, model, "manifests/snapshot/configs/%s.json" % model)
    # layers that no model of the snapshot has
    for name, layers in ("kda", {"linear_attn_config": {"kda_layers": [1], "num_heads": 32, "head_dim": 128}}), ("lightning", {"attn_type_list": [0, 1]}):
        define(BUILD, work, name, changed(work, ROOT / "manifests/snapshot/configs/qwen3-8b.json", **layers))
    shutil.rmtree(ds / "solutions")  # wrappers of FlashInfer, which needs a GPU
    return "%d definitions" % len(list(ds.glob("definitions/*/*.json")))


def definition(name):
    return json.loads(next(ds.glob("definitions/*/%s.json" % name)).read_text())


def workloads(d, sizes, inputs=None):
    """Lines of a workload file: every input random."""
    path = ds / "workloads" / d["op_type"] / (d["name"] + ".jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for i, axes in enumerate(sizes):
        ins = {k: (inputs or {}).get(k, {"type": "random"}) for k in d["inputs"]}
        lines.append({"definition": d["name"], "solution": None, "evaluation": None,
                      "workload": {"uuid": "00000000-0000-4000-8000-%012d" % i, "axes": axes, "inputs": ins}})
    path.write_text("".join(json.dumps(x) + "\n" for x in lines))


def solution(d, name, source, author="t", language="python", **spec):
    path = ds / "solutions" / author / d["op_type"] / d["name"] / (name + ".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"name": name, "definition": d["name"], "author": author, "spec": {
        "language": language, "target_hardware": ["cpu"], "entry_point": "main.py::run",
        "destination_passing_style": False, **spec}, "sources": [{"path": "main.py", "content": source}]}))


def evalwl(*args, check=True, **kw):
    return subprocess.run([str(a) for a in (BUILD / "bin/evalwl", "-d", ds, "--lib", work / "lib", "-c", work / "cache", "--device=cpu",
                          "--python", sys.executable, "--warmup=1", "--iterations=3", "--budget=200", *args)],
                          check=check, capture_output=True, text=True, cwd=ROOT, **kw)


def statuses(name):
    out = {}
    for f in ds.glob("traces/*/*/%s.jsonl" % name):
        for line in f.read_text().splitlines():
            x = json.loads(line)
            out.setdefault(x["solution"], []).append(x["evaluation"]["status"])
    return out


NORM = r"""
#include <math.h>
#include <unistd.h>
#include "solution.h"
static float f(uint16_t x) { union { uint32_t u; float f; } v = { (uint32_t)x << 16 }; return v.f; }
static uint16_t b(float x) { union { float f; uint32_t u; } v = { x }; return (uint16_t)((v.u + 0x7fff + (v.u >> 16 & 1)) >> 16); }
size_t onboard_workspace(const struct ob_arg *a) { (void)a; return 16; }
int onboard_run(const struct ob_arg *a, void *w, void *s)
{
	const uint16_t *x = a[0].data, *g = a[1].data;
	uint16_t *o = a[2].data;
	int64_t n = a[0].shape[0], h = a[0].shape[1], i, j;

	(void)w; (void)s;
	BEFORE
	for (i = 0; i < n; i++) {
		double q = 0;
		for (j = 0; j < h; j++)
			q += f(x[i * h + j]) * f(x[i * h + j]);
		for (j = 0; j < h; j++)
			o[i * h + j] = b(f(x[i * h + j]) / sqrtf((float)(q / h) + 1e-6f) * f(g[j]) FACTOR);
	}
	return 0;
}
"""


def native(d, name, before="", factor=""):
    (work / "lib").mkdir(exist_ok=True)
    src = work / "norm.c"
    src.write_text("#define BEFORE %s\n#define FACTOR %s\n%s" % (before, factor, NORM))
    run("gcc", "-O2", "-shared", "-fPIC", "-I", "kernels/parts", "-o", work / "lib" / (name + ".so"), src, "-lm")
    solution(d, name, "native", language="cuda", entry_point="main.py::run")


def native_statuses():
    d = definition("rmsnorm_h128")
    workloads(d, [{"batch_size": b} for b in (1, 7, 64)])
    native(d, "right")
    native(d, "wrong", factor="* 1.1f")
    native(d, "half", before="if (n > 1) n -= n / 2;")
    native(d, "crash", before="if (n == 7) *(volatile int *)0 = 1;")
    native(d, "hang", before="if (n == 7) sleep(60);")
    evalwl("--timeout=4", d["name"])
    got = statuses(d["name"])
    want = {"right": ["PASSED"] * 3, "wrong": ["INCORRECT_NUMERICAL"] * 3, "half": ["PASSED"] + ["INCORRECT_NUMERICAL"] * 2,
            "crash": ["PASSED", "RUNTIME_ERROR", "PASSED"], "hang": ["PASSED", "TIMEOUT", "PASSED"]}
    assert got == want, got
    for line in next(ds.glob("traces/t/rmsnorm/rmsnorm_h128.jsonl")).read_text().splitlines():
        x = json.loads(line)["evaluation"]
        assert (x["performance"] is not None) == (x["status"] == "PASSED"), x
        assert x["status"] == "PASSED" or x["log"], x
    return "right, wrong, half written, crashed, hanging: each its own line"


def nothing_again():
    before = {f: f.read_bytes() for f in ds.glob("traces/*/*/*.jsonl")}
    out = evalwl("--timeout=4", "rmsnorm_h128").stderr
    assert "0 evaluated, 15 had a trace" in out, out
    assert before == {f: f.read_bytes() for f in ds.glob("traces/*/*/*.jsonl")}
    native(definition("rmsnorm_h128"), "wrong", factor="* 1.0f")
    path = next(ds.glob("solutions/t/*/*/wrong.json"))
    path.write_text(path.read_text().replace("native", "another text"))
    out = evalwl("--timeout=4", "rmsnorm_h128").stderr
    assert "3 evaluated, 12 had a trace" in out, out
    assert statuses("rmsnorm_h128")["wrong"] == ["PASSED"] * 3
    return "0 of 15 again; a solution whose text changed: its 3"


def killed():
    d = definition("rmsnorm_h128")
    shutil.rmtree(ds / "traces")
    shutil.rmtree(work / "cache")
    for f in ds.glob("solutions/t/rmsnorm/rmsnorm_h128/*.json"):
        if f.stem != "right":
            f.unlink()
    workloads(d, [{"batch_size": 1 + b} for b in range(40)])
    kills = 0
    args = [str(a) for a in (BUILD / "bin/evalwl", "-d", ds, "--lib", work / "lib", "-c", work / "cache", "--device=cpu", "--python",
                             sys.executable, "--warmup=1", "--iterations=3", d["name"])]
    journal = work / "cache/journal/t.rmsnorm_h128.jsonl"
    for lines in (3, 17, 30):
        p = subprocess.Popen(args, cwd=ROOT, stderr=subprocess.DEVNULL)
        end = time.time() + 60
        while time.time() < end and p.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") < lines):
            time.sleep(0.01)
        if p.poll() is None:
            p.send_signal(signal.SIGKILL)
            kills += 1
        p.wait()
    with open(journal, "ab") as f:
        f.write(b'{"definition": "torn')
    out = evalwl(d["name"]).stderr
    assert int(out.split(" evaluated")[0].split()[-1]) <= 38, out
    assert statuses(d["name"]) == {"right": ["PASSED"] * 40} and not journal.exists()
    time.sleep(0.3)
    left = subprocess.run(["pgrep", "-f", str(work / "cache")], capture_output=True, text=True).stdout.split()
    assert not left, left
    return "%d times, and a torn line: 40 traces, no process left; the last run had %s to do" % (kills, out.split(" evaluated")[0].split()[-1])


def damaged():
    """Files of the cache that were cut short, emptied, overwritten: the reference's outputs are made anew."""
    files = sorted((work / "cache/ref").glob("*/*.safetensors"))[:3]
    os.truncate(files[0], files[0].stat().st_size - 1)
    files[1].write_bytes(b"")
    files[2].write_bytes(b"\xff" * files[2].stat().st_size)
    out = evalwl("--again", "rmsnorm_h128").stderr
    assert out.count("(it is made anew)") == 3 and "40 evaluated" in out, out
    assert statuses("rmsnorm_h128") == {"right": ["PASSED"] * 40}
    assert "made anew" not in evalwl("--again", "rmsnorm_h128").stderr
    return "3 files, 40 of 40 PASSED"


def changed_evalpy(was, new):
    """The environment in which evalwl takes such a one."""
    evalpy = work / "evalpy"
    text = (ROOT / "scripts/evalpy").read_text()
    evalpy.write_text(text.replace(was, new))
    assert evalpy.read_text() != text
    return {**os.environ, "ONBOARD_EVALPY": str(evalpy)}


def no_room():
    """A cache without room: the oldest outputs give way. Where that does not help, no trace blames a solution."""
    def there():
        return {f: f.read_bytes() for f in (work / "cache/ref").glob("*/*.safetensors")}
    # the half-written file has a name that can be known before
    env = changed_evalpy('"%s.%d.tmp" % (path, os.getpid())', 'path + ".tmp"')
    before = there()
    one = min(before)
    one.unlink()
    Path(str(one) + ".tmp").symlink_to("/dev/full")
    assert "40 evaluated" in evalwl("--again", "rmsnorm_h128", env=env).stderr
    left = there()
    assert before[one] == left[one] and left.items() < before.items(), len(left)
    # of what a run makes, nothing is kept but what its last workload has used
    shutil.rmtree(work / "cache/ref")
    assert "40 evaluated" in evalwl("--again", "--keep=0", "rmsnorm_h128").stderr
    left = there()
    assert len(left) == 3 and left.items() < before.items(), len(left)
    assert statuses("rmsnorm_h128") == {"right": ["PASSED"] * 40}
    one.unlink(missing_ok=True)
    Path(str(one) + ".tmp").mkdir()
    got = evalwl("--again", "rmsnorm_h128", check=False, env=env)
    assert got.returncode == 75 and "%s: Is a directory" % one.name in got.stderr and "Traceback" not in got.stderr, got.stderr
    Path(str(one) + ".tmp").rmdir()
    out = evalwl("rmsnorm_h128").stderr
    assert statuses("rmsnorm_h128") == {"right": ["PASSED"] * 40}, out
    return "40 of 40 PASSED with outputs that went; %d kept; status 75 and no trace where nothing can be written" % len(left)


def taken_over():
    """A reference's outputs that another evaluation took over and let go, before they are held, are made again; a limited number of times."""
    mark = work / "let-go"
    for times, rc in ((1, 0), (3, 0), (99, 75)):
        shutil.rmtree(work / "cache/ref")
        mark.write_text("x" * times)
        env = changed_evalpy("        os.replace(half, path)\n", """        os.replace(half, path)
        left = os.path.getsize(%r)
        if left and path.endswith(".safetensors"):
            os.truncate(%r, left - 1)
            os.unlink(path)
""" % (str(mark), str(mark)))
        got = evalwl("--again", "rmsnorm_h128", check=False, env=env)
        assert got.returncode == rc and "Traceback" not in got.stderr, got.stderr
        assert ("it was just made, and is gone" if rc else "40 evaluated") in got.stderr, got.stderr
        # eight times three files; those that are written side by side may take the same from the mark
        assert 99 - 8 * 3 <= mark.stat().st_size <= 99 - 8 if rc else not mark.stat().st_size, mark.stat().st_size
    evalwl("rmsnorm_h128")
    assert statuses("rmsnorm_h128") == {"right": ["PASSED"] * 40}
    return "40 of 40 PASSED after one and three that went; status 75 where they always do"


def references_pass():
    """A solution that is the reference passes, whatever the op; one that gives it away by a bit of noise does not."""
    done = 0
    for name, sizes in (("fused_add_rmsnorm_h4096", [{"batch_size": 3}]), ("silu_and_mul_h24576", [{"num_tokens": 2}]),
                        ("merge_state_h32_d128", [{"seq_len": 5}])):
        d = definition(name)
        workloads(d, sizes)
        solution(d, "same", d["reference"])
        solution(d, "other_dtype", d["reference"] + "\n_run = run\ndef run(*a):\n    o = _run(*a)\n    return [x.double() for x in o] if isinstance(o, tuple) else o.double()\n")
        solution(d, "other_shape", d["reference"] + "\n_run = run\ndef run(*a):\n    o = _run(*a)\n    return [x[:1] for x in o] if isinstance(o, tuple) else o[:1]\n")
        solution(d, "nan", d["reference"] + "\n_run = run\ndef run(*a):\n    o = _run(*a)\n    (o[0] if isinstance(o, tuple) else o).view(-1)[3] = float('nan')\n    return o\n")
        solution(d, "no_import", "import no_such_module\n" + d["reference"])
        solution(d, "raises", "def run(*a):\n    raise ValueError('not this one')\n")
        evalwl("--trials=2", name)
        assert statuses(name) == {"raises": ["RUNTIME_ERROR"], "same": ["PASSED"], "other_dtype": ["INCORRECT_DTYPE"], "other_shape": ["INCORRECT_SHAPE"],
                                  "nan": ["INCORRECT_NUMERICAL"], "no_import": ["COMPILE_ERROR"]}, (name, statuses(name))
        done += 1
    return "%d definitions, six solutions each" % done


FORGES = """
    for fd in range(3, 64):
        try:
            os.write(fd, %r)
        except OSError:
            pass
"""


def hostile():
    """What a solution writes to pipes, closes, says or starts is its own affair: the next one's answer is the next one's."""
    d = definition("rmsnorm_h4096")
    workloads(d, [{"batch_size": 3}])
    body = "import os, subprocess, sys\n" + d["reference"].replace("def run(", "def right(")
    wrong, right = "    return x\n", "    return right(x, weight)\n"
    for name, text in {
            "a_forges": FORGES % b'{"status": "PASSED"}\n' + wrong,
            "b_cuts": FORGES % b'{"status": ' + right,
            "c_closes": "    os.closerange(0, 64)\n    while True:\n        pass\n",
            "d_says": "    raise ValueError('no \\0 text \\ud800' + 'x' * 100000)\n",
            "e_starts": "    subprocess.Popen(['sleep', '%d.7'], start_new_session=True)\n" % (10000 + os.getpid()) + right,
            "f_forks": "    if os.fork() == 0:\n        os.execlp('sleep', 'sleep', '%d.7')\n" % (10000 + os.getpid()) + right,
            "g_ends": "    os._exit(0)\n",
            "h_right": right}.items():
        solution(d, name, body + "\ndef run(x, weight):\n" + text, author="hostile")
    evalwl("--solutions=hostile", "--trials=1", "--timeout=30", d["name"])
    got = {k: v for k, v in statuses(d["name"]).items() if k[1] == "_"}
    assert got == {"a_forges": ["INCORRECT_NUMERICAL"], "b_cuts": ["PASSED"], "c_closes": ["RUNTIME_ERROR"], "d_says": ["RUNTIME_ERROR"],
                   "e_starts": ["PASSED"], "f_forks": ["PASSED"], "g_ends": ["RUNTIME_ERROR"], "h_right": ["PASSED"]}, got
    left = [c for c in Path("/proc").glob("[0-9]*/cmdline") if b"%d.7" % (10000 + os.getpid()) in c.read_bytes()]
    assert not left, left
    # a blob that is a pipe without a writer is refused, not waited for
    os.mkfifo(ds / "pipe")
    workloads(d, [{"batch_size": 3}], {"weight": {"type": "safetensors", "path": "./pipe", "tensor_key": "weight"}})
    said = evalwl("--solutions=h_right", "--again", d["name"], timeout=60).stderr
    (ds / "pipe").unlink()
    assert "pipe is no safetensors file" in said, said
    return "seven and a right one, each its own line; nothing is left of what they started"


def sampling():
    path = next(ds.glob("definitions/sampling/top_k_top_p_sampling_from_probs_v*.json"))
    d = json.loads(path.read_text())
    old, name = d["name"], "top_k_top_p_sampling_from_probs_v512"
    d["name"], d["axes"]["vocab_size"]["value"] = name, 512
    d["reference"] = d["reference"].replace(old.rsplit("v", 1)[1], "512")
    (path.parent / (name + ".json")).write_text(json.dumps(d))
    import struct
    blob = ds / "blob/workloads/sampling" / name / "x.safetensors"
    blob.parent.mkdir(parents=True)
    head = json.dumps({"top_k": {"dtype": "I32", "shape": [12], "data_offsets": [0, 48]}}).encode()
    blob.write_bytes(struct.pack("<Q", len(head)) + head + struct.pack("<12i", *[1, 5, 20, 512, 0, 40] * 2))
    workloads(d, [{"batch_size": 12}], {"top_k": {"type": "safetensors", "path": "./blob/workloads/sampling/%s/x.safetensors" % name, "tensor_key": "top_k"}})
    fast = """import torch
def run(probs, top_k, top_p):
    p, order = probs.double().sort(-1, descending=True)
    rank = torch.arange(p.shape[1]).expand_as(p)
    k = top_k.view(-1, 1)
    p = torch.where((k <= 0) | (k >= p.shape[1]) | (rank < k), p, 0.0)
    p = p / p.sum(-1, keepdim=True)
    before = p.cumsum(-1) - p
    p = torch.where(before <= %s, p, 0.0)
    return order.gather(1, torch.multinomial(p%s, 1, replacement=True)).view(-1)
"""
    solution(d, "fair", fast % ("top_p.view(-1, 1)", ""))
    solution(d, "unfair", fast % ("top_p.view(-1, 1)", " ** 4"))
    solution(d, "too_many", fast % ("2.0", ""))
    solution(d, "outside", fast.replace(".view(-1)\n", ".view(-1) + 512\n") % ("top_p.view(-1, 1)", ""))
    evalwl(name)
    got = statuses(name)
    assert got == {"fair": ["PASSED"], "unfair": ["INCORRECT_NUMERICAL"], "too_many": ["INCORRECT_NUMERICAL"],
                   "outside": ["INCORRECT_NUMERICAL"]}, got
    x = [json.loads(s) for s in next(ds.glob("traces/t/sampling/%s.jsonl" % name)).read_text().splitlines()]
    return "a fair one passes with a distance of %.3f, three others do not" % [
        y["evaluation"]["correctness"]["extra"]["tvd"] for y in x if y["solution"] == "fair"][0]


lib = ctypes.CDLL(str(BUILD / "eval/libevalcpu.so"))
lib.ev_fill.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_int, ctypes.c_uint64, ctypes.c_double,
                        ctypes.c_double]


class Diff(ctypes.Structure):
    _fields_ = [("max_abs", ctypes.c_double), ("max_rel", ctypes.c_double), ("failed", ctypes.c_int64),
                ("nonfinite", ctypes.c_int64), ("first", ctypes.c_int64), ("got", ctypes.c_double), ("want", ctypes.c_double)]


lib.ev_compare.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_double, ctypes.c_double, ctypes.POINTER(Diff)]


def bits(seed, count):
    with numpy.errstate(over="ignore"):
        z = numpy.uint64(seed) + numpy.arange(1, count + 1, dtype=numpy.uint64) * numpy.uint64(0x9e3779b97f4a7c15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xbf58476d1ce4e5b9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94d049bb133111eb)
        return z ^ (z >> numpy.uint64(31))


def fills():
    count = 1 << 16
    z = bits(12345, count)
    total = sum((z >> numpy.uint64(16 * i)) & numpy.uint64(0xffff) for i in range(4)).astype(numpy.int64) - 131070
    want = torch.from_numpy(total.astype(numpy.float32) * numpy.float32(1.0 / 37837.23))
    for i, dtype in enumerate((torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float8_e5m2)):
        x = torch.empty(count, dtype=dtype)
        lib.ev_fill(x.data_ptr(), i, count, 1, 0, 12345, 1.0, 0.0)
        w = want.clamp(-2, 2) if i > 2 else want
        assert torch.equal(x.float(), w.to(dtype).float()), dtype
    assert abs(want.mean()) < 0.02 and abs(want.std() - 1) < 0.02
    x = torch.empty(4, 50000)
    lib.ev_fill(x.data_ptr(), 0, x.numel(), 50000, 2, 7, 1.0, 0.0)
    assert (x >= 0).all() and (x.double().sum(-1) - 1).abs().max() < 1e-5
    x = torch.empty(count)
    lib.ev_fill(x.data_ptr(), 0, count, 1, 4, 7, 0.5, 0.5)
    assert x.min() >= 0.5 and x.max() < 1
    y = torch.empty(count)
    lib.ev_fill(y.data_ptr(), 0, count, 64, 4, 7, 0.5, 0.5)
    assert torch.equal(y, x[:count // 64].repeat_interleave(64))
    return "five float types bit for bit as numpy and PyTorch round, rows of probabilities add up, neighbours have one value"


def agrees():
    """Failed elements and errors against flashinfer-bench's own function."""
    sys.path.insert(0, bench)
    import importlib.util
    import types
    # its utils import the GPU's timing; the function itself needs PyTorch only
    source = (Path(bench) / "flashinfer_bench/bench/utils.py").read_text()
    start = source.index("def compute_error_stats")
    scope = {"torch": torch, "Tuple": tuple, "ResolvedEvalConfig": None}
    body = source[start:source.index("\ndef ", start + 10)].replace("cfg: ResolvedEvalConfig", "cfg").replace("-> Tuple[float, float, bool, float]", "")
    exec(body, scope)
    g = torch.Generator().manual_seed(1)
    compared = 0
    for i, dtype in enumerate((torch.float32, torch.bfloat16, torch.float16)):
        for noise in (0, 1e-3, 1e-2, 0.1, 1):
            ref = torch.randn(4096, generator=g).to(dtype)
            out = (ref.float() + noise * torch.randn(4096, generator=g)).to(dtype)
            for atol, rtol in ((1e-2, 1e-2), (0, 0), (1e-3, 1), (1, 1e-3)):
                cfg = types.SimpleNamespace(atol=atol, rtol=rtol, required_matched_ratio=None)
                a, r, exceeds, ratio = scope["compute_error_stats"](out, ref, cfg)
                d = Diff()
                lib.ev_compare(out.data_ptr(), ref.data_ptr(), i, 4096, atol, rtol, ctypes.byref(d))
                # theirs rounds the quotient to float32: an element on the edge may fall on the other side
                assert abs(d.failed / 4096 - (1 - ratio)) <= 2 / 4096, (dtype, noise, atol, rtol, d.failed, ratio)
                assert abs(d.max_abs - a) <= 1e-6 * max(1, a) and abs(d.max_rel - r) <= 1e-5 * max(1, r)
                assert (d.failed > 2) <= exceeds
                compared += 1
    return "%d comparisons" % compared


def schema():
    sys.path.insert(0, bench)
    import importlib
    import types
    # the package imports the GPU's parts; its data models alone need pydantic
    package = types.ModuleType("flashinfer_bench")
    package.__path__ = [str(Path(bench) / "flashinfer_bench")]
    sys.modules["flashinfer_bench"] = package
    data = importlib.import_module("flashinfer_bench.data")
    count = 0
    for f in ds.glob("traces/*/*/*.jsonl"):
        for line in f.read_text().splitlines():
            data.Trace.model_validate_json(line)
            count += 1
    sols = 0
    for f in ds.glob("solutions/onboard/*/*/*.json"):
        data.Solution.model_validate_json(f.read_text())
        sols += 1
    assert count > 40 and sols > 20, (count, sols)
    return "%d traces and %d solutions of ours" % (count, sols)


def ours_accepts():
    # the cuda solutions of the tests above are no texts
    out = subprocess.run([str(BUILD / "bin/checkset"), "-k", "kernels", "--json=-", "-q", str(ds)], capture_output=True, text=True, cwd=ROOT).stdout
    bad = [x for x in json.loads(out)["findings"] if x["section"] == "solution" and "onboard" in (x["file"] or "")]
    assert not bad, bad[:3]
    return "no finding in solutions/onboard"


def packed():
    run(BUILD / "bin/mksol", "-d", ds, "-t", work / "gpu")
    made = len(list(ds.glob("solutions/onboard/*/*/*.json")))
    none = (work / "gpu/none.txt").read_text().split()
    assert made > 20
    assert not [x for x in none if x.startswith(("gqa_paged_decode_h", "rmsnorm", "rope", "gemm_n"))], none
    before = {f: f.stat().st_mtime_ns for f in (work / "gpu").rglob("*") if f.is_file()}
    run(BUILD / "bin/mksol", "-d", ds, "-t", work / "gpu")
    assert before == {f: f.stat().st_mtime_ns for f in (work / "gpu").rglob("*") if f.is_file()}
    triton = list(ds.glob("solutions/triton/*/*/*.json"))
    assert len(triton) > 10
    for f in triton:
        text = json.loads(f.read_text())["sources"][0]["content"]
        assert "@{" not in text and "# part:" not in text, f
        compile(text, str(f), "exec")
    return "%d, %d definitions without a kernel of ours; %d in Triton" % (made, len(none), len(triton))


def compiled():
    nvcc = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    seen, todo = set(), []
    for d in sorted((work / "gpu/src").iterdir()):
        key = (d / "kernel.cu").read_text()
        if key not in seen:	# a source of each kind: the others differ in constants
            seen.add(key)
            todo.append(d)
    archs = [x for a in ("80", "90a", "100a") for x in ("-gencode", "arch=compute_%s,code=sm_%s" % (a, a))]

    def one(d):
        p = subprocess.run([nvcc, "-O1", "-Xcicc", "-O1", "-std=c++17", "-Xcompiler", "-fPIC", "-shared", *archs, "-Werror", "all-warnings", "-I", str(d), "-o",
                            str(work / (d.name + ".so")), str(d / "kernel.cu"), "-lcublas", "-lcublasLt"], capture_output=True, text=True)
        assert p.returncode == 0, (d.name, p.stderr[-1500:])
        names = subprocess.run(["nm", "-D", str(work / (d.name + ".so"))], capture_output=True, text=True).stdout
        assert " T onboard_run" in names and " T onboard_workspace" in names, d.name
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(one, todo))
    return "%d sources for sm_80, sm_90a and sm_100a without a warning" % len(todo)


t("definitions to evaluate", make_definitions)
t("fills", fills)
t("native solutions on the processor", native_statuses)
t("a trace is not made twice", nothing_again)
t("killed and taken up", killed)
t("a damaged cache of references", damaged)
t("a cache without room", no_room)
t("outputs that others take over", taken_over)
t("statuses of Python solutions", references_pass)
t("hostile solutions", hostile)
t("sampling by distribution", sampling)
t("CUDA kernels as solutions", packed)
t("checkset accepts them", ours_accepts)
if shutil.which("nvcc") or Path("/usr/local/cuda/bin/nvcc").exists():
    t("CUDA kernels compile", compiled)
else:
    skip("CUDA kernels compile", "no nvcc here")
if bench:
    t("comparison against flashinfer-bench's", agrees)
    t("flashinfer-bench's schema accepts", schema)
else:
    skip("comparison and schema against flashinfer-bench's", "no clone of it")
shutil.rmtree(work)
print("1..%d" % n)
