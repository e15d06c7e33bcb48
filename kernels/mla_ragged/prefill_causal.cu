#include "ragged_prefill.cuh"
