#include "mla_prefill_sm90.cuh"
