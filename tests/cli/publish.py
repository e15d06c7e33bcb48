"""Publishing against the rehearsal hub. In a copy of the project: publish.py BUILD SCENARIO; exits 1 with a reason."""
import base64
import hashlib
import json
import os
import random
import re
import signal
import struct
import subprocess
import sys
import time
import traceback
import urllib.request
from pathlib import Path

BUILD, SCENARIO = sys.argv[1:3]
SECRET = "hf_Secret0123456789abcdefSecret"
ENV = {k: v for k, v in os.environ.items() if k not in ("GH_TOKEN", "HF_TOKEN", "GITHUB_TOKEN")}
RUN, ROOT = Path("tmp/run/x"), Path("hub")
CONFIG = {"attn_type_list": [0, 1], "hidden_size": 512, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 128,
          "vocab_size": 1000, "intermediate_size": 512, "rms_norm_eps": 1e-6, "num_hidden_layers": 2}
PAGE = """---
title: Model Coverage
---

## Summary

| Model | Architecture | Coverage |
|-------|-------------|:--------:|
| Llama 9 8B | GQA + Dense | 🟡 Partial |

---

## Llama 9 8B

| Definition | Op Type | Status |
|-----------|---------|:------:|
| `rmsnorm_h4096` | rmsnorm | ✅ |

**Coverage**: 1 / 1 definitions present.

---
"""


def sh(*args, env=None, check=True, **kw):
    r = subprocess.run(args, env=env or ENV, capture_output=True, text=True, **kw)
    if check and r.returncode:
        raise AssertionError(f"{' '.join(map(str, args))}: {r.returncode}\n{r.stdout[-2000:]}{r.stderr[-2000:]}")
    return r


def make(*args, **kw):
    return sh("make", "-s", f"B={os.path.basename(BUILD)}", "SOURCE=snapshot", "CONFIG=c.json", "HF_REPO_ID=Org/X", "MODEL=x", *args, **kw)


def git_repo(path, files):
    for name, text in files.items():
        f = Path(path) / name
        f.parent.mkdir(parents=True, exist_ok=True)
        f.write_text(text)
    sh("git", "init", "-q", "-b", "main", path)
    sh("git", "-C", path, "add", "-A")
    env = ENV | {"GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z", "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z"}
    sh("git", "-C", path, "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-q", "-m", "first", env=env)
    return sh("git", "-C", path, "rev-parse", "HEAD").stdout.strip()


def blob(path, tensors):
    header, data = {}, b""
    for k, (shape, n) in tensors.items():
        header[k] = {"dtype": "I32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * n]}
        data += bytes(4 * n)
    h = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(h)) + h + data)


def ready(name, op, entries=4):
    """Workloads, blobs, traces, a log and pytest's output, as if they had been made."""
    data = Path("tmp/flashinfer-trace")
    d = json.loads((data / f"definitions/{op}/{name}.json").read_text())
    lines, traces = [], []
    for i in range(entries):
        axes = {k: 3 + i + j for j, (k, a) in enumerate(d["axes"].items()) if a["type"] == "var"}
        size = lambda dim: d["axes"][dim].get("value", axes.get(dim))
        inputs, tensors, where = {}, {}, f"blob/workloads/{op}/{name}/{name}_{i}.safetensors"
        for k, s in d["inputs"].items():
            if s["shape"] is None:
                inputs[k] = {"type": "scalar", "value": 1.0}
            elif s["dtype"].startswith("int"):
                shape = [size(x) for x in s["shape"]]
                n = 1
                for x in shape:
                    n *= x
                tensors[k] = (shape, n)
                inputs[k] = {"type": "safetensors", "path": "./" + where, "tensor_key": k}
            else:
                inputs[k] = {"type": "random"}
        if tensors:
            blob(data / where, tensors)
        lines.append({"definition": name, "solution": None, "workload": {"uuid": f"{name}-{i}", "axes": axes, "inputs": inputs}, "evaluation": None})
        traces.append(lines[-1] | {"solution": "flashinfer_wrapper_" + name, "evaluation": {"status": "PASSED"}})
    for kind, rows in ((f"workloads/{op}", lines), (f"traces/baseline/{op}", traces)):
        f = data / kind / f"{name}.jsonl"
        f.parent.mkdir(parents=True, exist_ok=True)
        f.write_text("".join(json.dumps(r) + "\n" for r in rows))
    s = RUN / "sessions/tp1"
    s.mkdir(parents=True, exist_ok=True)
    done = json.loads((s / "session.json").read_text())["definitions"] if (s / "session.json").exists() else {}
    (s / "session.json").write_text(json.dumps({"name": "tp1", "status": "done", "definitions": done | {name: {"entries": entries}}}))
    (s / "collection.log").write_text("loads: 8 requests at a time\n")
    (s / "server.log").write_text(f"loading the model\nHF_TOKEN is {SECRET}\n" + "".join(f"Decode batch {i}\n" for i in range(4000)))
    green(name)


