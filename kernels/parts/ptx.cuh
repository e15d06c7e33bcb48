/*
 * ptx.cuh - asynchronous copies, barriers and matrix fragments (PTX ISA: cp.async, mbarrier, ldmatrix, mma), sm_80 and later. All of it that is
 * not of Hopper alone: tests/cuda/host.h has the same for the processor.
 */
#pragma once

#include <cstdint>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

static __device__ __forceinline__ uint32_t smem_at(const void *p)
{
	return (uint32_t)__cvta_generic_to_shared(p);
}

/* 16 bytes to shared memory; `there` false: zeros. */
static __device__ __forceinline__ void copy16(uint32_t to, const void *from, bool there)
{
	asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::
		     "r"(to), "l"(from), "r"(there ? 16 : 0) : "memory");
}

/* 128 bytes, on their way to the L2 cache. */
static __device__ __forceinline__ void prefetch(const void *p)
{
	asm volatile("prefetch.global.L2 [%0];" :: "l"(p));
}

static __device__ __forceinline__ void copy8(uint32_t to, const void *from)
{
	asm volatile("cp.async.ca.shared.global [%0], [%1], 8;" :: "r"(to), "l"(from) : "memory");
}

static __device__ __forceinline__ void copy_commit(void)
{
	asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int N> static __device__ __forceinline__ void copy_wait(void)
{
	asm volatile("cp.async.wait_group %0;" :: "n"(N) : "memory");
}

static __device__ __forceinline__ void bar_init(uint32_t bar, int count)
{
	asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" :: "r"(bar), "r"(count) : "memory");
}

static __device__ __forceinline__ void bar_arrive(uint32_t bar)
{
	asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" :: "r"(bar) : "memory");
}

static __device__ __forceinline__ void bar_wait(uint32_t bar, int phase)
{
#if __CUDA_ARCH__ >= 900
#define BAR_LOOK "mbarrier.try_wait.parity.shared::cta.b64"	/* sleeps meanwhile */
#else
#define BAR_LOOK "mbarrier.test_wait.parity.shared::cta.b64"
#endif
	asm volatile("{\n.reg .pred p;\nagain:\n"
		     BAR_LOOK " p, [%0], %1;\n"
		     "@p bra done;\nbra again;\ndone:\n}" :: "r"(bar), "r"(phase) : "memory");
}

/*
 * Arrives when this thread's copies (cp.async) so far are there; it does not wait. Who waits for the barrier may
 * give them to wgmma: no fence of proxies stands between the two, as in CUTLASS's own main loops over
 * cp.async (sm90_mma_multistage_gmma_ss_warpspecialized.hpp). One costs some hundred cycles of the tensor cores a tile.
 */
static __device__ __forceinline__ void bar_arrive_copied(uint32_t bar)
{
	asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" :: "r"(bar) : "memory");
}

static __device__ __forceinline__ void bar_arrive_if(uint32_t bar, bool yes)
{
	asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %1, 0;\n@p mbarrier.arrive.shared::cta.b64 _, [%0];\n}" ::
		     "r"(bar), "r"((int)yes) : "memory");
}

/* Named barriers of the first `threads` that come, 1 to 15: wait there, or only be counted. */
static __device__ __forceinline__ void group_sync(int name, int threads)
{
	asm volatile("bar.sync %0, %1;" :: "r"(name), "r"(threads) : "memory");
}

static __device__ __forceinline__ void group_arrive(int name, int threads)
{
	asm volatile("bar.arrive %0, %1;" :: "r"(name), "r"(threads) : "memory");
}

static __device__ __forceinline__ void ldm4(uint32_t r[4], uint32_t at)
{
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" :
		     "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
}

static __device__ __forceinline__ void ldm4t(uint32_t r[4], uint32_t at)
{
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];" :
		     "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
}

static __device__ __forceinline__ float ex2(float x)
{
	asm("ex2.approx.ftz.f32 %0, %0;" : "+f"(x));
	return x;
}

/* An 8 x 8 matrix of a warp's registers, rows for columns: lane l has two neighbours of row l / 4. */
static __device__ __forceinline__ uint32_t transposed(uint32_t x)
{
	asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %0;" : "+r"(x));
	return x;
}

/* d[16][8] += a[16][16] b[16][8], bf16 or fp16 in, fp32 out. */
#define PTX_MMA(type) asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." type "." type ".f32 {%0,%1,%2,%3}, " \
	"{%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : \
	"r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1))

static __device__ __forceinline__ void mma(float d[4], const uint32_t a[4], uint32_t b0, uint32_t b1, __nv_bfloat16)
{
	PTX_MMA("bf16");
}

static __device__ __forceinline__ void mma(float d[4], const uint32_t a[4], uint32_t b0, uint32_t b1, __half)
{
	PTX_MMA("f16");
}

/* d[16][8] += a[16][8] b[8][8] of fp32, of which the upper 19 bits are looked at (tf32). */
static __device__ __forceinline__ void mma_tf32(float d[4], const float a[4], float b0, float b1)
{
	asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" :
		     "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) :
		     "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
		     "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b0)), "r"(__float_as_uint(b1)));
}

/* For a kernel that is launched while the one before still works: that one has ended. */
static __device__ __forceinline__ void launched_early(void)
{
#if __CUDA_ARCH__ >= 900
	asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
