"""Nasty workloads for our kernels: lengths of 0 and 1, pages that are not full, prefixes, padding, batches of all that; nan and
inf in queries, nan wherever nobody looks. kernels.py tries them on the processor, gpu.py on a GPU.
"""
import json
import random
import re
import shutil
import struct

import torch

from ours import ROOT, changed, define

rng = random.Random(1)

KINDS = {"int64": "I64", "int32": "I32", "float32": "F32", "bfloat16": "BF16", "float16": "F16"}


def sizes(d, axes):
    """Of all axes; `axes`: those that vary."""
    return {**{a: x["value"] for a, x in d["axes"].items() if x["type"] == "const"}, **axes}


def blob(path, tensors):
    """Of numbers, or of tensors as they are."""
    head, at, body = {}, 0, b""
    for name, (kind, shape, values) in tensors.items():
        t = values if isinstance(values, torch.Tensor) else torch.tensor(values, dtype=getattr(torch, kind))
        data = t.contiguous().view(-1).view(torch.uint8).numpy().tobytes() if t.numel() else b""
        head[name] = {"dtype": KINDS[kind], "shape": shape, "data_offsets": [at, at + len(data)]}
        at, body = at + len(data), body + data
    text = json.dumps(head).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def workloads(ds, d, cases):
    """Write them to dataset ds. cases: sizes of var axes, and {input: numbers or a tensor}; other inputs are random, scalars a head's usual scale."""
    op, name, lines = d["op_type"], d["name"], []
    for i, (axes, ints) in enumerate(cases):
        where = "./blob/workloads/%s/%s/%d.safetensors" % (op, name, i)
        size = sizes(d, axes)
        ints = {k: v for k, v in ints.items() if k in d["inputs"]}
        blob(ds / where, {k: (d["inputs"][k]["dtype"], [size[a] for a in d["inputs"][k]["shape"]], v) for k, v in ints.items()})
        ins = {k: {"type": "safetensors", "path": where, "tensor_key": k} if k in ints else
               {"type": "scalar", "value": 0.09} if s["shape"] is None else {"type": "random"} for k, s in d["inputs"].items()}
        lines.append({"definition": name, "solution": None, "evaluation": None, "workload": {
            "uuid": "00000000-0000-4000-8000-%012d" % i, "axes": {k: v for k, v in axes.items() if k in d["axes"]}, "inputs": ins}})
    path = ds / "workloads" / op / (name + ".jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(x) + "\n" for x in lines))


def sums(lens):
    out = [0]
    for x in lens:
        out.append(out[-1] + x)
    return out


def paged(d, lens, queries=None, follow=False):
    """follow: pages were given out one after another."""
    page, pool = d["axes"]["page_size"]["value"], 50
    pages = [-(-x // page) for x in lens]
    ints = {"kv_indptr": sums(pages), "kv_indices": [i % pool if follow else rng.randrange(pool) for i in range(sum(pages))],
            "kv_last_page_len": [(x - 1) % page + 1 if x else 0 for x in lens]}
    axes = {"batch_size": len(lens), "num_pages": pool, "len_indptr": len(lens) + 1, "num_kv_indices": sum(pages)}
    if queries:
        ints["qo_indptr"] = sums(queries)
        axes["total_q"] = sum(queries)
    return axes, ints


DECODED = [0], [1], [0, 0, 1, 0], [65, 64, 1, 63, 0, 129], [300, 0, 1, 2], [1] * 70, [2100], [130, 65] * 10
PREFILLED = ([1], [1]), ([0, 3], [5, 3]), ([5, 0, 70, 1], [200, 0, 70, 300]), ([129, 64], [129, 200]), ([3, 1], [3, 0])


def ragged(q, kv):
    return {"len_indptr": len(q) + 1, "total_q": sum(q), "total_kv": sum(kv)}, {"qo_indptr": sums(q), "kv_indptr": sums(kv)}


def packed(starts):
    """Prompts one after the other, of which number i is starts[i] .. starts[i + 1]."""
    return {"total_seq_len": starts[-1], "num_seqs": len(starts) - 1, "len_cu_seqlens": len(starts)}, {"cu_seqlens": starts}


def spoiled(d, case, by=float("nan")):
    """`by` in a query (its first part) of the first token and of the last; in a cache, nan in all that no request has."""
    axes, given = case
    size = sizes(d, axes)
    page, last = size.get("page_size", 1), given.get("kv_last_page_len")
    gen = torch.Generator().manual_seed(2)
    floats = {}
    for k, s in d["inputs"].items():
        if s["dtype"] != "bfloat16":
            continue
        x = torch.randn([size[a] for a in s["shape"]], generator=gen).bfloat16()
        if k.startswith("q") and not any(f.startswith("q") for f in floats):
            x[0].view(-1)[3] = by
            x[-1].view(-1)[-1] = by
        elif s["shape"][0] == "num_pages":
            seen = torch.zeros(size["num_pages"], page, dtype=torch.bool)
            for i, p in enumerate(given["kv_indices"]):
                b = max(b for b in range(len(given["kv_indptr"])) if given["kv_indptr"][b] <= i)
                seen[p, :last[b] if last and i + 1 == given["kv_indptr"][b + 1] else page] = True
            x[~seen] = float("nan")
        floats[k] = x
    return axes, {**given, **floats}


def randn(d, axes, name):
    size, spec = sizes(d, axes), d["inputs"][name]
    return torch.randn([size[a] for a in spec["shape"]], generator=torch.Generator().manual_seed(6)).to(getattr(torch, spec["dtype"]))


def spoiled_rows(d, name):
    """Five rows of an input, one with nan, one with inf."""
    spec = d["inputs"][name]
    rows = torch.randn([5, d["axes"][spec["shape"][1]]["value"]], generator=torch.Generator().manual_seed(5)).to(getattr(torch, spec["dtype"]))
    rows[1, 3], rows[4, -1] = float("nan"), float("inf")
    return rows


def both(d, case):
    return [spoiled(d, case), spoiled(d, case, float("inf"))]


def lone(d, case):
    """The first and the last token see one key each: with inf or with -inf its logit is -inf, and the token's output nan."""
    return [spoiled(d, case, float("inf")), spoiled(d, case, float("-inf"))]


def rotated(*tokens):
    """Seven heads: one, two and four a thread, by the number of tokens, leave some over."""
    return [({"num_tokens": n, "num_qo_heads": 5, "num_kv_heads": 2, "max_seq_len": 9}, {"positions": [3 * i % 9 for i in range(n)]})
            for n in tokens]


def cases(d):
    name, op = d["name"], d["op_type"]
    if "_paged_decode" in name:
        return [paged(d, x) for x in DECODED] + both(d, paged(d, [65, 0, 3, 130])) + lone(d, paged(d, [1, 0, 3, 1]))
    if "_paged_prefill" in name:
        # tiles that a window cuts, ones that it does not, and ones before it
        far = [paged(d, [750, 300], [90, 2])] if "_sw300" in name else []
        return (far + [paged(d, kv, q) for q, kv in PREFILLED] + [paged(d, [150, 37, 290], [20, 37, 3], follow=True)] +
                both(d, paged(d, [60, 20], [20, 3])) + both(d, paged(d, [150, 3, 164], [20, 3, 1])) +
                lone(d, paged(d, [1, 30, 1], [1, 3, 1])) + lone(d, paged(d, [1, 250, 1], [1, 4, 1])))
    if "_ragged_prefill" in name:
        # more requests than a block has threads
        many = [ragged([1] * 390, [2] * 389 + [70])] if name.startswith("gqa") else []
        return ([ragged(q, kv) for q, kv in PREFILLED] + many + both(d, ragged([20, 3], [60, 20])) + both(d, ragged([20, 3, 1], [150, 3, 164])) +
                lone(d, ragged([1, 3, 1], [1, 30, 1])) + lone(d, ragged([1, 4, 1], [1, 250, 1])))
    if op == "rmsnorm":
        return [({"batch_size": b}, {}) for b in (1, 3, 257)] + [({"batch_size": 5}, {"hidden_states": spoiled_rows(d, "hidden_states")})]
    if op == "gemm":
        return [({"M": b}, {}) for b in (1, 7, 300)] + [({"M": 5}, {"A": spoiled_rows(d, "A")})]
    if op == "sampling":
        return [({"batch_size": b}, {}) for b in (1, 5, 70)]
    if op == "rope":
        return rotated(1, 5, 400, 1200)
    if op == "activation":
        return [({"num_tokens": b}, {}) for b in (1, 7)]
    if op == "cascade_merge":
        return [({"seq_len": b}, {}) for b in (1, 9)]
    if op == "quantization":
        return [({"M": b}, {}) for b in (1, 37)]
    if op == "page_append":
        had, new, page = [0, 3, 6], [5, 1, 4], 4
        pages = [-(-(a + b) // page) for a, b in zip(had, new)]
        return [({"nnz_kv": sum(new), "num_pages": 9, "page_size": page, "batch_size": 3, "len_indptr": 4, "num_kv_indices": sum(pages)},
                 {"batch_indices": [0] * 5 + [1] + [2] * 4, "positions": [a + i for a, b in zip(had, new) for i in range(b)],
                  "kv_indptr": sums(pages), "kv_indices": rng.sample(range(9), sum(pages)),
                  "kv_last_page_len": [(a + b - 1) % page + 1 for a, b in zip(had, new)]})]
    if op == "gemm_fp8":
        # units whole and cut along K, of 64 tokens, of 128, of 256 in several bands
        return [({"M": b}, {}) for b in (1, 70, 129, 300, 2100)]
    if op == "moe":
        given = [({"seq_len": b}, {}) for b in (1, 37, 150)]
        if "routing_bias" not in d["inputs"]:
            return given
        # a strong bias sends the tokens to a few experts; of many experts a sanitizer takes too long
        bias = randn(d, {}, "routing_bias")
        return [(axes, {"routing_bias": bias}) for axes, _ in given] + (given if len(bias) <= 64 else [])
    if name.startswith("gdn_prefill"):
        # the last four in chunks of 64: so many that heads which share keys are prepared by one block; nan amid a chunk; inf
        given = [packed(c) for c in ([0, 0, 5], [0, 1], [0, 7, 7, 9], [0, 1030], [0, 64, 64, 65, 194], [0, 70, 140], [0, 70, 140])]
        for x, at, bad, into in ("q", 20, "nan", given[-2]), ("v", 90, "nan", given[-2]), ("q", 20, "inf", given[-1]):
            shape = [140, d["axes"]["num_q_heads" if x == "q" else "num_v_heads"]["value"], 128]
            into[1][x] = torch.randn(shape, generator=torch.Generator().manual_seed(3)).bfloat16()
            into[1][x][at, -1, 5] = float(bad)
        return given
    if name.startswith(("kda_prefill", "lightning_attn_prefill")):
        given = [packed(c) for c in ([0, 0, 5], [0, 1], [0, 7, 7, 11, 50], [0, 1030], [0, 64, 64, 65, 194], [0, 70, 140])]
        shape = [d["axes"][a]["value"] if a in d["axes"] and d["axes"][a]["type"] == "const" else 140 for a in d["inputs"]["q"]["shape"]]
        for x, at, bad in ("q", 20, "inf"), ("k", 90, "nan"):
            given[-1][1][x] = torch.randn(shape, generator=torch.Generator().manual_seed(3)).bfloat16() / shape[-1] ** .5
            given[-1][1][x][at, -1, 5] = float(bad)
        if "g" in d["inputs"]:	# decays of which 16 are too much for a number, or 1
            shape = [194] + [d["axes"][a]["value"] for a in d["inputs"]["g"]["shape"][1:]]
            given[-2][1]["g"] = -20 * (torch.rand(shape, generator=torch.Generator().manual_seed(4)) > .5).bfloat16()
        return given
    if name.startswith(("recurrent_kda", "lightning_attn_decode")):
        return [({"batch_size": 3}, {})]
    if name.startswith("gdn_decode"):
        return [({"batch_size": 3}, {})]
    if name.startswith("gdn_mtp"):
        return [({"batch_size": 2, "seq_len": 3, "pool_size": 4}, {"initial_state_indices": [3, 0]})]
    if op == "mamba_ssu":
        axes, slots = {"batch_size": 3, "state_cache_size": 5}, {"state_batch_indices": [4, -1, 0]}
        # by themselves one value a head; and as the definition has them, too
        each = {k: randn(d, axes, k) for k in ("dt", "A", "D", "dt_bias")}
        each["A"] = -each["A"].abs()
        return [(axes, slots), (axes, {**slots, **each})]
    if name.startswith("dsa_sparse"):
        k, page = d["axes"]["topk"]["value"], d["axes"]["page_size"]["value"]
        rows = [[-1] * k, [5] + [-1] * (k - 1), [rng.randrange(60 * page) for _ in range(k)]]
        # so many rows that they are counted first
        many = rows + [[rng.randrange(60 * page) for _ in range(i % 3)] + [-1] * (k - i % 3) for i in range(130)]
        return [({"num_tokens": len(r), "num_pages": 60}, {"sparse_indices": sum(r, [])}) for r in (rows, many)]
    if name.startswith("dsa_topk"):
        return [({"batch_size": 3, "max_num_pages": 40, "num_pages": 60},
                 {"seq_lens": [0, 5, 2500], "block_table": [rng.randrange(60) for _ in range(120)]})]
    return None


def huge(d):
    """Many requests at once, for a GPU."""
    name, op = d["name"], d["op_type"]
    some = [rng.randrange(200) for _ in range(700)]
    if "_paged_decode" in name:
        return [paged(d, some)]
    if "_paged_prefill" in name:
        return [paged(d, [x + 1 for x in some], [1] * 700), paged(d, some, [rng.randrange(x + 1) for x in some])]
    if "_ragged_prefill" in name:
        return [ragged([rng.randrange(x + 1) for x in some], some)]
    if "cu_seqlens" in d["inputs"]:
        return [packed(sums(some))]
    if op == "rope":
        return rotated(6000, 20000)
    axis = {"rmsnorm": "batch_size", "sampling": "batch_size", "gemm": "M", "gemm_fp8": "M", "moe": "seq_len", "activation": "num_tokens"}.get(op)
    return [({axis: 5000 if op != "sampling" else 1000}, {})] if axis else []


WANTED = ("gqa_paged_decode_h16_kv4_d128_ps1", "gqa_paged_decode_h16_kv4_d128_ps64", "gqa_paged_prefill_causal_h16_kv4_d128_ps1",
          "gqa_paged_prefill_causal_h16_kv4_d128_ps64", "gqa_ragged_prefill_causal_h16_kv4_d128", "gqa_paged_decode_h4_kv1_d128_ps1",
          "mla_paged_decode_h16_ckv512_kpe64_ps1", "mla_paged_decode_h16_ckv512_kpe64_ps64",
          "mla_paged_prefill_causal_h16_ckv512_kpe64_ps64", "mla_ragged_prefill_causal_h16_qk192_vo128",
          "rmsnorm_h64", "rmsnorm_h144", "rmsnorm_h512", "rmsnorm_h7168", "fused_add_rmsnorm_h256", "fused_add_rmsnorm_h4096",
          "rope_with_cos_sin_cache_neox_style_d128_rd128",
          "rope_with_cos_sin_cache_gptj_style_d64_rd64", "silu_and_mul_h512", "merge_state_h16_d128",
          "append_paged_kv_cache_kv4_d128", "per_token_group_quant_fp8_k512_g128",
          "gemm_fp8_nt_groupwise_n720_k336", "gemm_fp8_nt_groupwise_n336_k2048",
          "recurrent_kda_q2_v2_d128", "kda_prefill_q2_v2_d128", "kda_prefill_q3_v3_d64",
          "lightning_attn_decode_h4_d128", "lightning_attn_prefill_h4_d128", "lightning_attn_prefill_h4_d64",
          "moe_fp8_block_scale_renorm_topk8_e16_h256_i128", "moe_fp8_block_scale_ds_routing_topk8_ng8_kg4_e64_h256_i128")
NARROW_WANTED = ("gqa_paged_decode_h2_kv1_d256_ps1_sw70_cap50", "gqa_paged_decode_h16_kv2_d64_ps64_sinks_sw70", "gqa_paged_decode_h16_kv2_d64_ps1_sinks",
                 "gqa_paged_prefill_causal_h2_kv1_d256_ps64_sw70_cap50", "gqa_paged_prefill_causal_h16_kv2_d64_ps1_sinks_sw70",
                 "gqa_paged_prefill_causal_h2_kv1_d128_ps64_sw300_cap50", "gqa_paged_prefill_causal_h16_kv2_d128_ps1_sinks_sw300",
                 "gqa_ragged_prefill_causal_h2_kv1_d256_sw70_cap50", "gqa_ragged_prefill_causal_h2_kv1_d128_cap50")
SHARED_WANTED = ("gdn_", "mamba_ssu", "dsa_")
# cuBLAS and draws, which need a GPU, and what a processor takes too long for
GPU_WANTED = ("gemm_n", "top_k_sampling", "top_p_sampling", "top_k_top_p", "top_k_renorm", "top_p_renorm", "min_p_sampling",
              "moe_fp8_block_scale_ds_routing_topk8_ng8_kg4_e256")
# not under a sanitizer, which takes too long for so many draws
GPU_LARGE = "top_k_sampling_from_probs_v128256", "top_k_top_p_sampling_from_probs_v128256", "min_p_sampling_from_probs_v128256"


def definitions(build, shared, work):
    """All definitions that the cases are for, in work/ds; {name: definition}."""
    configs = ROOT / "manifests/snapshot/configs"
    serving = work / "serving.json"

    def at(tp, slug, config):
        serving.write_text(json.dumps({"tp": tp, "ep": [1], "page_sizes": [1, 64]}))
        define(build, work, slug, config, "--serving", serving)

    def narrow(name, window, **change):
        """A model of ../shared with a window that a processor reaches the end of."""
        return changed(work, shared / "models" / (name + ".json"), sliding_window=window, **change)

    at([2, 8], "llama", configs / "llama-3.1-8b.json")
    at([8], "deepseek", configs / "deepseek-v3.json")
    # so small that a processor multiplies it in a second
    at([1], "experts", changed(work, configs / "qwen3-30b-a3b.json", hidden_size=256, moe_intermediate_size=128, num_experts=16))
    at([1], "groups", changed(work, configs / "deepseek-v3.json", hidden_size=256, moe_intermediate_size=128, n_routed_experts=64))
    for heads, dim in (2, 128), (3, 64):
        at([1], "kda", changed(work, configs / "qwen3-8b.json", linear_attn_config={"kda_layers": [1], "num_heads": heads, "head_dim": dim}))
    for dim in 128, 64:
        at([8], "lightning", changed(work, configs / "qwen3-8b.json", attn_type_list=[0, 1], head_dim=dim))
    # few words, so that draws are few under a sanitizer
    at([1], "words", changed(work, configs / "qwen3-8b.json", vocab_size=1024))
    # blocks of 128 that are there in part
    at([1], "blocks", changed(work, configs / "deepseek-v3.json", hidden_size=336, q_lora_rank=144))
    if (shared / "models").is_dir():
        for model in "qwen3-next-80b-a3b", "nemotron-h-56b", "deepseek-v3.2":
            at([1, 8], model, shared / "models" / (model + ".json"))
        for model in "gemma-2-2b", "gpt-oss-120b":
            at([4], "narrow-" + model, narrow(model, 70))
            at([4], "other-" + model, narrow(model, 300, head_dim=128))
    shutil.rmtree(work / "ds/solutions")
    return {f.stem: json.loads(f.read_text()) for f in (work / "ds").glob("definitions/*/*.json")}


def smallest(all_of, kinds):
    """The smallest definition of each template whose names begin so."""
    out = []
    for kind in kinds:
        of_kind = sorted((n for n in all_of if n.startswith(kind)), key=lambda n: (len(n), n))
        template = [re.sub(r"\d+", "", n) for n in of_kind]
        out += [all_of[n] for i, n in enumerate(of_kind) if template[i] not in template[:i]]
    return out


def wanted(all_of, shared):
    """What both try; without ../shared fewer."""
    if not (shared / "models").is_dir():
        return [all_of[n] for n in WANTED]
    return [all_of[n] for n in WANTED + NARROW_WANTED] + smallest(all_of, SHARED_WANTED)
