# The dense projections of an fp8 checkpoint, as in gemm, whole matrices: with
# scales for blocks of 128 x 128, or one for a matrix.
include "config";
import "gemm/shapes" as gemm;

def reads: if quantization == "other" then [] else ["quantization_config"] end;

# the router stays in higher precision, as does what the config leaves out
def quantised:
  . as $in | gemm::shapes | . as $g
  | select($g.role != "mlp.gate")
  | select(($g.role | split(".")[-1]) as $m | $in | unquantised($m) or
           (unquantised("self_attn") and ($g.role | startswith("mlp") | not)) or
           (unquantised("mlp") and ($g.role | startswith("mlp"))) | not);

def shapes:
  quantization as $q
  | if $q == "other" then {unclear: "quantization_config: a format that no rule knows; only the unquantised kernels are listed"}
    elif $q == "fp8_block" then
      quantised | . + {template: "groupwise"}
      | .axes += {num_n_blocks: ((.axes.N + 127) / 128 | floor), num_k_blocks: ((.axes.K + 127) / 128 | floor)}
    elif $q == "fp8_tensor" then quantised | . + {template: "per_tensor"}
    else empty end;
