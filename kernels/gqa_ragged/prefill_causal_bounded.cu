#define ATTEND_WINDOW P_window
#define ATTEND_CAP P_cap
#include "ragged_prefill.cuh"
