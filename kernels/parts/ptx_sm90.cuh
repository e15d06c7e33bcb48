/*
 * ptx_sm90.cuh - wgmma (PTX ISA, "Asynchronous warpgroup level matrix instructions") and what goes with it, for
 * code of sm_90a only. tests/cuda/host_sm90.h has the same for the processor.
 */
#pragma once

#include "ptx.cuh"
#include "tile_map.cuh"

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

/* What this thread wrote to shared memory is there for wgmma. */
static __device__ __forceinline__ void proxy_fence(void)
{
	asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* Registers of a warpgroup's threads: those that copy need few, those that multiply many. */
template <int N> static __device__ __forceinline__ void registers_give(void)
{
	asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" :: "n"(N));
}

template <int N> static __device__ __forceinline__ void registers_take(void)
{
	asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" :: "n"(N));
}

/* Arrives at a barrier, which is to wait for so many bytes of tile_copy() too. */
static __device__ __forceinline__ void bar_expect(uint32_t bar, int bytes)
{
	asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" :: "r"(bar), "r"(bytes) : "memory");
}

/* The same without arriving. */
static __device__ __forceinline__ void bar_expect_more(uint32_t bar, int bytes)
{
	asm volatile("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], %1;" :: "r"(bar), "r"(bytes) : "memory");
}

/* One box of a tile_map(), from its first column, head, row and page on. */
static __device__ __forceinline__ void tile_copy(uint32_t to, const CUtensorMap &map, int column, int head, int row,
						 int page, uint32_t bar)
{
	asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], "
		     "[%1, {%2,%3,%4,%5}], [%6];" :: "r"(to), "l"(&map), "r"(column), "r"(head), "r"(row), "r"(page),
		     "r"(bar) : "memory");
}

/* Adds so many bytes of float32, whole 16s of them, to memory; they are to stay until rows_wait() of the same thread. */
static __device__ __forceinline__ void row_add(float *to, uint32_t from, int bytes)
{
	asm volatile("cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [%0], [%1], %2;" :: "l"(to), "r"(from),
		     "r"(bytes) : "memory");
}

static __device__ __forceinline__ void rows_commit(void)
{
	asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

static __device__ __forceinline__ void rows_wait(void)
{
	asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
}

static __device__ __forceinline__ void store_shared(uint32_t at, uint32_t v)
{
	asm volatile("st.shared.b32 [%0], %1;" :: "r"(at), "r"(v) : "memory");
}

static __device__ __forceinline__ void store_shared(uint32_t at, float v)
{
	asm volatile("st.shared.f32 [%0], %1;" :: "r"(at), "f"(v) : "memory");
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

/* Accumulators change behind the compiler's back: it is not to move their use over a wait. */
template <int N> static __device__ __forceinline__ void wg_hold(float *d)
{
	#pragma unroll
	for (int i = 0; i < N; i++)
		asm volatile("" : "+f"(d[i]) :: "memory");
}

/* The same of left sides: they are there before products begin. */
template <int N> static __device__ __forceinline__ void wg_hold(uint32_t *a)
{
	#pragma unroll
	for (int i = 0; i < N; i++)
		asm volatile("" : "+r"(a[i]) :: "memory");
}

#define WG_D4(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define WG_D16(d, i) WG_D4(d, i), WG_D4(d, i + 4), WG_D4(d, i + 8), WG_D4(d, i + 12)
#define WG_D64(d) WG_D16(d, 0), WG_D16(d, 16), WG_D16(d, 32), WG_D16(d, 48)

#define WG_REGS "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21," \
	"%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43," \
	"%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63}"

/* d[64][128] = or += a b, both in shared memory, columns along K. */
#define WG_QK(type) asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n" \
	"wgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type " " WG_REGS ", %64, %65, p, 1, 1, 0, 0;\n}" : \
	WG_D64(d) : "l"(a), "l"(b), "r"(add))
/* d += a b, a in registers, b with its rows along K. */
#define WG_PV(type) asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type " " WG_REGS \
	", {%64,%65,%66,%67}, %68, 1, 1, 1, 1;" : WG_D64(d) : \
	"r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b))

static __device__ __forceinline__ void wg_qk(float *d, uint64_t a, uint64_t b, int add, __nv_bfloat16)
{
	WG_QK("bf16");
}

static __device__ __forceinline__ void wg_qk(float *d, uint64_t a, uint64_t b, int add, __half)
{
	WG_QK("f16");
}

static __device__ __forceinline__ void wg_pv(float *d, const uint32_t *a, uint64_t b, __nv_bfloat16)
{
	WG_PV("bf16");
}

static __device__ __forceinline__ void wg_pv(float *d, const uint32_t *a, uint64_t b, __half)
{
	WG_PV("f16");
}

/* d[64][128] = or += a b of float8 (e4m3), 32 along K, both in shared memory, columns along K. */
static __device__ __forceinline__ void wg_e4m3(float *d, uint64_t a, uint64_t b, int add)
{
	asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"
		     "wgmma.mma_async.sync.aligned.m64n128k32.f32.e4m3.e4m3 " WG_REGS ", %64, %65, p, 1, 1;\n}" :
		     WG_D64(d) : "l"(a), "l"(b), "r"(add));
}

