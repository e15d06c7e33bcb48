#include "workload.h"
#include "sha256.h"

#include <endian.h>

int workload_input(const struct workload *w, const char *name)
{
	size_t i;

	for (i = 0; i < w->n; i++)
		if (!strcmp(w->input[i].name, name))
			return (int)i;
	return -1;
}

void workload_name(struct workload *w, const char *definition)
{
	struct strbuf sb = STRBUF_INIT;
	char hex[SHA256_HEX], *axes = json_dumps(w->axes, JSON_COMPACT |
						 JSON_SORT_KEYS);
	size_t i, k;

	strbuf_addf(&sb, "%s\n%s\n", definition, axes);
	for (i = 0; i < w->n; i++) {
		const struct check_input *in = &w->input[i].in;

		strbuf_addstr(&sb, w->input[i].name);
		strbuf_addch(&sb, 0);
		if (w->input[i].scalar) {
			uint64_t bits;

			memcpy(&bits, &w->input[i].number, sizeof(bits));
			bits = htole64(bits);
			strbuf_add(&sb, &bits, sizeof(bits));
		}
		/* eight bytes a value, the lowest first, on any host */
		for (k = 0; !w->input[i].random && k < in->n; k++) {
			uint64_t v = htole64((uint64_t)in->values[k]);

			strbuf_add(&sb, &v, sizeof(v));
		}
		strbuf_addch(&sb, '\n');
	}
	sha256_bytes(hex, sb.buf, sb.len);
	snprintf(w->uuid, sizeof(w->uuid), "%.8s-%.4s-8%.3s-%c%.3s-%.12s", hex,
		 hex + 8, hex + 13, "89ab"[(hex[16] & 3)], hex + 17,
		 hex + 20);
	strbuf_release(&sb);
	free(axes);
}

void workload_release(struct workload *w)
{
	size_t i;

	for (i = 0; i < w->n; i++)
		free(w->input[i].in.values);
	json_decref(w->axes);
	memset(w, 0, sizeof(*w));
}

/* ---- writing ---- */

static const struct {
	const char *name, *st;
	unsigned size;
} whole_dtypes[] = {
	{ "int64", "I64", 8 }, { "int32", "I32", 4 }, { "int16", "I16", 2 },
	{ "int8", "I8", 1 },
};

static void add_values(struct strbuf *sb, const struct check_input *in,
		       unsigned size)
{
	size_t i;
	unsigned k;

	for (i = 0; i < in->n; i++)
		for (k = 0; k < size; k++)
			strbuf_addch(sb, (int)((uint64_t)in->values[i] >>
					       (8 * k) & 255));
}

json_t *workload_line(const struct workload *w, const char *definition,
		      const char *path, struct strbuf *blob)
{
	json_t *inputs = json_object(), *header = json_object(), *shape;
	struct strbuf data = STRBUF_INIT, head = STRBUF_INIT;
	char *text;
	size_t i, k, d;

	for (i = 0; i < w->n; i++) {
		const struct check_input *in = &w->input[i].in;
		size_t from = data.len;
		json_t *e;

		if (w->input[i].scalar) {
			e = json_pack("{s:s, s:o}", "type", "scalar", "value",
				      w->input[i].whole ? json_integer(
				      (json_int_t)w->input[i].number) :
				      json_real(w->input[i].number));
		} else if (w->input[i].random) {
			e = json_pack("{s:s}", "type", "random");
		} else {
			e = json_pack("{s:s, s:s, s:s}", "type", "safetensors",
				      "path", path, "tensor_key",
				      w->input[i].name);
			for (d = 0; strcmp(whole_dtypes[d].name,
					   w->input[i].dtype); d++)
				if (d + 1 == ARRAY_SIZE(whole_dtypes))
					BUG("no dtype %s", w->input[i].dtype);
			add_values(&data, in, whole_dtypes[d].size);
			shape = json_array();
			for (k = 0; k < (size_t)in->ndim; k++)
				json_array_append_new(shape, json_integer(
						      in->shape[k]));
			json_object_set_new(header, w->input[i].name,
				json_pack("{s:s, s:o, s:[I,I]}", "dtype",
					  whole_dtypes[d].st, "shape", shape,
					  "data_offsets", (json_int_t)from,
					  (json_int_t)data.len));
		}
		json_object_set_new(inputs, w->input[i].name, e);
	}
	if (data.len) {
		text = json_dumps(header, JSON_COMPACT);
		strbuf_addstr(&head, text);
		while (head.len % 8)
			strbuf_addch(&head, ' ');
		for (k = 0; k < 8; k++)
			strbuf_addch(blob, (int)((uint64_t)head.len >>
						 (8 * k) & 255));
		strbuf_add(blob, head.buf, head.len);
		strbuf_add(blob, data.buf, data.len);
		free(text);
	}
	json_decref(header);
	strbuf_release(&data);
	strbuf_release(&head);
	return json_pack("{s:s, s:n, s:{s:s, s:O, s:o}, s:n}", "definition",
			 definition, "solution", "workload", "uuid", w->uuid,
			 "axes", w->axes, "inputs", inputs, "evaluation");
}
