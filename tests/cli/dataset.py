"""Make a small right dataset in DIR: a definition of gqa_paged with workloads and blobs."""
import json
import struct
import sys
from pathlib import Path

root, definition = Path(sys.argv[1]), json.loads(sys.stdin.readline())
name, op = definition["name"], definition["op_type"]


def put(path, text):
    path = root / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def blob(path, **tensors):
    header, data = {}, b""
    for k, v in tensors.items():
        raw = struct.pack(f"<{len(v)}i", *v)
        header[k] = {"dtype": "I32", "shape": [len(v)], "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    h = json.dumps(header).encode()
    put(path, struct.pack("<Q", len(h)) + h + data)


lines = []
for i, lengths in enumerate(([3, 1], [7], [2, 0, 5])):
    ptr = [sum(lengths[:k]) for k in range(len(lengths) + 1)]
    path = f"blob/workloads/{op}/{name}/{name}_{i}.safetensors"
    blob(path, kv_indptr=ptr, kv_indices=list(range(ptr[-1])))
    ref = lambda key: {"type": "safetensors", "path": "./" + path, "tensor_key": key}
    lines.append({"definition": name, "solution": None, "workload": {
        "uuid": f"uuid-{i}", "axes": {"batch_size": len(lengths), "num_pages": 16, "len_indptr": len(ptr),
                                      "num_kv_indices": ptr[-1]},
        "inputs": {"q": {"type": "random"}, "k_cache": {"type": "random"}, "v_cache": {"type": "random"},
                   "kv_indptr": ref("kv_indptr"), "kv_indices": ref("kv_indices"),
                   "sm_scale": {"type": "scalar", "value": 0.088}}}, "evaluation": None})
put(f"definitions/{op}/{name}.json", json.dumps(definition, indent=2))
put(f"workloads/{op}/{name}.jsonl", "".join(json.dumps(x) + "\n" for x in lines))
sol = {"name": "wrapper", "definition": name, "author": "baseline", "description": "",
       "spec": {"language": "python", "target_hardware": ["cuda"], "entry_point": "main.py::run"},
       "sources": [{"path": "main.py", "content": "def run(): pass"}]}
put(f"solutions/baseline/{op}/{name}/wrapper.json", json.dumps(sol))
trace = lambda x: {**x, "solution": "wrapper", "evaluation": {
    "status": "PASSED", "environment": {"hardware": "H200", "libs": {}}, "timestamp": "2026-01-01",
    "correctness": {"max_relative_error": 0.0, "max_absolute_error": 0.0},
    "performance": {"latency_ms": 1.0, "reference_latency_ms": 2.0, "speedup_factor": 2.0}}}
put(f"traces/baseline/{op}/{name}.jsonl", "".join(json.dumps(trace(x)) + "\n" for x in lines))
