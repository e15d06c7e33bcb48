#include "gqa_prefill.cuh"
