# part: test_head


QK, VO = "qk_dim", "vo_dim"


# part: independent_attention


# part: test_requests


# part: test_ragged


# part: test_tail
