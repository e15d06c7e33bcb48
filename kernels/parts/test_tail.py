def definition():
    return small(json.loads((DATASET / "definitions" / OP / f"{NAME}.json").read_text()))


def consts(d):
    return {k: a["value"] for k, a in d["axes"].items() if a["type"] == "const"}


def run_of(source):
    scope = {}
    exec(compile(source, NAME, "exec"), scope)
    return scope["run"]


def as_tuple(x):
    return x if isinstance(x, tuple) else (x,)


def tried(d, seed):
    """Inputs in the definition's order, and the second formulation's answer."""
    torch.manual_seed(seed)
    x = inputs(consts(d), torch.Generator().manual_seed(seed))
    x = {name: x[name] for name in d["inputs"]}
    return x, as_tuple(independent(consts(d), x))


@pytest.mark.parametrize("seed", [0, 1])
def test_reference_agrees_with_a_second_formulation(seed):
    d = definition()
    x, want = tried(d, seed)
    got = as_tuple(run_of(d["reference"])(**x))
    assert len(got) == len(d["outputs"])
    for out, spec in zip(got, d["outputs"].values()):
        assert str(out.dtype).startswith("torch." + spec["dtype"])
    agree(got, want)


@pytest.mark.parametrize("seed", [0, 1])
def test_flashinfer_agrees_with_a_second_formulation(seed):
    file = DATASET / "solutions" / "baseline" / OP / NAME / f"flashinfer_wrapper_{NAME}.json"
    if not file.exists():
        pytest.skip("FlashInfer has no kernel for this")
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    if torch.cuda.get_device_capability() < CAPABILITY:
        pytest.skip(f"FlashInfer's kernel needs compute capability {CAPABILITY[0]}.{CAPABILITY[1]}")
    d = definition()
    source = json.loads(file.read_text())["sources"][0]["content"]
    if "flashinfer" in source:
        pytest.importorskip("flashinfer", reason="FlashInfer is not installed")
    x, want = tried(d, seed)
    on_gpu = {k: v.cuda() if isinstance(v, torch.Tensor) else v for k, v in x.items()}
    try:
        got = as_tuple(run_of(source)(**on_gpu))
    except ImportError as e:
        pytest.skip(f"this FlashInfer does not have it: {e}")
    agree([g.cpu() for g in got], want)
