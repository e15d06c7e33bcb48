act_and_mul = flashinfer.activation.silu_and_mul
