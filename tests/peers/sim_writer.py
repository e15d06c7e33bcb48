"""simserve's dumps against those of FlashInfer's own writer (flashinfer/api_logging.py), run on CPU tensors. Speaks TAP."""
import json
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

BUILD, ROOT = Path(sys.argv[1]).absolute(), Path(__file__).resolve().parents[2]
work = Path(tempfile.mkdtemp())
os.environ.update(FLASHINFER_LOGLEVEL="10", FLASHINFER_DUMP_SAFETENSORS="1", FLASHINFER_DUMP_DIR=str(work / "real"), FLASHINFER_DUMP_INCLUDE="*",
                  FLASHINFER_DISABLE_VERSION_CHECK="1", FLASHINFER_LOGDEST=str(work / "log"))
import torch
from flashinfer.api_logging import flashinfer_api


def run(*args, **kw):
    return subprocess.run(args, check=True, capture_output=True, text=True, cwd=ROOT, **kw).stdout


k = run(BUILD / "bin/needed", "-c", "manifests/snapshot/configs/qwen3-8b.json")
k = json.loads(run(BUILD / "bin/classify", "--index", "manifests/snapshot", "-", input=k))
for e in k["kernels"]:
    e.update(phase1_status="new", fi_status="fi_supported")
run(BUILD / "bin/mkdef", "--slug", "x", "--dataset", work / "ds", "--ours", work / "ours", "-o", "/dev/null", "-", input=json.dumps(k))


@flashinfer_api
def fused_add_rmsnorm(input, residual, weight, eps=1e-6, enable_pdl=None):
    return None


@flashinfer_api
def top_k_top_p_sampling_from_probs(probs, top_k, top_p, indices=None, filter_apply_order="top_k_first"):
    return torch.zeros(probs.shape[0], dtype=torch.int32)


@flashinfer_api
def merge_state(v_a, s_a, v_b, s_b):
    return v_a, s_a


class BatchDecodeWithPagedKVCacheWrapper:
    @flashinfer_api
    def plan(self, indptr, indices, last_page_len, num_qo_heads, num_kv_heads, head_dim, page_size, data_type=None, q_data_type=None,
             non_blocking=True, fixed_split_size=None, disable_split_kv=False):
        return None

    @flashinfer_api
    def run(self, q, paged_kv_cache, *args, q_scale=None, k_scale=None, v_scale=None):
        return torch.zeros_like(q)


n, bf = 5, torch.bfloat16
fused_add_rmsnorm(torch.zeros(n, 4096, dtype=bf), torch.zeros(n, 4096, dtype=bf), torch.zeros(4096, dtype=bf), 1e-6, None)
top_k_top_p_sampling_from_probs(torch.zeros(n, 151936), torch.ones(n, dtype=torch.int32), torch.ones(n), filter_apply_order="joint")
merge_state(torch.zeros(n, 32, 128, dtype=bf), torch.zeros(n, 32), torch.zeros(n, 32, 128, dtype=bf), torch.zeros(n, 32))
w = BatchDecodeWithPagedKVCacheWrapper()
w.plan(torch.arange(n + 1, dtype=torch.int32), torch.zeros(n, dtype=torch.int32), torch.ones(n, dtype=torch.int32), 32, 8, 128, 1, data_type=bf,
       q_data_type=bf, non_blocking=True, fixed_split_size=None, disable_split_kv=False)
kv = torch.zeros(9, 8, 128, dtype=bf)
w.run(torch.zeros(n, 32, 128, dtype=bf), (kv, kv.clone()), q_scale=None, k_scale=None, v_scale=None)


def shape_of(folder):
    seen = {}
    for d in sorted(Path(folder).iterdir()):
        if "_pid" not in d.name or not d.is_dir():
            continue
        lines = [json.loads(x) for x in (d / "metadata.jsonl").read_text().splitlines()]
        heads = {}
        for f in ("inputs", "outputs"):
            if (d / f"{f}.safetensors").exists():
                raw = (d / f"{f}.safetensors").read_bytes()
                size, = struct.unpack("<Q", raw[:8])
                head = json.loads(raw[8:8 + size])
                heads[f] = ([(a, v["dtype"], len(v["shape"])) for a, v in head.items()], size % 8,
                            len(raw) == 8 + size + max(v["data_offsets"][1] for v in head.values()))
        last = lines[-1]
        kinds = {a: (sorted(v) if isinstance(v, dict) and v.get("type") != "tuple" else v if not isinstance(v, dict) else
                     [list(i) for i in v["items"]]) for a, v in last["input_metadata"].items()}
        seen[last["function_name"].split("<locals>.")[-1]] = dict(lines=[[a for a in x if a != "self_id"] for x in lines], kinds=kinds, info=list(last["tensor_info"]), heads=heads,
            details={a: (list(v), v["dtype"], v["device"]) for a, v in last["tensor_details"].items()}, status=[x["execution_status"] for x in lines])
    return seen


real, t = shape_of(work / "real"), 0
for name, definition in (("fused_add_rmsnorm", "fused_add_rmsnorm_h4096"), ("top_k_top_p_sampling_from_probs", "top_k_top_p_sampling_from_probs_v151936"),
                         ("merge_state", "merge_state_h32_d128"), ("BatchDecodeWithPagedKVCacheWrapper.plan", "gqa_paged_decode_h32_kv8_d128_ps1"),
                         ("BatchDecodeWithPagedKVCacheWrapper.run", "gqa_paged_decode_h32_kv8_d128_ps1")):
    t += 1
    run(BUILD / "bin/simserve", "--kernels=kernels", "--definition", definition, "--dataset", work / "ds", "--dir", work / "run", "--to", work / "sim",
        "--config=manifests/snapshot/configs/qwen3-8b.json", "--batches=8", "--inputs=900", "--output=20", "--all", "--keep")
    sim = shape_of(work / "run/dumps")
    diff = [f"{a}: {sim[name][a]} instead of {real[name][a]}" for a in real[name] if sim[name][a] != real[name][a]] if name in real and name in sim else [
        f"{list(real)} {list(sim)}"]
    print(f"{'not ok' if diff else 'ok'} {t} sim: {name} is written as FlashInfer writes it")
    for d in diff:
        print("#", d[:1500])
print(f"1..{t}")
