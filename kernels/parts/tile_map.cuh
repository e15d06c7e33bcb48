/*
 * tile_map.cuh - what Hopper's copying engine (TMA) is to know of keys or values (CUDA driver API, "Tensor Map Object
 * Management"). tests/cuda/host_sm90.h has the same for the processor.
 */
#pragma once

#include <cstdint>
#include <cuda.h>
#include <cuda_runtime.h>

/*
 * [pages][rows][heads][dim] of 16 bits, of which tile_copy() gets boxes: 64 columns of so many heads of so many rows of a
 * page, in the 128-byte swizzle. False: the driver has no such engine, or does not take these.
 */
static inline bool tile_map(CUtensorMap *map, const void *base, int64_t pages, int64_t rows, int heads, int dim,
			    int box_heads, int box_rows)
{
	typedef CUresult (*encode_t)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *, const cuuint64_t *,
				     const cuuint64_t *, const cuuint32_t *, const cuuint32_t *, CUtensorMapInterleave,
				     CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);
	static encode_t encode;
	cudaDriverEntryPointQueryResult found;
	cuuint64_t row = (cuuint64_t)heads * dim * 2;
	cuuint64_t dims[4] = { (cuuint64_t)dim, (cuuint64_t)heads, (cuuint64_t)rows, (cuuint64_t)pages };
	cuuint64_t strides[3] = { (cuuint64_t)dim * 2, row, rows * row };
	cuuint32_t boxes[4] = { 64, (cuuint32_t)box_heads, (cuuint32_t)box_rows, 1 }, each[4] = { 1, 1, 1, 1 };

	if (!encode) {
		void *f = nullptr;

#if CUDART_VERSION >= 12050
		cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &f, 12000, cudaEnableDefault, &found);
#else
		cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &f, cudaEnableDefault, &found);
#endif
		cudaGetLastError();
		encode = (encode_t)f;
	}
	return encode && rows > 0 && pages > 0 &&
		encode(map, CU_TENSOR_MAP_DATA_TYPE_UINT16, 4, (void *)base, dims, strides, boxes, each,
		       CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
		       CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}
