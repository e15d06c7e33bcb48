"""translate.py - sources of a kernel for the host's compiler and tests/cuda/host.h."""
import re
import sys
from pathlib import Path


def closing(text, at):
    """Where the bracket that opens at `at` closes."""
    pairs, deep = {"(": ")", "<": ">", "[": "]", "{": "}"}, 0
    one, other = text[at], pairs[text[at]]
    for i in range(at, len(text)):
        deep += (text[i] == one) - (text[i] == other)
        if not deep:
            return i
    raise ValueError("unbalanced: " + text[at:at + 60])


def arguments(text):
    """Split at the commas that no bracket holds."""
    out, deep, start = [], 0, 0
    for i, c in enumerate(text):
        deep += (c in "([{") - (c in ")]}")
        if c == "," and not deep:
            out.append(text[start:i])
            start = i + 1
    return [x.strip() for x in out + [text[start:]]]


def launches(text):
    """kernel<<<grid, threads, shared, stream>>>(a, b) as a call of each thread."""
    while True:
        at = text.find("<<<")
        if at < 0:
            return text
        end = text.index(">>>", at)
        config = arguments(text[at + 3:end])
        first = at - 1
        if text[first] == ">":              # of a template: its name stands before the < that opens
            deep = 0
            while True:
                deep += (text[first] == ">") - (text[first] == "<")
                if not deep:
                    break
                first -= 1
            first -= 1
        while text[first].isalnum() or text[first] in "_:":
            first -= 1
        call = text.index("(", end)
        close = closing(text, call)
        text = (text[:first + 1] + "host::launch(dim3(%s), dim3(%s), %s, [&] { %s%s; })" % (
            config[0], config[1], config[2] if len(config) > 2 else "0", text[first + 1:at], text[call:close + 1]) +
            text[close + 1:])


NAMES = {"threadIdx": "thread", "blockIdx": "block", "blockDim": "threads_of", "gridDim": "grid"}


def translate(text):
    text = re.sub(r"(?<![.\w>])(%s)\b" % "|".join(NAMES), lambda m: "host::gpu." + NAMES[m[1]], text)
    text = re.sub(r"extern __shared__\s+(?:__align__\(\d+\)\s+)?char (\w+)\[\];", r"char *const \1 = host::gpu.shared;", text)
    text = re.sub(r"#pragma unroll.*", "", text)
    return launches(text.replace("cudaLaunchKernelEx(", "host::launch_ex("))


def main(source, target):
    """All sources of a folder, what is PTX left to host.h and host_sm90.h."""
    target = Path(target)
    target.mkdir(parents=True, exist_ok=True)
    for f in Path(source).iterdir():
        if f.suffix in (".cu", ".cuh", ".h"):
            ours = {"ptx.cuh": '#include "host.h"\n', "ptx_sm90.cuh": '#include "host_sm90.h"\n',
                    "tile_map.cuh": '#include "host_sm90.h"\n'}
            text = ours.get(f.name) or translate(f.read_text())
            (target / f.name.replace("kernel.cu", "kernel.cpp")).write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
