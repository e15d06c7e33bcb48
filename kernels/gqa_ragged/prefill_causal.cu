#include "gqa_ragged.cuh"
