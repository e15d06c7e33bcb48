# part: test_head


LEAD = (9,)  # of the tokens


# part: test_kda


# part: test_tail