def green(name):
    (RUN / "pytest").mkdir(exist_ok=True)
    (RUN / f"pytest/{name}.txt").write_text("collected 1 item\n\n1 passed in 1.00s\n")


KERNELS = []


def prepare():
    Path("c.json").write_text(json.dumps(CONFIG))
    make("PHASES=0,1,2,3", "SUBMIT_PRS=0", "onboard")
    make("tmp/run/x/possible.json")
    bench = git_repo("tmp/flashinfer-bench", {"docs/model_coverage.mdx": PAGE})
    sglang = git_repo("tmp/sglang", {f"python/sglang/srt/layers/{f}.py": '"""A layer."""\nfrom typing import (\n    Any,\n)\n\n\nclass X:\n    pass\n'
                                     for f in ("layernorm", "sampler", "activation", "rotary_embedding/base")})
    repos = json.loads(Path("tmp/repos.json").read_text())
    repos["flashinfer_bench"] |= {"kind": "git", "id": bench}
    repos["sglang"] |= {"kind": "git", "id": sglang}
    Path("repos.json").write_text(json.dumps(repos))
    ks = json.loads((RUN / "kernels.json").read_text())["kernels"]
    missing = [k for k in ks if k["fi_status"] == "fi_missing" and k["phase1_status"] == "new"][:1]
    new = [k for k in ks if k["fi_status"] == "fi_supported" and k["phase1_status"] == "new" and k["op_type"].startswith("gqa_paged")][:1]
    assert missing and new, ks
    for k in new:
        ready(k["definition_name"], k["op_type"])
    green(missing[0]["definition_name"])
    KERNELS[:] = [(k["definition_name"], k["op_type"]) for k in new + missing]
    return new[0], missing[0]


HUB = {}


def hub_start(*more):
    hub_stop()
    sh("rm", "-rf", str(ROOT), "tmp/run/x/url")
    HUB["p"] = subprocess.Popen([f"{BUILD}/bin/rehearse-hub", "--root", str(ROOT), "--port-file", "port", "--token", f"{SECRET}=octo", "--token",
                                 "boss=boss", "--writer", "boss", "--seconds", "900", "--part-size", "64", "--elsewhere", "http://127.0.0.1:9/x",
                                 "--hub", "flashinfer-ai/flashinfer-trace", "--github", "flashinfer-ai/flashinfer",
                                 "--github", "flashinfer-ai/flashinfer-bench=@tmp/flashinfer-bench", "--github", "sgl-project/sglang=@tmp/sglang", *more])
    for _ in range(200):
        if Path("port").exists():
            break
        time.sleep(0.02)
    HUB["url"] = f"http://127.0.0.1:{Path('port').read_text().strip()}"


def hub_stop():
    if "p" in HUB:
        HUB.pop("p").kill()
    Path("port").unlink(missing_ok=True)


def fault(text):
    urllib.request.urlopen(urllib.request.Request(HUB["url"] + "/_rehearse/fault", data=text.encode(), method="POST"), timeout=10).read()


def env(token=SECRET):
    return ENV | {"GITHUB_API_URL": HUB["url"] + "/github", "HF_ENDPOINT": HUB["url"], "GH_TOKEN": token, "HF_TOKEN": token}


ARGS = [f"{BUILD}/bin/mkpr", "--run=tmp/run/x", "--repos=repos.json", "--index=tmp/index", "--root=tmp", "--outbox=tmp/outbox/x"]


