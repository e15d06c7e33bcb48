/* The caches as they were, with new tokens in their places: two copies of the device, then the rows. */
#include "cuda.cuh"

enum { ROW = AX_num_kv_heads * AX_head_dim, VECTORS = ROW / vec<TYPE_append_key>::n };

static __global__ void append_kernel(const TYPE_append_key *key, const TYPE_append_value *value, const int *request,
				     const int *position, const int *indices, const int *indptr, TYPE_append_key *keys,
				     TYPE_append_value *values, int page_size, int64_t n)
{
	int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x, t = i / VECTORS;
	int c = (int)(i % VECTORS) * vec<TYPE_append_key>::n;

	if (i >= n)
		return;
	int at = position[t];
	int64_t to = ((int64_t)indices[indptr[request[t]] + at / page_size] * page_size + at % page_size) * ROW + c;

	store16(keys + to, load16(key + t * ROW + c));
	store16(values + to, load16(value + t * ROW + c));
}

extern "C" size_t onboard_workspace(const struct ob_arg *)
{
	return 0;
}

extern "C" int onboard_run(const struct ob_arg *arg, void *, void *stream)
{
	cudaStream_t st = (cudaStream_t)stream;
	size_t bytes = (size_t)DIM(k_cache, 0) * DIM(k_cache, 1) * ROW * sizeof(TYPE_append_key);
	int64_t n = DIM(append_key, 0) * VECTORS;

	static_assert(ROW % vec<TYPE_append_key>::n == 0, "rows of whole 16-byte vectors");
	cudaMemcpyAsync(TENSOR(new_k_cache), TENSOR(k_cache), bytes, cudaMemcpyDeviceToDevice, st);
	cudaMemcpyAsync(TENSOR(new_v_cache), TENSOR(v_cache), bytes, cudaMemcpyDeviceToDevice, st);
	if (n)
		append_kernel<<<(unsigned)((n + 255) / 256), 256, 0, st>>>(
			TENSOR(append_key), TENSOR(append_value), TENSOR(batch_indices), TENSOR(positions), TENSOR(kv_indices),
			TENSOR(kv_indptr), TENSOR(new_k_cache), TENSOR(new_v_cache), (int)DIM(k_cache, 1), n);
	return cudaGetLastError();
}
