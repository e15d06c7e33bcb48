/*
 * safetensors.h - headers and integer tensors of a .safetensors file.
 *
 * The format (huggingface/safetensors, README): 8 bytes little-endian length
 * of the header, a JSON object {name: {dtype, shape, data_offsets: [from,
 * to]}}, then the bytes of the tensors. Only the header is read on opening
 * (at most 16 MiB); st_ints() reads one tensor by pread. Everything is checked
 * against the file's size before it is used.
 */
#ifndef ONBOARD_SAFETENSORS_H
#define ONBOARD_SAFETENSORS_H

#include "jdoc.h"

#define ST_MAX_DIMS 8

struct st_tensor {
	const char *dtype;		/* "I32", "BF16"; borrowed */
	int ndim;
	int64_t shape[ST_MAX_DIMS];
	uint64_t offset, size;		/* in the file, bytes */
};

struct safetensors {
	int fd;
	const struct jval *header;	/* in doc, which stands in text */
	struct jdoc doc;
	uint64_t data, file_size;
	char *head;			/* the first bytes of the file */
	size_t head_len;
	char *text;			/* of the header, unless it is in head */
};

/* 0, or -1 with a sentence in err. */
int st_open(struct safetensors *st, const char *path, struct strbuf *err);
/* Takes the descriptor; the name is for messages. */
int st_open_fd(struct safetensors *st, int fd, const char *name,
	       struct strbuf *err);
void st_close(struct safetensors *st);
/* 0, or -1: no such tensor, or one whose entry is not possible. */
int st_find(const struct safetensors *st, const char *name,
	    struct st_tensor *t, struct strbuf *err);
/* "I32" -> "int32"; NULL for a dtype that no Definition has. */
const char *st_dtype_name(const char *dtype);
/* The tensor's bytes as they are: t->size of them. */
int st_bytes(const struct safetensors *st, const struct st_tensor *t,
	     void *buf, struct strbuf *err);
/*
 * The values of an integer tensor, the caller's to free(); *n their number.
 * NULL with a sentence in err, also for over 1 GiB of them.
 */
int64_t *st_ints(const struct safetensors *st, const struct st_tensor *t,
		 size_t *n, struct strbuf *err);

#endif
