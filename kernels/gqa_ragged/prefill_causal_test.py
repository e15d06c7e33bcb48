# part: test_head


QK = VO = "head_dim"


# part: independent_attention


# part: test_requests


# part: test_ragged


# part: test_tail
