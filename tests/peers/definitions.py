"""Hold our definitions against the published ones of the same name.

usage: definitions.py OURS PUBLISHED

OURS and PUBLISHED are dataset folders. Speaks TAP: interface and results
equal the published ones, on the inputs of our own reference tests (which
pytest runs, see tests/peers/run).
"""
import json
import re
import sys
from pathlib import Path

import torch

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
    found = (json.loads(f.read_text()) for f in sorted(Path(root).glob("definitions/*/*.json")))
    return {d["name"]: d for d in found}


def interface(d):
    """What a solution sees: no prose, but order."""
    tensors = lambda m: [(k, v["shape"], v["dtype"]) for k, v in m.items()]
    axes = [(k, v["type"], v.get("value")) for k, v in d["axes"].items()]
    return {"op_type": d["op_type"], "axes": axes, "inputs": tensors(d["inputs"]),
            "outputs": tensors(d["outputs"]), "constraints": d.get("constraints") or [],
            "keys": sorted(k for k in d if k != "constraints" or d[k])}


def test_of(root, name):
    """The names of our reference test."""
    file = Path(root) / "tests" / "references" / f"test_{name}.py"
    scope = {"__file__": str(file), "__name__": name}
    exec(compile(file.read_text(), str(file), "exec"), scope)
    return scope


def scaled_like(published, small):
    """The published text for the small sizes that our test takes."""
    new = {published["axes"][a]["value"]: v["value"] for a, v in small["axes"].items()
           if v.get("value") not in (None, published["axes"][a].get("value"))}
    return re.sub(r"\b\d+\b", lambda m: str(new.get(int(m[0]), m[0])), published["reference"])


def results(test, reference, x, seed):
    torch.manual_seed(seed)
    x = {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in x.items()}
    return test["as_tuple"](test["run_of"](reference)(**x))


def same_as_published(ours, root, pub):
    assert interface(ours) == interface(pub), f"{interface(ours)} is not {interface(pub)}"
    test = test_of(root, ours["name"])
    small = test["definition"]()
    for seed in (1, 2):
        x = test["inputs"](test["consts"](small), torch.Generator().manual_seed(seed))
        x = {k: x[k] for k in ours["inputs"]}
        both = results(test, small["reference"], x, seed), results(test, scaled_like(pub, small), x, seed)
        for a, b, name in zip(*both, ours["outputs"], strict=True):
            a, b = (torch.nan_to_num(o.float(), neginf=-1e9) for o in (a, b))
            torch.testing.assert_close(a, b, rtol=2e-2, atol=2e-2, msg=lambda m: f"{name}: {m}")


def exit_if(missing):
    assert not missing, f"not made: {sorted(missing)}"


def main():
    ours, published = load(sys.argv[1]), load(sys.argv[2])
    shared = [k for k in ours if k in published]
    for name in shared:
        t(f"{name}: interface and results equal the published ones", same_as_published, ours[name], sys.argv[1], published[name])
    if "rmsnorm_h4096" in ours:
        want = [k for k, v in published.items() if "model:llama-3.1-8b" in v["tags"]]
        t(f"all {len(want)} published names of llama-3.1-8b are made", lambda: exit_if(set(want) - set(ours)))
    print(f"# {len(ours)} definitions, {len(shared)} published")
    print(f"1..{n}")


main()
