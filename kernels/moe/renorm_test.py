# part: test_head


# part: test_moe


CAPABILITY = (10, 0)
LOGITS = torch.bfloat16


# part: independent_renormalize


# part: independent_weight_output


# part: test_moe_fp8_block


# part: test_tail
