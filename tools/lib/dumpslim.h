/*
 * dumpslim.h - a folder of level-10 dumps kept small while it grows.
 *
 * FlashInfer writes every tensor of a call; a workload needs the headers and
 * the integer tensors. Once a call is complete, the bytes of its float tensors
 * are given back to the disk in place (fallocate, FALLOC_FL_PUNCH_HOLE:
 * names, sizes and offsets stay, what was there reads as zero), and
 * outputs.* are removed. A dump that was slimmed is a dump still: slimming
 * twice, or being killed in between, does no harm.
 */
#ifndef ONBOARD_DUMPSLIM_H
#define ONBOARD_DUMPSLIM_H

#include "json.h"

struct dumpslim {
	int dirfd;
	json_t *done;		/* folders that are slim */
	size_t calls;		/* complete calls, seen so far */
	uint64_t held;		/* bytes on disk of those not yet complete */
	uint64_t kept, freed;	/* bytes on disk of the slim; given back */
};

/* The folder is made if missing. -1 with a sentence. */
int dumpslim_open(struct dumpslim *s, const char *folder, struct strbuf *err);
/* Slims what has become complete; all: what is unfinished, too. */
int dumpslim_step(struct dumpslim *s, bool all, struct strbuf *err);
void dumpslim_close(struct dumpslim *s);

#endif
