# Sampling from probabilities over the vocabulary, and the steps of it that an
# engine runs by themselves.
include "config";

def reads: ["vocab_size"];

def shapes:
  need("vocab_size") as $v | ("top_k", "top_k_top_p", "top_p", "top_k_renorm", "top_p_renorm", "min_p")
  | {template: ., axes: {vocab_size: $v}, role: "sampler", keys: ["vocab_size"]};
