/*
 * cuda.cu - evaldev.h on an NVIDIA GPU.
 */
#include "evalfill.h"

#include <cuda_runtime.h>
#include <dlfcn.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <thread>

/* tools/lib/fileio.h, which is C */
extern "C" int file_get(int fd, void *buf, size_t n, uint64_t at);

static char error[512], description[1024];
static cudaStream_t stream;
static int device_no;
static size_t flush_bytes;
static void *flush_buffer;
static struct ev_diff *diff_on_device;

static int fail(const char *what, cudaError_t e)
{
	snprintf(error, sizeof error, "%s: %s", what, cudaGetErrorString(e));
	return -1;
}

#define TRY(x) do { cudaError_t e_ = (x); \
	if (e_ != cudaSuccess) return fail(#x, e_); } while (0)

extern "C" const char *ev_error(void)
{
	return error;
}

/* ---- clocks and temperature, by NVML where it is ---- */

struct nvml {
	int (*init)(void);
	int (*handle)(const char *, void **);
	int (*clock)(void *, int, unsigned *);
	int (*heat)(void *, int, unsigned *);
	void *dev;
};

static struct nvml nvml;

static void nvml_open(void)
{
	char bus[32];
	void *so = dlopen("libnvidia-ml.so.1", RTLD_NOW);

	if (!so || cudaDeviceGetPCIBusId(bus, sizeof bus, device_no))
		return;
	*(void **)&nvml.init = dlsym(so, "nvmlInit_v2");
	*(void **)&nvml.handle = dlsym(so, "nvmlDeviceGetHandleByPciBusId_v2");
	*(void **)&nvml.clock = dlsym(so, "nvmlDeviceGetClockInfo");
	*(void **)&nvml.heat = dlsym(so, "nvmlDeviceGetTemperature");
	if (!nvml.init || !nvml.handle || !nvml.clock || !nvml.heat ||
	    nvml.init() || nvml.handle(bus, &nvml.dev))
		nvml.dev = NULL;
}

static void nvml_read(struct ev_times *t)
{
	unsigned v;

	t->sm_mhz = nvml.dev && !nvml.clock(nvml.dev, 1, &v) ? (int)v : 0;
	t->mem_mhz = nvml.dev && !nvml.clock(nvml.dev, 2, &v) ? (int)v : 0;
	t->celsius = nvml.dev && !nvml.heat(nvml.dev, 0, &v) ? (int)v : 0;
}

extern "C" int ev_open(int device)
{
	cudaDeviceProp p;
	int driver = 0, runtime = 0;

	device_no = device;
	TRY(cudaSetDevice(device));
	TRY(cudaGetDeviceProperties(&p, device));
	TRY(cudaDriverGetVersion(&driver));
	TRY(cudaRuntimeGetVersion(&runtime));
	TRY(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
	TRY(cudaMalloc(&diff_on_device, sizeof *diff_on_device));
	flush_bytes = 2 * (size_t)p.l2CacheSize;
	TRY(cudaMalloc(&flush_buffer, flush_bytes));
	nvml_open();
	snprintf(description, sizeof description,
		 "{\"device\": \"%s\", \"compute\": \"%d.%d\", \"sms\": %d, \"l2_bytes\": %d, "
		 "\"memory_bytes\": %zu, \"cuda_driver\": \"%d.%d\", \"cuda_runtime\": \"%d.%d\"}",
		 p.name, p.major, p.minor, p.multiProcessorCount, p.l2CacheSize,
		 p.totalGlobalMem, driver / 1000, driver % 1000 / 10,
		 runtime / 1000, runtime % 1000 / 10);
	return 0;
}

extern "C" const char *ev_describe(void)
{
	return description;
}

extern "C" int ev_alloc(void **p, size_t n)
{
	TRY(cudaMalloc(p, n ? n : 1));
	return 0;
}

extern "C" void ev_free(void *p)
{
	cudaFree(p);
}

extern "C" int ev_upload(void *dst, const void *src, size_t n)
{
	TRY(cudaMemcpyAsync(dst, src, n, cudaMemcpyHostToDevice, stream));
	return 0;
}

extern "C" int ev_download(void *dst, const void *src, size_t n)
{
	TRY(cudaMemcpyAsync(dst, src, n, cudaMemcpyDeviceToHost, stream));
	TRY(cudaStreamSynchronize(stream));
	return 0;
}

extern "C" int ev_set(void *dst, int byte, size_t n)
{
	TRY(cudaMemsetAsync(dst, byte, n, stream));
	return 0;
}

/*
 * Pieces of a file go through pinned memory, a thread and a piece each: one thread that copies from the page cache is
 * several times slower than the bus, as is a copy from memory that is not pinned.
 */
struct lane {
	char *piece;
	cudaEvent_t sent;
	cudaError_t e;
	bool unread;
	int why;
};

enum { LANES = 4, PIECE = 8 << 20 };

static int lane_open(struct lane *l)
{
	if (l->piece)
		return 0;
	TRY(cudaEventCreateWithFlags(&l->sent, cudaEventDisableTiming));
	TRY(cudaMallocHost(&l->piece, PIECE));
	return 0;
}

/* Every LANES-th piece from the first-th on; errno of a file that ended is 0. */
static void lane_send(struct lane *l, char *dst, int fd, uint64_t at, size_t n, size_t first)
{
	l->unread = false;
	l->e = cudaSetDevice(device_no);
	for (size_t from = first * PIECE; from < n && !l->e; from += (size_t)LANES * PIECE) {
		size_t size = std::min<size_t>(n - from, PIECE);

		l->e = cudaEventSynchronize(l->sent);
		if (l->e)
			break;
		errno = 0;
		if (file_get(fd, l->piece, size, at + from)) {
			l->unread = true;
			l->why = errno;
			break;
		}
		l->e = cudaMemcpyAsync(dst + from, l->piece, size, cudaMemcpyHostToDevice, stream);
		if (!l->e)
			l->e = cudaEventRecord(l->sent, stream);
	}
}

extern "C" int ev_read(void *dst, int fd, uint64_t at, size_t n)
{
	static struct lane lanes[LANES];
	size_t count = std::min<size_t>((n + PIECE - 1) / PIECE, LANES), i;
	std::thread threads[LANES];

	for (i = 0; i < count; i++)
		if (lane_open(&lanes[i]))
			return -1;
	for (i = 1; i < count; i++)
		try {
			threads[i] = std::thread(lane_send, &lanes[i], (char *)dst, fd, at, n, i);
		} catch (const std::system_error &) {	/* no more threads here */
			lane_send(&lanes[i], (char *)dst, fd, at, n, i);
		}
	if (count)
		lane_send(&lanes[0], (char *)dst, fd, at, n, 0);
	for (i = 1; i < count; i++)
		if (threads[i].joinable())
			threads[i].join();
	for (i = 0; i < count; i++) {
		TRY(lanes[i].e);
		if (lanes[i].unread) {
			snprintf(error, sizeof error, "reading a file: %s",
				 lanes[i].why ? strerror(lanes[i].why) : "it is too short");
			return -1;
		}
	}
	return 0;
}

extern "C" void *ev_stream(void)
{
	return stream;
}

extern "C" int ev_sync(void)
{
	TRY(cudaStreamSynchronize(stream));
	return 0;
}

extern "C" size_t ev_size(int dtype, int64_t n)
{
	return (size_t)n * ev_bytes(dtype);
}

/* ---- inputs ---- */

static const int threads = 256;

static int grid_for(int64_t n)
{
	return (int)std::min<int64_t>((n + threads - 1) / threads, 132 * 16);
}

static __global__ void fill_kernel(void *p, int dtype, int64_t n, int64_t same, int how,
				   uint64_t seed, float scale, float shift)
{
	int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;

	for (; i < n; i += (int64_t)gridDim.x * blockDim.x)
		ev_fill_one(p, dtype, i, same, how, seed, scale, shift);
}

static __global__ void pages_kernel(uint8_t *p, int64_t n, uint64_t seed, int64_t page,
				    int64_t tokens)
{
	int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;

	for (; i < n; i += (int64_t)gridDim.x * blockDim.x)
		p[i] = ev_page_byte(seed, i, page, tokens);
}

static __global__ void probs_kernel(float *p, int64_t cols, uint64_t seed)
{
	__shared__ unsigned long long sum;
	unsigned long long mine = 0;
	int64_t base = blockIdx.x * cols, i;

	if (threadIdx.x == 0)
		sum = 0;
	__syncthreads();
	for (i = threadIdx.x; i < cols; i += blockDim.x)
		mine += ev_weight(seed, (uint64_t)(base + i));
	atomicAdd(&sum, mine);
	__syncthreads();
	for (i = threadIdx.x; i < cols; i += blockDim.x)
		p[base + i] = __fdiv_rn((float)ev_weight(seed, (uint64_t)(base + i)),
					__ull2float_rn(sum));
}

extern "C" int ev_fill(void *dst, int dtype, int64_t n, int64_t cols, int how,
		       uint64_t seed, double scale, double shift)
{
	if (n == 0)
		return 0;
	if (how == EV_FP8_PAGES) {
		pages_kernel<<<grid_for(n), threads, 0, stream>>>((uint8_t *)dst, n, seed, cols,
								  (int64_t)scale);
	} else if (how != EV_PROBS) {
		fill_kernel<<<grid_for(n), threads, 0, stream>>>(dst, dtype, n, cols,
				how, seed, (float)scale, (float)shift);
	} else if (dtype == EV_F32 && cols > 0) {
		probs_kernel<<<(unsigned)(n / cols), 1024, 0, stream>>>(
				(float *)dst, cols, seed);
	} else {
		snprintf(error, sizeof error, "probabilities are rows of float32");
		return -1;
	}
	TRY(cudaGetLastError());
	return 0;
}

/* ---- comparison ---- */

static __device__ void atomic_max(double *at, double v)
{
	/* non-negative doubles have the order of their bits */
	atomicMax((unsigned long long *)at, (unsigned long long)__double_as_longlong(v));
}

static __global__ void compare_kernel(const void *out, const void *ref,
				      int dtype, int64_t n, double atol,
				      double rtol, struct ev_diff *d)
{
	int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
	double max_abs = 0, max_rel = 0, abs, rel;
	unsigned long long failed = 0, nonfinite = 0, first = ~0ull;
	int odd;

	for (; i < n; i += (int64_t)gridDim.x * blockDim.x) {
		if (ev_pair(ev_get(out, dtype, i), ev_get(ref, dtype, i),
			    atol, rtol, &abs, &rel, &odd)) {
			failed++;
			nonfinite += odd;
			first = min(first, (unsigned long long)i);
		}
		max_abs = fmax(max_abs, abs);
		max_rel = fmax(max_rel, rel);
	}
	for (int o = 16; o; o >>= 1) {
		max_abs = fmax(max_abs, __shfl_xor_sync(~0u, max_abs, o));
		max_rel = fmax(max_rel, __shfl_xor_sync(~0u, max_rel, o));
		failed += __shfl_xor_sync(~0u, failed, o);
		nonfinite += __shfl_xor_sync(~0u, nonfinite, o);
		first = min(first, __shfl_xor_sync(~0u, first, o));
	}
	if (threadIdx.x % 32)
		return;
	atomic_max(&d->max_abs, max_abs);
	atomic_max(&d->max_rel, max_rel);
	if (failed) {
		atomicAdd((unsigned long long *)&d->failed, failed);
		atomicAdd((unsigned long long *)&d->nonfinite, nonfinite);
		atomicMin((unsigned long long *)&d->first, first);
	}
}

static __global__ void look_kernel(const void *out, const void *ref, int dtype,
				   struct ev_diff *d)
{
	if (d->first >= 0) {
		d->got = ev_get(out, dtype, d->first);
		d->want = ev_get(ref, dtype, d->first);
	}
}

extern "C" int ev_compare(const void *out, const void *ref, int dtype,
			  int64_t n, double atol, double rtol, struct ev_diff *d)
{
	memset(d, 0, sizeof *d);
	d->first = -1;
	if (n == 0)
		return 0;
	if (ev_upload(diff_on_device, d, sizeof *d))
		return -1;
	compare_kernel<<<grid_for(n), threads, 0, stream>>>(out, ref, dtype, n,
			atol, rtol, diff_on_device);
	look_kernel<<<1, 1, 0, stream>>>(out, ref, dtype, diff_on_device);
	TRY(cudaGetLastError());
	return ev_download(d, diff_on_device, sizeof *d);
}

static __global__ void count_kernel(const void *samples, int wide, int64_t n,
				    int64_t requests, int64_t vocab,
				    uint32_t *counts, unsigned long long *outside)
{
	int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x, s;

	for (; i < n; i += (int64_t)gridDim.x * blockDim.x) {
		s = wide ? ((const int64_t *)samples)[i] :
			((const int32_t *)samples)[i];
		if (s < 0 || s >= vocab)
			atomicAdd(outside, 1ull);
		else
			atomicAdd(&counts[i % requests * vocab + s], 1u);
	}
}

extern "C" int ev_count(const void *samples, int dtype, int64_t n,
			int64_t requests, int64_t vocab, uint32_t *counts,
			int64_t *outside)
{
	count_kernel<<<grid_for(n), threads, 0, stream>>>(samples,
			dtype == EV_I64, n, requests, vocab, counts,
			(unsigned long long *)outside);
	TRY(cudaGetLastError());
	return 0;
}

#include "evaltime.cuh"
