# part: test_head


LEAD = (3, 4)  # of the tokens: requests, tokens


def states(rnd, vh, n):
    return {
        "initial_state": rnd(5, vh, n, n),
        "initial_state_indices": torch.tensor([4, 0, 2], dtype=torch.int32),
        "intermediate_states_buffer": torch.zeros(5, 4, vh, n, n),
    }


# part: test_gdn


# part: test_tail