def lay(stages=("issues", "sglang", "prs")):
    for stage in stages:
        sh(*ARGS, f"--stage={stage}", "-o", f"{stage}.json")
    # the rest is not the scenario's
    if "prs" not in stages:
        return
    items = json.loads(Path("prs.json").read_text())
    names = [n for n, _ in KERNELS]
    items["items"] = [i for i in items["items"] if i["names"][0] in names]
    Path("prs.json").write_text(json.dumps(items))
    if len(names) == 1 and "issues" in stages:
        items = json.loads(Path("issues.json").read_text())
        items["items"] = [i for i in items["items"] if i["kind"] == "issue"][:1]
        Path("issues.json").write_text(json.dumps(items))


def send(stage="prs", e=None, *more):
    return sh(*ARGS, f"--send={stage}.json", "-o", f"{stage}.sent", *more, env=e or env(), check=False)


def send_all(e=None):
    out = ""
    for stage in ("issues", "prs"):
        if stage == "issues" and not Path("issues.json").exists():
            lay()
        elif stage == "prs":
            lay(("prs",))
        r = send(stage, e)
        out += r.stdout + r.stderr
        if r.returncode:
            return r.returncode, out
    return 0, out


def show(git, rev, path):
    return subprocess.run(["git", "-C", str(ROOT / git), "show", f"{rev}:{path}"], env=ENV, capture_output=True, check=True).stdout


def db(path):
    f = ROOT / (path + ".json")
    return json.loads(f.read_text())["items"] if f.exists() else {}


def verify(new, missing):
    """Exactly one of each, with exactly the right bytes."""
    both = [k for k in (new, missing) if k["definition_name"] in [n for n, _ in KERNELS]]
    pulls = db("hub/flashinfer-ai/flashinfer-trace")
    assert len(pulls) == len(both), f"{len(pulls)} dataset pulls: {[p['title'] for p in pulls.values()]}"
    for k in both:
        name = k["definition_name"]
        mine = [p for p in pulls.values() if f" {name}:" in p["title"]]
        assert len(mine) == 1, name
        rev, folder = f"refs/pr/{mine[0]['num']}", Path(f"tmp/outbox/x/{name}/dataset")
        want = {str(f.relative_to(folder)): f for f in folder.rglob("*") if f.is_file() and f.parent != folder}
        have = sh("git", "-C", str(ROOT / "hub/flashinfer-ai/flashinfer-trace.git"), "ls-tree", "-r", "--name-only", rev).stdout.split()
        assert sorted(have) == sorted(want), (have, sorted(want))
        for path, f in want.items():
            got = show("hub/flashinfer-ai/flashinfer-trace.git", rev, path)
            if path.endswith(".safetensors"):
                sha = re.search(rb"sha256:([0-9a-f]{64})", got).group(1).decode()
                got = (ROOT / "lfs" / sha).read_bytes()
            assert got == f.read_bytes(), path
        body = mine[0]["events"][0]["data"]["latest"]["raw"]
        assert body == (folder / "BODY.md").read_text(), body[:300]
    cover = db("github/flashinfer-ai/flashinfer-bench")
    assert len(cover) == len(both), cover
    for p in cover.values():
        name = p["title"].split()[2]
        assert f"/discussions/{[d['num'] for d in pulls.values() if f' {name}:' in d['title']][0]}" in p["body"], p["body"]
        owner, branch = p["head"]["owner"], p["head"]["ref"]
        assert show(f"github/{owner}/flashinfer-bench.git", branch, "docs/model_coverage.mdx") == \
            Path(f"tmp/outbox/x/{name}/coverage/docs/model_coverage.mdx").read_bytes()
    issues = [i for i in db("github/flashinfer-ai/flashinfer").values() if i["title"].startswith("Kernel request")]
    mine = [i for i in issues if f" {missing['definition_name']} for" in i["body"]]
    assert len(mine) == 1, issues
    if missing in both:
        assert "/discussions/" in mine[0]["body"] and "(link once" not in mine[0]["body"], mine[0]["body"]
    assert [lb["name"] for lb in mine[0]["labels"]] == ["enhancement", "kernel-request"]
    titles = [i["title"] + i["body"] for i in db("github/flashinfer-ai/flashinfer").values()]
    assert len(set(titles)) == len(titles), "an issue stands twice"
    for n, kind in ((new["definition_name"], "dataset"), (new["definition_name"], "coverage"), (missing["definition_name"], "issue")):
        assert (RUN / f"url/{n}.{kind}").read_text().startswith("http"), (n, kind)


