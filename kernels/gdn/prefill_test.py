# part: test_head


LEAD = (9,)  # of the tokens


def states(rnd, vh, n):
    return {
        "state": rnd(3, vh, n, n),
        "cu_seqlens": torch.tensor([0, 4, 5, 9]),
    }


# part: test_gdn


# part: test_tail
