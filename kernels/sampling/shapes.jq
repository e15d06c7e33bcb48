# Sampling from probabilities over the vocabulary.
include "config";

def reads: ["vocab_size"];

def shapes:
  need("vocab_size") as $v | ("top_k", "top_k_top_p", "top_p")
  | {template: ., axes: {vocab_size: $v}, role: "sampler", keys: ["vocab_size"]};