def finish():
    for _ in range(3):
        code, out = send_all()
        if not code:
            return out
    raise AssertionError(f"it does not complete: {out[-1500:]}")


def clean():
    fault("")


def requests():
    return [x.split() for x in (ROOT / "requests.log").read_text().splitlines()]


def scenario_fresh():
    new, missing = prepare()
    hub_start()
    code, out = send_all()
    assert not code, out
    verify(new, missing)
    assert SECRET not in out
    # a second time: nothing is changed
    (ROOT / "requests.log").unlink()
    before = sh("find", str(ROOT), "-name", "*.json", "-exec", "sha256sum", "{}", "+").stdout
    code, out = send_all()
    assert not code, out
    assert before == sh("find", str(ROOT), "-name", "*.json", "-exec", "sha256sum", "{}", "+").stdout
    changes = [r for r in requests() if r[0] != "GET" and "/preupload/" not in r[1] and "/git/blobs" not in r[1]]
    assert not changes, changes
    # lost URLs are found again; a change is one commit to the same pull request
    sh("rm", "-r", "tmp/run/x/url")
    ready(new["definition_name"], new["op_type"], 5)
    code, out = send_all()
    assert not code, out
    verify(new, missing)
    assert "tmp/run/x/url" and (RUN / f"url/{new['definition_name']}.dataset").exists()
    n = [p["num"] for p in db("hub/flashinfer-ai/flashinfer-trace").values() if new["definition_name"] in p["title"]][0]
    assert len(sh("git", "-C", str(ROOT / "hub/flashinfer-ai/flashinfer-trace.git"), "log", "--format=%H", f"main..refs/pr/{n}").stdout.split()) == 2
    r = sh(*ARGS, "--check=prs.json", env=env(), check=False)
    assert "FAILED" not in r.stdout and "Single-file change, on GitHub" in r.stdout and "Body, on the Hub" in r.stdout, r.stdout


def fewer():
    """One definition with a blob in parts, and one kernel request: what is tried with a fault at each request."""
    new, missing = prepare()
    ready(new["definition_name"], new["op_type"], 1)
    KERNELS[:] = KERNELS[:1]
    return new, missing


def scenario_faults():
    kinds = sys.argv[3].split(",")
    new, missing = fewer()
    lay()
    tried = 0
    for kind in kinds:
        n = 1
        while True:
            hub_start()
            fault(f"{n}:{kind}")
            code, out = send_all()
            hit = any(f"fault={kind}" in " ".join(r) for r in requests())
            assert SECRET not in out, f"{kind} {n}: a token in the output"
            assert code in (0, 1, 75), f"{kind} {n}: exit {code}: {out}"
            if code:
                assert re.search(r"mkpr: .{20,}", out), f"{kind} {n}: no sentence: {out}"
            clean()
            if code:
                finish()
            try:
                verify(new, missing)
            except AssertionError as e:
                raise AssertionError(f"{kind}, request {n}: {e}\n{out}\n" + "\n".join(" ".join(r) for r in requests()[-60:])) from e
            tried += hit
            if not hit:
                break
            n += 1
    print(f"{tried} faults: {', '.join(kinds)}")


def scenario_slow():
    new, missing = prepare()
    for match in ("POST /api/datasets/flashinfer-ai/flashinfer-trace/commit", "POST /github/repos/flashinfer-ai/flashinfer-bench/pulls"):
        hub_start()
        fault(f"1:slow:{match}")
        code, out = send_all()
        clean()
        finish()
        verify(new, missing)


