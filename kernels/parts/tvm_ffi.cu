/*
 * tvm_ffi.cu - onboard_run() as flashinfer-bench calls a CUDA solution: a packed
 * function of TVM FFI, inputs then outputs (destination passing). Goes into
 * the Solution JSON; evalwl loads the shared object without it.
 */
#include "axes.h"
#include "solution.h"

#include <cuda_runtime.h>
#include <tvm/ffi/c_api.h>
#include <tvm/ffi/extra/c_env_api.h>

static int refuse(const char *why)
{
	TVMFFIErrorSetRaisedFromCStr("RuntimeError", why);
	return -1;
}

/* Scratch memory of each device: grows, is zero when it is new, and stays. */
static void *scratch(int device, size_t want, cudaStream_t stream)
{
	static void *have[64];
	static size_t size[64];

	if (device < 0 || device >= 64)
		return nullptr;
	if (want > size[device] || !have[device]) {
		cudaStreamSynchronize(stream);
		cudaFree(have[device]);
		have[device] = nullptr;
		size[device] = 0;
		if (cudaMalloc(&have[device], want ? want : 1) != cudaSuccess)
			return nullptr;
		cudaMemsetAsync(have[device], 0, want ? want : 1, stream);
		size[device] = want;
	}
	return have[device];
}

extern "C" TVM_FFI_DLL_EXPORT int __tvm_ffi_run(void *, const TVMFFIAny *args,
						int32_t n, TVMFFIAny *result)
{
	struct ob_arg arg[NARGS] = {};
	int device = 0;

	if (n != NARGS)
		return refuse("run() takes the inputs and then the outputs");
	for (int i = 0; i < NARGS; i++) {
		const DLTensor *t = nullptr;

		switch (args[i].type_index) {
		case kTVMFFIInt:
		case kTVMFFIBool:
			arg[i].scalar = (double)args[i].v_int64;
			continue;
		case kTVMFFIFloat:
			arg[i].scalar = args[i].v_float64;
			continue;
		case kTVMFFIDLTensorPtr:
			t = (const DLTensor *)args[i].v_ptr;
			break;
		case kTVMFFITensor:
			t = TVMFFITensorGetDLTensorPtr(args[i].v_obj);
			break;
		default:
			return refuse("an argument is neither tensor nor number");
		}
		if (t->ndim > 6)
			return refuse("a tensor has more than 6 dimensions");
		device = t->device.device_id;
		arg[i].data = (char *)t->data + t->byte_offset;
		arg[i].ndim = t->ndim;
		for (int k = 0; k < t->ndim; k++)
			arg[i].shape[k] = t->shape[k];
	}
	cudaStream_t stream = (cudaStream_t)TVMFFIEnvGetStream(kDLCUDA, device);
	void *space = scratch(device, onboard_workspace(arg), stream);
	if (!space)
		return refuse("no memory for the workspace");
	int e = onboard_run(arg, space, stream);
	if (e)
		return refuse(cudaGetErrorString((cudaError_t)e));
	result->type_index = kTVMFFINone;
	result->v_int64 = 0;
	return 0;
}
