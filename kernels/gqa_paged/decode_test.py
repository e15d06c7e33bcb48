# part: test_head


DECODE = True


# part: independent_attention


# part: test_requests


# part: test_gqa_paged


# part: agree_empty


# part: test_tail
