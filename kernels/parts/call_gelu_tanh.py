act_and_mul = flashinfer.activation.gelu_tanh_and_mul
