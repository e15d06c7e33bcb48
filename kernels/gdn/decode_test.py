# part: test_head


LEAD = (3, 1)  # of the tokens: requests, one token each


def states(rnd, vh, n):
    return {
        "state": rnd(3, vh, n, n),
    }


# part: test_gdn


# part: test_tail
