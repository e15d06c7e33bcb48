"""Hold our definitions against the published ones and against PyTorch.

usage: definitions.py OURS [PUBLISHED]

OURS and PUBLISHED are dataset folders. Speaks TAP: for each definition of
OURS its reference runs on CPU with small var axes and agrees with a second,
independent formulation; where PUBLISHED has the name, interface and results
are equal to the published ones.
"""
import json
import math
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

n = 0


def t(name, fn, *args):
    global n
    n += 1
    try:
        fn(*args)
        print(f"ok {n} {name}", flush=True)
    except Exception as e:  # a failure is reported, the others go on
        print(f"not ok {n} {name}\n# {type(e).__name__}: {str(e)[:600]!r}", flush=True)


def load(root):
    out = {}
    for f in sorted(Path(root).glob("definitions/*/*.json")):
        d = json.loads(f.read_text())
        out[d["name"]] = d
    return out


def interface(d):
    """What a solution sees: no prose, but order."""
    tensors = lambda m: [(k, v["shape"], v["dtype"]) for k, v in m.items()]
    axes = [(k, v["type"], v.get("value")) for k, v in d["axes"].items()]
    return {"op_type": d["op_type"], "axes": axes, "inputs": tensors(d["inputs"]),
            "outputs": tensors(d["outputs"]), "constraints": d.get("constraints") or [],
            "keys": sorted(k for k in d if k != "constraints" or d[k])}


def run_of(d):
    scope = {}
    exec(compile(d["reference"], d["name"], "exec"), scope)
    return scope["run"]


def consts(d):
    return {k: v["value"] for k, v in d["axes"].items() if v["type"] == "const"}


def indptr(lengths):
    return torch.tensor([0] + list(lengths), dtype=torch.int64).cumsum(0).to(torch.int32)


