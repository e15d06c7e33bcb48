"""Writes level-10 dumps as FlashInfer does, from a JSON list on stdin.

usage: dumps.py DIR

Each entry: {t: ms, f: "Class.method", self: id, args: {NAME: VALUE}, and
optionally pid, sig, status, positional, cut: bytes, mtime: ns, raw: bytes
of metadata, real: true, replays: [[ms, {TENSOR: VALUE}]...]: of a CUDA
graph, with other values of its tensors by their recorded names. A VALUE is a number, bool, null, [dtype, shape, values?] or
{"tuple": [...]}. Floats are sparse zeros. session.jsonl is written last, all
records by time: dumps.py DIR --session.
"""
import json
import os
import struct
import sys
from math import prod
from pathlib import Path

SIZE = {"BF16": 2, "F16": 2, "F32": 4, "I32": 4, "I64": 8, "F8_E4M3": 1, "U8": 1, "I8": 1}
TORCH = {"BF16": "torch.bfloat16", "F16": "torch.float16", "F32": "torch.float32", "I32": "torch.int32", "I64": "torch.int64",
         "F8_E4M3": "torch.float8_e4m3fn", "U8": "torch.uint8", "I8": "torch.int8"}


def save(path, tensors, real=False):
    head, at, parts = {}, 0, []
    for key in sorted(tensors):
        dtype, shape, *values = tensors[key]
        n = prod(shape) * SIZE[dtype]
        head[key] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + n]}
        if values:
            parts.append((at, struct.pack(f"<{len(values[0])}{'i' if dtype == 'I32' else 'q'}", *values[0])))
        elif real:
            parts.append((at, os.urandom(n)))
        at += n
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for off, data in parts:
            f.seek(8 + len(text) + off)
            f.write(data)
        f.truncate(8 + len(text) + at)


def write(root, entries, counts, session=False):
    records = []
    for e in entries:
        pid, fn = e.get("pid", 7), e["f"]
        counts[pid, fn] = n = counts.get((pid, fn), 0) + 1
        t = e["t"]
        stamp = f"20260101_{t // 3600000 % 24:02}{t // 60000 % 60:02}{t // 1000 % 60:02}_{t % 1000:03}"
        d = root / f"{stamp}_pid{pid}_{fn}_call{n:04}"
        d.mkdir(parents=True)
        method = "." in fn
        names = (["self"] if method else []) + list(e["args"])
        meta, tensors, details = {}, {}, {}
        if method:
            meta["arg_0"] = {"type": fn.split(".")[0], "repr": f"<{fn.split('.')[0]} object at 0x{e['self']:x}>"}
        for i, (name, v) in enumerate(e["args"].items()):
            key = f"arg_{i + method}" if e.get("positional", True) else f"kwarg_{name}"
            if isinstance(v, dict) and "tuple" in v:
                for k, item in enumerate(v["tuple"]):
                    tensors[f"{key}__{k}"] = item
                meta[key] = {"type": "tuple", "length": len(v["tuple"])}
            elif isinstance(v, list):
                tensors[key] = v
            else:
                meta[key] = v
        for k, v in tensors.items():
            details[k] = {"shape": v[1], "dtype": TORCH[v[0]]}
        rec = {"function_name": fn, "module": "flashinfer", "call_sequence": n, "timestamp": stamp, "process_id": pid,
               "input_metadata": meta, "tensor_details": details, "function_signature": e.get("sig") or f"({', '.join(names)})",
               "execution_status": e.get("status", "completed")}
        if method and e.get("with_id", True):
            rec["self_id"] = e["self"]
        first = json.dumps({**rec, "execution_status": "inputs_saved"})
        save(d / "inputs.safetensors", tensors, e.get("real", False))
        (d / "metadata.jsonl").write_text(e["raw"] if "raw" in e else first + "\n" + json.dumps(rec) + "\n")
        if "cut" in e:
            os.truncate(d / "inputs.safetensors", e["cut"])
        records.append((t, {**rec, "dump_dir": str(d)}))
        for i, (ms, other) in enumerate(e.get("replays", []), 1):
            rec |= {"graph_capture_flushed": True, "graph_capture_flush_index": i, "execution_status": "inputs_saved"}
            for where in d, d / "graph_flushes" / f"flush_{i:04}":
                where.mkdir(parents=True, exist_ok=True)
                save(where / "inputs.safetensors", {**tensors, **other})
                with open(where / "metadata.jsonl", "a") as f:
                    f.write(json.dumps(rec) + "\n" + ("" if e.get("in_place") else json.dumps({**rec, "execution_status": "completed"}) + "\n"))
                ns = 1767225600 * 10**9 + ms * 10**6 + 77
                os.utime(where / "inputs.safetensors", ns=(ns, ns))
                records.append((ms, {**rec, "dump_dir": str(where)}))
        if "mtime" in e:
            os.utime(d / "inputs.safetensors", ns=(e["mtime"], e["mtime"]))
    if session:
        records.sort(key=lambda r: r[0])
        (root / "session.jsonl").write_text("".join(json.dumps(r) + "\n" for _, r in records))


if __name__ == "__main__":
    write(Path(sys.argv[1]), json.load(sys.stdin), {}, "--session" in sys.argv)
