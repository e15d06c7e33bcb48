LIMITS = {"window_left": @{window} - 1, "logits_soft_cap": float(@{cap})}
