#include "mla_decode.cuh"
