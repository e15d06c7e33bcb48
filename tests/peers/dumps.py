"""Hold dumpwl against FlashInfer's own writer of call dumps.

usage: dumps.py DUMPWL DATASET WORK

FlashInfer's api_logging records functions and a wrapper with the names and
signatures of the real ones, on CPU tensors, once as safetensors and once as
inputs.pt; dumpwl makes the same workloads of both, with the right values;
of a call in a CUDA graph one for each replay.
"""
import json
import os
import subprocess
import sys
from pathlib import Path

dumpwl, dataset, work = sys.argv[1:4]
RECORD = '''
import torch
from flashinfer.api_logging import flashinfer_api

class BatchDecodeWithPagedKVCacheWrapper:
    @flashinfer_api
    def plan(self, indptr, indices, last_page_len, num_qo_heads, num_kv_heads, head_dim, page_size, window_left=-1,
             logits_soft_cap=None, q_data_type="float16", sm_scale=None): pass
    @flashinfer_api
    def run(self, q, paged_kv_cache, *args, return_lse=False, window_left=None): return q

@flashinfer_api
def rmsnorm(input: torch.Tensor, weight: torch.Tensor, eps: float = 1e-6): return input

@flashinfer_api
def top_k_top_p_sampling_from_probs(probs, top_k, top_p, indices=None, filter_apply_order="top_k_first"): return top_k

bf = torch.bfloat16
k, v = (torch.zeros(50, 8, 128, dtype=bf) for _ in "kv")
for batch in (1, 2, 5):
    w = BatchDecodeWithPagedKVCacheWrapper()
    n = torch.arange(batch + 1, dtype=torch.int32) * 3
    w.plan(n, torch.arange(3 * batch, dtype=torch.int32), torch.ones(batch, dtype=torch.int32), 32, 8, 128, 1, q_data_type=bf)
    for layer in range(2):
        w.run(torch.zeros(batch, 32, 128, dtype=bf), (k, v))
rmsnorm(torch.zeros(7, 4096, dtype=bf), torch.ones(4096, dtype=bf), eps=1e-5)
rmsnorm(input=torch.zeros(9, 4096, dtype=bf), weight=torch.ones(4096, dtype=bf))
top_k_top_p_sampling_from_probs(torch.zeros(3, 151936), torch.tensor([1, 2, 3], dtype=torch.int32), torch.ones(3), filter_apply_order="joint")
# a call in a CUDA graph: recorded at the capture, its inputs at each replay
import flashinfer.api_logging as log
capturing = log._is_current_stream_capturing
log._is_current_stream_capturing = lambda: True
w = BatchDecodeWithPagedKVCacheWrapper()
w.run(torch.zeros(2, 32, 128, dtype=bf), (k, v))
log._is_current_stream_capturing = capturing
for pages in ([1, 1], [2, 5], [4, 4]):
    n = torch.tensor([0, pages[0], sum(pages)], dtype=torch.int32)
    w.plan(n, torch.arange(sum(pages), dtype=torch.int32), torch.ones(2, dtype=torch.int32), 32, 8, 128, 1, q_data_type=bf)
    assert log.flush_graph_dumps(synchronize=False)
'''
made = {}
for kind, flag in (("safetensors", "1"), ("pt", "0")):
    dumps, out = Path(work, kind), Path(work, kind + "-out")
    env = {**os.environ, "FLASHINFER_LOGLEVEL": "10", "FLASHINFER_DUMP_DIR": str(dumps), "FLASHINFER_DUMP_SAFETENSORS": flag,
           "FLASHINFER_LOGDEST": str(Path(work, "log")), "FLASHINFER_WORKSPACE_BASE": work}
    subprocess.run([sys.executable, "-c", RECORD], env=env, check=True, capture_output=True, timeout=300)
    r = json.loads(subprocess.run([dumpwl, "--dataset", dataset, "--to", str(out), "--json=-", str(dumps)], check=True, capture_output=True).stdout)
    assert r["unreadable"] == 0 and r["calls"] == r["accepted"] == 13, r  # the last replay once more at exit
    made[kind] = {f.relative_to(out): f.read_bytes() for f in sorted(out.rglob("*")) if f.is_file()}
assert made["pt"] == made["safetensors"], "inputs.pt and safetensors give other files"
line = [json.loads(l) for k, b in made["pt"].items() if "decode" in k.name and k.suffix == ".jsonl" for l in b.splitlines()]
assert sorted(w["workload"]["axes"]["num_kv_indices"] for w in line) == [2, 3, 6, 7, 8, 15], line
print(f"{len(made['pt'])} files, equal from safetensors and inputs.pt")
