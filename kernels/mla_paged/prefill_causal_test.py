# part: test_head


DECODE = False


# part: independent_attention


# part: test_requests


# part: test_mla_paged


# part: test_tail
