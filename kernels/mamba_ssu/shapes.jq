# Mamba2's selective state update of a decode batch; heads and groups split
# by TP. FlashInfer has it for some sizes only.
include "config";

def reads: ["mamba_num_heads", "mamba_head_dim", "ssm_state_size", "n_groups", "hybrid_override_pattern",
  # the convolution, the step size and chunks of the prefill, which is no FlashInfer kernel
  "conv_kernel", "use_conv_bias", "expand", "chunk_size", "mamba_hidden_act", "use_mamba_kernels", "num_logits_to_keep",
  "rescale_prenorm_residual", "time_step_floor", "time_step_limit", "time_step_max", "time_step_min", "time_step_rank"];

def groups($tp): need("n_groups") as $g | if $g >= $tp then $g / $tp else 1 end;

def shapes:
  if text.mamba_num_heads == null then empty else
    need("mamba_num_heads") as $h | need("mamba_head_dim") as $d | need("ssm_state_size") as $s
    | .serving.tp[] as $tp | select($h % $tp == 0 and (need("n_groups") % $tp == 0 or need("n_groups") < $tp))
    | groups($tp) as $g | ($h / $tp / $g) as $ratio
    | {template: "decode", tp: $tp, role: "mixer", keys: ["mamba_num_heads", "mamba_head_dim", "ssm_state_size", "n_groups"],
       axes: {nheads: ($h / $tp), head_dim: $d, dstate: $s, ngroups: $g}}
      + (if ($d | IN(64, 128, 256)) and ($s | IN(64, 128, 256)) and ($ratio | IN(1, 8, 16)) then {}
         else {fi_cannot: "selective_state_update takes head_dim and dstate of 64, 128, 256 and 1, 8 or 16 heads a group"} end)
  end;
