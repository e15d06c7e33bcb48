# The dense projections of an nvfp4 checkpoint, as in gemm, whole matrices.
include "config";
import "gemm_fp8/shapes" as fp8;

def reads: [];

def shapes:
  if quantization != "nvfp4" then empty else
    fp8::quantised | select(.axes.K % 16 == 0)
    | . + {template: "nvfp4"} | .axes += {block_size: 16, K_packed: (.axes.K / 2), num_scales: (.axes.K / 16)}
  end;
