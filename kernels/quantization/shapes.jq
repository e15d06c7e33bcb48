# Activations quantised before the projections of an fp8 or nvfp4 checkpoint:
# one kernel for each width that enters one.
include "config";
import "gemm_fp8/shapes" as fp8;

def reads: [];

def shapes:
  quantization as $q
  | if $q == "fp8_block" then
      fp8::quantised | .axes.K as $k | select($k % 128 == 0)
      | {template: "fp8_group", role, keys, axes: {K: $k, group_size: 128, num_groups: ($k / 128)}}
    elif $q == "nvfp4" then
      fp8::quantised | .axes.K as $k | select($k % 16 == 0)
      | {template: "nvfp4", role, keys, axes: {K: $k, K_packed: ($k / 2), num_scales: ($k / 16)}}
    else empty end;
