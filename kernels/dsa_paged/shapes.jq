# DeepSeek sparse attention: an indexer in fp8 chooses topk tokens, the latent
# attention sees only these. The index heads are not split by TP.
include "config";

def reads: ["index_n_heads", "index_head_dim", "index_topk", "kv_lora_rank", "qk_rope_head_dim",
            "num_attention_heads"];

def shapes:
  if is_dsa | not then empty else
    need("index_topk") as $topk | need("index_head_dim") as $d
    | {template: "indexer", role: "indexer", keys: ["index_n_heads", "index_head_dim", "index_topk"],
       axes: {num_index_heads: need("index_n_heads"), index_head_dim: $d, page_size: 64, topk: $topk,
              kv_cache_num_heads: 1, head_dim_with_scale: ($d + 4)}},
      (q_heads as $h | tps($h)[] as $tp | .serving.page_sizes[] as $ps
       | {template: "sparse", tp: $tp, role: "attn_mqa",
          keys: ["num_attention_heads", "kv_lora_rank", "qk_rope_head_dim", "index_topk"],
          axes: {num_qo_heads: ($h / $tp), head_dim_ckv: need("kv_lora_rank"), head_dim_kpe: rope_dim,
                 page_size: $ps, topk: $topk}})
  end;
