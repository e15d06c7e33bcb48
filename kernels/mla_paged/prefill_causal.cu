#include "mla_prefill.cuh"
