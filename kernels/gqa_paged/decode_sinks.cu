#define ATTEND_WINDOW P_window
#include "decode.cuh"