def attention_inputs(d, seed):
    """Requests of ragged lengths, an empty one among them where it may be."""
    g = torch.Generator().manual_seed(seed)
    c = consts(d)
    h, kv, dim = c["num_qo_heads"], c["num_kv_heads"], c["head_dim"]
    lengths = [1, 7, 130, 64, 0] if "decode" in d["name"] else [1, 7, 40, 64]
    rnd = lambda *s: torch.randn(*s, generator=g).to(torch.bfloat16)
    q_len = [1] * len(lengths) if "decode" in d["name"] else [min(n, k) for n, k in zip(lengths, (1, 7, 9, 64))]
    x = {"q": rnd(sum(q_len), h, dim), "sm_scale": 1 / math.sqrt(dim),
         "qo_indptr": indptr(q_len)}
    if "page_size" not in c:
        x.update(k=rnd(sum(lengths), kv, dim), v=rnd(sum(lengths), kv, dim), kv_indptr=indptr(lengths))
        pages = None
    else:
        ps = c["page_size"]
        pages = [-(-n // ps) for n in lengths]
        total = sum(pages) + 3
        x["k_cache"], x["v_cache"] = rnd(total, ps, kv, dim), rnd(total, ps, kv, dim)
        x["kv_indptr"] = indptr(pages)
        x["kv_indices"] = torch.randperm(total, generator=g)[:sum(pages)].to(torch.int32)
        x["kv_last_page_len"] = torch.tensor([(n - 1) % ps + 1 if n else 0 for n in lengths], dtype=torch.int32)
    return {k: x[k] for k in d["inputs"]}, q_len, lengths


def attention_oracle(d, x, q_len, lengths):
    """torch's own scaled_dot_product_attention, request by request."""
    out, q0, kv0 = [], 0, 0
    for i, (nq, nk) in enumerate(zip(q_len, lengths)):
        q = x["q"][q0:q0 + nq].float()
        if "k" in x:
            k, v = x["k"][kv0:kv0 + nk], x["v"][kv0:kv0 + nk]
        else:
            a, b = int(x["kv_indptr"][i]), int(x["kv_indptr"][i + 1])
            rows = x["kv_indices"][a:b].long()
            k, v = (x[s][rows].reshape(-1, *x[s].shape[2:])[:nk] for s in ("k_cache", "v_cache"))
        q0, kv0 = q0 + nq, kv0 + nk
        if not nk:
            out.append(torch.zeros_like(q))
            continue
        mask = torch.ones(nq, nk, dtype=torch.bool).tril(nk - nq)
        o = F.scaled_dot_product_attention(q.transpose(0, 1)[None], k.float().transpose(0, 1)[None],
                                           v.float().transpose(0, 1)[None], attn_mask=mask,
                                           scale=x["sm_scale"], enable_gqa=True)
        out.append(o[0].transpose(0, 1))
    return torch.cat(out)


def simple_inputs(d, seed):
    g = torch.Generator().manual_seed(seed)
    c, op = consts(d), d["op_type"]
    if op == "gemm":
        return {"A": torch.randn(5, c["K"], generator=g).half() / 8, "B": torch.randn(c["N"], c["K"], generator=g).half() / 8}
    if op == "rmsnorm":
        x = {k: torch.randn(6, c["hidden_size"], generator=g).bfloat16() for k in ("hidden_states", "residual")}
        x["hidden_states"][1] *= 300  # outliers
        x["weight"] = torch.randn(c["hidden_size"], generator=g).bfloat16()
        return {k: x[k] for k in d["inputs"]}
    if op == "rope":
        pos = torch.tensor([0, 5, 99, 3, 3])
        angle = torch.rand(100, c["rotary_dim"] // 2, generator=g) * 6.28
        q, k = (torch.randn(5, h, c["head_size"], generator=g).bfloat16() for h in (4, 2))
        return {"q": q, "k": k, "cos_sin_cache": torch.cat([angle.cos(), angle.sin()], -1), "positions": pos}
    if op == "sampling":
        x = {"probs": torch.softmax(torch.randn(6, c["vocab_size"], generator=g) * 3, -1),
             "top_k": torch.tensor([1, 3, 50, 0, c["vocab_size"], 7], dtype=torch.int32),
             "top_p": torch.tensor([0.1, 0.9, 0.5, 1.0, 0.0, 0.99])}
        return {k: x[k] for k in d["inputs"]}
    raise NotImplementedError(f"no inputs are known for op_type {op}")


def as_tuple(x):
    return x if isinstance(x, tuple) else (x,)


def results(d, x, seed=0):
    torch.manual_seed(seed)
    return as_tuple(run_of(d)(**x))


def close(a, b, what):
    torch.testing.assert_close(a.float(), b.float(), rtol=2e-2, atol=2e-2, msg=lambda m: f"{what}: {m}")


def oracle(d, x, extra):
    """The second formulation; None for sampling, which is checked by set."""
    op = d["op_type"]
    if op in ("gqa_paged", "gqa_ragged"):
        return attention_oracle(d, x, *extra)
    if op == "gemm":
        return F.linear(x["A"].float(), x["B"].float())
    if op == "rmsnorm":
        eps = float([l for l in d["reference"].split("\n") if l.strip().startswith("EPS")][0].split("=")[1])
        h = x["hidden_states"].float() + (x["residual"].float() if "residual" in x else 0)
        return F.rms_norm(h, h.shape[-1:], x["weight"].float(), eps)
    if op == "rope":
        rd = x["cos_sin_cache"].shape[1]
        cos, sin = x["cos_sin_cache"][x["positions"]].chunk(2, -1)
        z = torch.complex(cos, sin)[:, None]
        q = x["q"].float()
        r = torch.complex(q[..., :rd // 2], q[..., rd // 2:rd]) * z
        return torch.cat([r.real, r.imag, q[..., rd:]], -1)
    return None


def sampled_from_the_right_set(d, x):
    probs = x["probs"].double()
    allowed = torch.ones_like(probs, dtype=torch.bool)
    order = probs.argsort(-1, descending=True)
    ranks = order.argsort(-1)
    p = probs
    if "top_k" in x:
        k = x["top_k"].long()
        k = torch.where((k > 0) & (k < p.shape[1]), k, p.shape[1])
        allowed &= ranks < k[:, None]
        p = torch.where(allowed, p, 0)
        p = p / p.sum(-1, keepdim=True)
    if "top_p" in x:
        s = p.gather(-1, order)
        before = torch.zeros_like(p).scatter(-1, order, s.cumsum(-1) - s)
        keep = before <= x["top_p"].double()[:, None] + 1e-4
        keep |= ranks == 0
        keep &= (x["top_p"] > 0)[:, None] | (ranks == 0)
        allowed &= keep
    for seed in range(5):
        (s,) = results(d, x, seed)
        assert s.dtype == torch.int64 and allowed.gather(-1, s[:, None]).all(), f"token outside the set, seed {seed}"


def inputs(d, seed):
    if d["op_type"] in ("gqa_paged", "gqa_ragged"):
        x, *extra = attention_inputs(d, seed)
        return x, extra
    return simple_inputs(d, seed), None


def reference_agrees(d):
    x, extra = inputs(d, 1)
    if d["op_type"] == "sampling":
        return sampled_from_the_right_set(d, x)
    got = results(d, x)
    assert len(got) == len(d["outputs"])
    for o, spec in zip(got, d["outputs"].values()):
        assert str(o.dtype) == "torch." + spec["dtype"], f"{o.dtype} is not {spec['dtype']}"
    close(got[0], oracle(d, x, extra), "second formulation")


def same_as_published(d, pub):
    assert interface(d) == interface(pub), f"{interface(d)} is not {interface(pub)}"
    for seed in (1, 2):
        x, _ = inputs(d, seed)
        for a, b, name in zip(results(d, x, seed), results(pub, x, seed), d["outputs"]):
            close(torch.nan_to_num(a.float(), neginf=-1e9), torch.nan_to_num(b.float(), neginf=-1e9), name)


def main():
    ours = load(sys.argv[1])
    published = load(sys.argv[2]) if len(sys.argv) > 2 else {}
    for name, d in ours.items():
        t(f"{name}: reference agrees with a second formulation", reference_agrees, d)
        if name in published:
            t(f"{name}: interface and results equal the published ones", same_as_published, d, published[name])
    shared = [k for k in ours if k in published]
    if published:
        want = [k for k, v in published.items() if "model:llama-3.1-8b" in v["tags"]]
        t(f"all {len(want)} published names of llama-3.1-8b are made",
          lambda: (set(want) - set(ours)) and 1 / 0)
    print(f"# {len(ours)} definitions, {len(shared)} published")
    print(f"1..{n}")


main()
