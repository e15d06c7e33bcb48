# part: test_head


LEAD = (3, 1)  # of the tokens: requests, one token each


# part: test_kda


# part: test_tail
