/*
 * evaljob.h - what a worker (evalrun, scripts/evalpy) is told to do, as one
 * line of JSON, all of it resolved: a worker reads neither definitions nor
 * workloads.
 *
 * {"inputs": [{"name", "dtype", "shape": [..]|null,
 *	"from": "random", "fill": 0..5 (enum ev_fill), "seeds": [text, one a trial],
 *		"scale", "shift", "cols": as ev_fill() takes it
 *	| "from": "file", "path", "offset", "size"
 *	| "from": "scalar", "value"}],
 *  "outputs": [{"name", "dtype", "shape"}],
 *  "trials": N, "atol", "rtol", "ratio", "kind": "exact"|"set"|"sampling",
 *  "id": text, which the answer repeats}
 *
 * Seeds come from the workload's uuid, the input's name and the trial alone:
 * the same inputs on every host and device (tools/eval/evalfill.h).
 *
 * A template of the catalogue may say more about how its op is evaluated:
 *	"eval": {"kind", "atol", "rtol", "ratio", "inputs": {NAME: {"fill":
 *		"normal"|"integer"|"probs"|"positive"|"uniform"|"fp8_pages",
 *		"scale", "shift", "same"}}}
 * scale and shift are numbers, an axis, or "1/sqrt(AXIS)"; same: along so many of the last axes values are equal, as engines
 * give one value a head to a kernel that takes no other.
 */
#ifndef ONBOARD_EVALJOB_H
#define ONBOARD_EVALJOB_H

#include "json.h"
#include "sha256.h"

#define EVAL_TRIALS 64		/* at most */

struct eval_rules {
	int trials;
	double atol, rtol, ratio;	/* negative: as the op says */
};

/*
 * The job of one workload, the caller's to json_decref(); NULL with a sentence.
 * `eval` is the template's, or NULL. Blobs are below `dataset`.
 */
json_t *eval_job(const json_t *def, const json_t *eval, const json_t *workload,
		 const char *dataset, const struct eval_rules *rules,
		 struct strbuf *err);

/*
 * hex[t]: of all that the reference's outputs in trial t depend on: its text, the
 * inputs, their bytes, the device. -1 with a sentence.
 */
int eval_keys(char (*hex)[SHA256_HEX], const json_t *def, const json_t *job,
	      const char *device, int trials, struct strbuf *err);

#endif