/* The same, a in registers. */
static __device__ __forceinline__ void wg_e4m3(float *d, const uint32_t *a, uint64_t b, int add)
{
	asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"
		     "wgmma.mma_async.sync.aligned.m64n128k32.f32.e4m3.e4m3 " WG_REGS ", {%64,%65,%66,%67}, %68, p, 1, 1;\n}" :
		     WG_D64(d) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));
}

/* d[64][128] = or += a b of fp16, a in registers, columns of b along K. */
static __device__ __forceinline__ void wg_f16(float *d, const uint32_t *a, uint64_t b, int add)
{
	asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"
		     "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 " WG_REGS ", {%64,%65,%66,%67}, %68, p, 1, 1, 0;\n}" :
		     WG_D64(d) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));
}

#define WG_D128(d) WG_D64(d), WG_D16(d, 64), WG_D16(d, 80), WG_D16(d, 96), WG_D16(d, 112)

/* d[64][64] = or += a b, both in shared memory, columns along K. */
static __device__ __forceinline__ void latent_qk(float *d, uint64_t a, uint64_t b, int add)
{
	asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"
		     "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
		     "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,"
		     "%26,%27,%28,%29,%30,%31}, %32, %33, p, 1, 1, 0, 0;\n}"
		     : WG_D16(d, 0), WG_D16(d, 16) : "l"(a), "l"(b), "r"(add));
}

/* The same, a in registers. */
static __device__ __forceinline__ void wg_columns(float *d, const uint32_t *a, uint64_t b, int add)
{
	asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %37, 0;\n"
		     "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
		     "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,"
		     "%26,%27,%28,%29,%30,%31}, {%32,%33,%34,%35}, %36, p, 1, 1, 0;\n}"
		     : WG_D16(d, 0), WG_D16(d, 16) :
		     "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));
}

#define WG_REGS128 "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25," \
	"%26,%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48," \
	"%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63,%64,%65,%66,%67,%68,%69,%70,%71," \
	"%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94," \
	"%95,%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111,%112,%113," \
	"%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127}"

/* d[64][256] += a b, b in shared memory with its rows along K, a there too or in registers. */
static __device__ __forceinline__ void latent_pv(float *d, uint64_t a, uint64_t b)
{
	asm volatile("wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 " WG_REGS128
		     ", %128, %129, 1, 1, 1, 0, 1;" : WG_D128(d) : "l"(a), "l"(b));
}

static __device__ __forceinline__ void latent_pv(float *d, const uint32_t *a, uint64_t b)
{
	asm volatile("wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 " WG_REGS128
		     ", {%128,%129,%130,%131}, %132, 1, 1, 1, 1;" : WG_D128(d) :
		     "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}

/* d[64][N] = or += a b, both in shared memory; ROWS: those of a are along K, else its columns. */
template <int N, int ROWS>
static __device__ __forceinline__ void wg_narrow(float *d, uint64_t a, uint64_t b, int add)
{
	static_assert(N == 8 || N == 16 || N == 32, "heads");
	if constexpr (N == 8)
		asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %6, 0;\n"
			     "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 "
			     "{%0,%1,%2,%3}, %4, %5, p, 1, 1, %7, 0;\n}"
			     : WG_D4(d, 0) : "l"(a), "l"(b), "r"(add), "n"(ROWS));
	else if constexpr (N == 16)
		asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %10, 0;\n"
			     "wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 "
			     "{%0,%1,%2,%3,%4,%5,%6,%7}, %8, %9, p, 1, 1, %11, 0;\n}"
			     : WG_D4(d, 0), WG_D4(d, 4) : "l"(a), "l"(b), "r"(add), "n"(ROWS));
	else
		asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %18, 0;\n"
			     "wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 "
			     "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15}, %16, %17, p, 1, 1, %19, 0;\n}"
			     : WG_D16(d, 0) : "l"(a), "l"(b), "r"(add), "n"(ROWS));
}

static __device__ __forceinline__ void store_shared(uint32_t at, uint4 v)
{
	asm volatile("st.shared.v4.b32 [%0], {%1,%2,%3,%4};" :: "r"(at), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
}

static __device__ __forceinline__ uint4 load_shared(uint32_t at)
{
	uint4 v;

	asm volatile("ld.shared.v4.b32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(at) :
		     "memory");
	return v;
}

/* Four 8 x 8 matrices as mma has them; a lane has the address of a row. */
static __device__ __forceinline__ void stm4(uint32_t at, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
	asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1,%2,%3,%4};" :: "r"(at), "r"(a), "r"(b), "r"(c),
		     "r"(d) : "memory");
}

/* Two 8 x 8 matrices, transposed; a lane of the first 16 has the address of a row. */
static __device__ __forceinline__ void stm2t(uint32_t at, uint32_t a, uint32_t b)
{
	asm volatile("stmatrix.sync.aligned.m8n8.x2.trans.shared.b16 [%0], {%1,%2};" :: "r"(at), "r"(a), "r"(b) :
		     "memory");
}

#endif
