#define ATTEND_WINDOW P_window
#include "gqa_prefill.cuh"
