/*
 * solution.h - the entry point of a solution that is a shared object.
 *
 * onboard_run() puts a call on the stream and returns without waiting for it:
 * 0, or an error of the CUDA runtime. Arguments are the Definition's inputs in
 * its order, then its outputs. All tensors are dense, row-major, in device
 * memory, at least 256-byte aligned; an input is not written to. It
 * may be captured into a CUDA graph, so it neither allocates nor waits.
 * onboard_workspace() says how many bytes of scratch memory the call needs; its
 * contents are zero before the first call, then what the last call left.
 *
 * The generated axes.h has AX_<axis> for every constant axis, P_<param> for
 * the constants of the reference (its epsilon), and ARG_<name>, the place of each
 * input and output; HAS_<name> tells which there are.
 */
#ifndef ONBOARD_SOLUTION_H
#define ONBOARD_SOLUTION_H

#include <stddef.h>
#include <stdint.h>

struct ob_arg {
	void *data;		/* device memory; NULL of a scalar */
	double scalar;		/* of a scalar input */
	int64_t shape[6];
	int32_t ndim;
	int32_t reserved;	/* 0 */
};

#ifdef __cplusplus
extern "C" {
#endif
int onboard_run(const struct ob_arg *arg, void *workspace, void *stream);
size_t onboard_workspace(const struct ob_arg *arg);
#ifdef __cplusplus
}
#endif

#endif
