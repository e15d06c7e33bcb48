/* mla_prefill.cuh - latent attention of a prefill: each query token is a row that sees its request up to itself. */
#pragma once

#include "mla.cuh"

struct prefill_map {
	const int *qo, *indptr, *indices, *last;
	int requests;

	/* the request of a token: bisection, a handful of cached reads */
	__device__ int request(int row) const
	{
		int lo = 0, hi = requests;

		while (hi - lo > 1) {
			int mid = (lo + hi) / 2;

			if (qo[mid] <= row)
				lo = mid;
			else
				hi = mid;
		}
		return lo;
	}
	__device__ int len(int row) const
	{
		int b = request(row), pages = indptr[b + 1] - indptr[b], kv, n;

		if (pages <= 0 || row >= qo[b + 1])
			return 0;
		kv = last ? (pages - 1) * AX_page_size + last[b] : pages * AX_page_size;
		n = kv - (qo[b + 1] - 1 - row);
		return n > 0 ? n : 0;
	}
	__device__ int64_t token(int row, int n) const
	{
		return paged_row<AX_page_size>(indptr, indices, request(row), n);
	}
	__device__ bool there(int, int) const { return true; }
};