def scenario_kill():
    new, missing = prepare()
    rnd = random.Random(int(sys.argv[3]))
    lay()
    for i in range(int(sys.argv[4])):
        hub_start()
        for stage in ("issues", "prs"):
            if stage == "prs":
                lay()
            p = subprocess.Popen([*ARGS, f"--send={stage}.json", "-o", f"{stage}.sent"], env=env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(rnd.random() * 0.6)
            p.send_signal(signal.SIGKILL)
            p.wait()
        finish()
        verify(new, missing)


def scenario_tokens():
    new, missing = prepare()
    hub_start()
    lay()
    seen = []
    p = subprocess.Popen([*ARGS, "--send=issues.json", "-o", "issues.sent"], env=env(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while p.poll() is None:
        seen += [x for x in sh("ps", "axww", "-o", "args").stdout.splitlines() if "rehearse-hub" not in x]
    out = p.stdout.read()
    code, more = send_all()
    assert not code, more
    verify(new, missing)
    assert SECRET not in out + more + "".join(seen)
    for f in [*Path("tmp").rglob("*"), *ROOT.rglob("*"), *Path(".").glob("*")]:
        if f.is_file() and "server.log" not in f.name and f.stat().st_size < 1 << 24:
            assert SECRET.encode() not in f.read_bytes(), f
    body = Path(f"tmp/outbox/x/{new['definition_name']}/dataset/BODY.md").read_text()
    assert "[token]" in body and "lines left out" in body, body[:2000]
    # where gh and huggingface_hub keep theirs
    home = Path("home")
    for f, text in (("gh/hosts.yml", f"github.com:\n    user: octo\n    oauth_token: {SECRET}\n"), ("hf/token", SECRET + "\n")):
        (home / f).parent.mkdir(parents=True, exist_ok=True)
        (home / f).write_text(text)
    e = {k: v for k, v in env().items() if k not in ("GH_TOKEN", "HF_TOKEN")} | {"GH_CONFIG_DIR": "home/gh", "HF_HOME": "home/hf"}
    code, out = send_all(e)
    assert not code and SECRET not in out, out
    assert all(i["status"] in ("unchanged",) for i in json.loads(Path("prs.sent").read_text())["items"]), Path("prs.sent").read_text()
    # elsewhere, by a redirect or for storage: no token goes there
    import http.server
    import threading
    got = []

    class H(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            got.append(dict(self.headers))
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
        do_POST = do_PUT = do_PATCH = do_GET

        def log_message(self, *a):
            pass
    s = http.server.HTTPServer(("127.0.0.1", 0), H)
    threading.Thread(target=s.serve_forever, daemon=True).start()
    hub_start("--elsewhere", f"http://127.0.0.1:{s.server_port}/x")
    for n in range(1, 40):
        fault(f"{n}:redirect")
        send_all()
    clean()
    finish()
    verify(new, missing)
    assert got and not any("uthorization" in k for h in got for k in h), got
    s.shutdown()


def scenario_held():
    new, missing = prepare()
    name, op = new["definition_name"], new["op_type"]
    data = Path("tmp/flashinfer-trace")
    hub_start()

    def held(why, undo):
        lay()
        r = send()
        assert not r.returncode, r.stderr
        item = [i for i in json.loads(Path("prs.sent").read_text())["items"] if i["kind"] == "dataset" and i["key"] == name][0]
        assert item["status"] == "held" and re.search(why, item["reason"]), (why, item["status"], item.get("reason"))
        assert not any(name in p["title"] for p in db("hub/flashinfer-ai/flashinfer-trace").values())
        r = sh(*ARGS, "--check=prs.json", "--no-submit", check=False)
        assert r.returncode == 1 and "FAILED" in r.stdout and "mend:" in r.stdout, r.stdout
        undo()

    traces = data / f"traces/baseline/{op}/{name}.jsonl"
    good = traces.read_text()
    traces.unlink()
    traces.write_text(good.replace("PASSED", "INCORRECT_NUMERICAL", 1))
    held("1 not PASSED", lambda: (traces.unlink(), traces.write_text(good)))
    session = RUN / "sessions/tp1/session.json"
    s = session.read_text()
    session.write_text(s.replace('"status"', '"engine": "sim", "status"'))
    held("simulated engine", lambda: session.write_text(s))
    sim = Path(f"tmp/sim-trace/x/workloads/{op}/{name}.jsonl")
    sim.parent.mkdir(parents=True, exist_ok=True)
    sim.write_text((data / f"workloads/{op}/{name}.jsonl").read_text())
    held("simulated engine", sim.unlink)
    os.rename(session, "away")
    held("no log", lambda: os.rename("away", session))
    b = next((data / f"blob/workloads/{op}/{name}").iterdir())
    os.rename(b, "away")
    for f in Path(f"tmp/outbox/x/{name}/dataset/blob").rglob(b.name):
        f.unlink()
    held("is missing", lambda: os.rename("away", b))
    w = data / f"workloads/{op}/{name}.jsonl"
    lines = w.read_text().splitlines()
    same = json.loads(lines[0])["workload"]["axes"]
    w.unlink()
    w.write_text("".join(json.dumps({**json.loads(x), "workload": json.loads(x)["workload"] | {"axes": same}}) + "\n" for x in lines))
    held("same axes", lambda: (w.unlink(), w.write_text("".join(x + "\n" for x in lines))))
    (RUN / f"pytest/{name}.txt").write_text("1 failed, 1 passed in 2.00s\n")
    held("1 failed", lambda: green(name))
    code, out = send_all()
    assert not code, out
    verify(new, missing)


def scenario_by_hand():
    new, missing = prepare()
    hub_start()
    lay()
    r = send("issues", env(""))
    assert not r.returncode and "gh issue create --repo flashinfer-ai/flashinfer" in r.stdout and "## Kernel Request" in r.stdout, r.stdout
    r = send("sglang", env(""))
    assert not r.returncode and "gh pr create --repo sgl-project/sglang" in r.stdout and "\n+try:" in r.stdout and "## Test plan" in r.stdout, r.stdout
    r = send("prs", env(""))
    assert not r.returncode and "hf upload flashinfer-ai/flashinfer-trace" in r.stdout and "## Provenance" in r.stdout, r.stdout
    r = send("prs", env(), "--no-submit")
    assert not r.returncode and not r.stdout, r.stdout
    assert not any(r[0] != "GET" for r in requests()) if (ROOT / "requests.log").exists() else True
    r = send("prs", env("wrong"))
    assert r.returncode == 1 and "gh auth login" in r.stderr, r.stderr


def scenario_merge():
    prepare()
    hub_start()
    sh("cp", "repos.json", "tmp/repos.json")
    e = env()
    run = ["PHASES=3", "onboard"]

    def phase3():
        return json.loads((RUN / "sessions.json").read_text())["kernels"]
    make(*run, env=e)
    pulls = db("github/sgl-project/sglang")
    assert pulls and all(p["draft"] for p in pulls.values()), pulls
    paused = [n for n, k in phase3().items() if k["phase3_status"] == "paused (sglang pr)"]
    norm = [n for n in paused if "rmsnorm" in n]
    assert norm and json.loads(next(Path("tmp").glob("onboard_x_*.json")).read_text()), paused
    patch = Path(f"tmp/outbox/x/{norm[0]}/sglang/sglang.patch").read_text()
    assert "RMSNORM_AVAILABLE = True" in patch
    sh("git", "-C", "tmp/sglang", "rev-parse", "feat/flashinfer-rmsnorm-integration-x")
    make(*run, env=e)
    assert len(db("github/sgl-project/sglang")) == len(pulls)
    n = [p["number"] for p in pulls.values() if "rmsnorm" in p["title"]][0]
    urllib.request.urlopen(urllib.request.Request(f"{HUB['url']}/github/repos/sgl-project/sglang/pulls/{n}/merge", method="PUT",
                                                  headers={"Authorization": "Bearer boss"}), timeout=10).read()
    make(*run, env=e)
    assert all(phase3()[n]["phase3_status"] != "paused (sglang pr)" for n in norm), phase3()
    assert [n for n, k in phase3().items() if k["phase3_status"] == "paused (sglang pr)"], "the others are paused still"


try:
    globals()["scenario_" + SCENARIO]()
except AssertionError:
    traceback.print_exc(file=sys.stdout)
    sys.exit(1)
finally:
    hub_stop()
