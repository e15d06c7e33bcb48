#include "sampling.cuh"
