"""A stand-in for a serving engine: HTTP, a log, level-10 dumps, a child.

Takes SGLang's --host and --port and ignores the rest. Each /generate records
a decode plan, its run and a norm. ENGINE_DO says how it misbehaves:
start (ends while starting), memory (out of memory while starting unless
--mem-fraction-static is given), tp (the same at TP 2), load (out of memory under load with more
than 16 requests at a time), die (ends at the 12th request), refuse (400), silent
(calls nothing that is dumped), hang (never healthy), big (8 MiB of floats).
"""
import http.server
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import dumps

do = os.environ.get("ENGINE_DO", "")
argv = sys.argv[1:]
port = int(argv[argv.index("--port") + 1])
root = Path(os.environ["FLASHINFER_DUMP_DIR"])
counts, seen, at_once = {}, 0, 0
lock = threading.Lock()
subprocess.Popen(["sleep", "3600", f"0.{port}"])
print("engine", os.getpid(), "sees GPUs", os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
if do == "start":
    print("Traceback ...\nValueError: this model is not known\nbye", flush=True)
    sys.exit(1)
if do == "memory" and "--mem-fraction-static" not in argv or do == "tp" and argv[argv.index("--tp-size") + 1] != "1":
    print("RuntimeError: Not enough memory. Please try to increase --mem-fraction-static.", flush=True)
    sys.exit(1)

if os.environ.get("FLASHINFER_TRACE_DUMP") == "1" and do != "silent":
    # one Definition, as FlashInfer's trace dump writes it
    trace = Path(os.environ["FLASHINFER_TRACE_DUMP_DIR"])
    trace.mkdir(parents=True, exist_ok=True)
    (trace / "rmsnorm_h4096.json").write_text(json.dumps({
        "name": "rmsnorm_h4096", "description": "from the engine", "op_type": "rmsnorm",
        "tags": ["status:verified", "fi_api:flashinfer.norm.rmsnorm"],
        "axes": {"batch_size": {"type": "var"}, "hidden_size": {"type": "const", "value": 4096}},
        "inputs": {"hidden_states": {"shape": ["batch_size", "hidden_size"], "dtype": "bfloat16"},
                   "weight": {"shape": ["hidden_size"], "dtype": "bfloat16"}},
        "outputs": {"output": {"shape": ["batch_size", "hidden_size"], "dtype": "bfloat16"}},
        "reference": "import torch\n\n@torch.no_grad()\ndef _rmsnorm_reference(hidden_states, weight):\n    x = hidden_states.float()\n"
                     "    return (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * weight.float()).to(hidden_states.dtype)\n"}))


def record(n):
    print(f"FlashInfer API Call: {'other_api' if do == 'silent' else 'rmsnorm'}", flush=True)
    if do == "silent" or os.environ.get("FLASHINFER_LOGLEVEL") != "10":
        return
    lens = [1 + (3 * i + n) % 40 for i in range(1 + n % 7)]
    ptr = [sum(lens[:i]) for i in range(len(lens) + 1)]
    floats = 8 << 20 if do == "big" else 1 << 16
    wrapper = "BatchDecodeWithPagedKVCacheWrapper"
    pool = ["BF16", [floats // 2048, 8, 128]]
    dumps.write(root, [{"pid": os.getpid(), **e} for e in [
        {"t": 10 * n, "f": f"{wrapper}.plan", "self": 16, "args": {
            "indptr": ["I32", [len(ptr)], ptr], "indices": ["I32", [ptr[-1]], list(range(ptr[-1]))],
            "last_page_len": ["I32", [len(lens)], [1] * len(lens)], "num_qo_heads": 32, "num_kv_heads": 8, "head_dim": 128,
            "page_size": 1}},
        {"t": 10 * n + 1, "f": f"{wrapper}.run", "self": 16, "args": {
            "q": ["BF16", [len(lens), 32, 128]], "paged_kv_cache": {"tuple": [pool, pool]}}, "real": do == "big"},
        {"t": 10 * n + 2, "f": "rmsnorm", "args": {"input": ["BF16", [n, 4096]], "weight": ["BF16", [4096]], "eps": 1e-6}},
    ]], counts)


class Engine(http.server.BaseHTTPRequestHandler):
    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        self.answer(503 if do == "hang" else 200, b"")

    def do_POST(self):
        global seen, at_once
        self.rfile.read(int(self.headers["Content-Length"]))
        with lock:
            seen += 1
            at_once += 1
            if do == "die" and seen == 12:
                print("CUDA error: an illegal memory access was encountered", flush=True)
                os._exit(3)
            if do != "refuse":
                record(seen)
        time.sleep(0.02)
        if do == "load" and at_once > 16:
            print("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", flush=True)
            os._exit(1)
        with lock:
            at_once -= 1
        self.answer(400 if do == "refuse" else 200, b'{"error": "input is too long"}')

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256


Server(("127.0.0.1", port), Engine).serve_forever()
