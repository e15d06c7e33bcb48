/*
 * hopper.cuh - what kernels of Hopper share: mbarriers and wgmma (PTX ISA, "Asynchronous
 * warpgroup level matrix instructions"), for code of sm_90a only.
 */
#pragma once

#include "work.cuh"

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

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
	asm volatile("{\n.reg .pred p;\nagain:\n"
		     "mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n"
		     "@p bra done;\nbra again;\ndone:\n}" :: "r"(bar), "r"(phase) : "memory");
}

static __device__ __forceinline__ void bar_arrive_if(uint32_t bar, bool yes)
{
	asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %1, 0;\n@p mbarrier.arrive.shared::cta.b64 _, [%0];\n}" ::
		     "r"(bar), "r"((int)yes) : "memory");
}

/* What this thread wrote to shared memory is there for wgmma. */
static __device__ __forceinline__ void proxy_fence(void)
{
	asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

static __device__ __forceinline__ void wg_fence(void)
{
	asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

static __device__ __forceinline__ void wg_commit(void)
{
	asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

template <int N> static __device__ __forceinline__ void wg_wait(void)
{
	asm volatile("wgmma.wait_group.sync.aligned %0;" :: "n"(N) : "memory");
}

static __device__ __forceinline__ float ex2(float x)
{
	asm("ex2.approx.ftz.f32 %0, %0;" : "+f"(x));
	return x;
}

/*
 * A matrix in the 128-byte swizzle. Columns along K: `lead` does not matter, 8 rows are 1024
 * bytes. Rows along K (values): `lead` is from panel to panel.
 */
static __device__ __forceinline__ uint64_t wg_matrix(uint32_t at, uint32_t lead)
{
	return (uint64_t)(at >> 4 & 0x3fff) | (uint64_t)(lead >> 4) << 16 | (uint64_t)(1024 >> 4) << 32 |
		(uint64_t)1 << 62;
}

/* Accumulators change behind the compiler's back: it is not to move their use over a wait. */
template <int N> static __device__ __forceinline__ void wg_hold(float *d)
{
	#pragma unroll
	for (int i = 0; i < N; i++)
		asm volatile("" : "+f"(d[i]) :: "memory");
}

#define WG_D4(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define WG_D16(d, i) WG_D4(d, i), WG_D4(d, i + 4), WG_D4(d, i + 8), WG_D4(d, i + 12)
#define WG_D64(d) WG_D16(d, 0), WG_D16(d, 16), WG_D16(d, 32), WG_D16(d, 48)

#endif
