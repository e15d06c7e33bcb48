#include "sim_value.h"

static bool is_one_of(const char *s, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(s, *words))
			return true;
	return false;
}

static int64_t config_int(const struct sim_rows *r, const char *key)
{
	return json_integer_value(json_object_get(r->v->config, key));
}

static int64_t heads(const struct sim_rows *r, const char *key)
{
	int64_t n = config_int(r, key) / r->v->tp;

	return n > 0 ? n : 1;
}

int64_t sim_axis(const struct sim_rows *r, const char *axis, const char *word)
{
	static const char *const tokens[] = { "num_tokens", "seq_len", "M",
		"total_seq_len", "total_q", "nnz_kv", "tokens", NULL };
	static const char *const requests[] = { "batch_size", "num_seqs",
		"requests", NULL };
	static const char *const ends[] = { "len_indptr", "len_cu_seqlens",
		NULL };
	static const char *const states[] = { "state_cache_size", "pool_size",
		NULL };
	char *end;
	long n;

	if (word) {
		n = strtol(word, &end, 10);
		if (!*end && n > 0)
			return n;
		axis = word;
	}
	if (is_one_of(axis, tokens))
		return r->sampling ? r->n : r->tokens;
	if (is_one_of(axis, requests))
		return r->n;
	if (is_one_of(axis, ends))
		return r->n + 1;
	if (is_one_of(axis, states))
		return r->v->max_running + 1;
	if (!strcmp(axis, "num_pages"))
		return r->v->pool_pages;
	if (!strcmp(axis, "num_kv_indices"))
		return r->kv_pages;
	if (!strcmp(axis, "total_kv"))
		return r->own ? r->tokens : r->kv_tokens;
	if (!strcmp(axis, "max_num_pages"))
		return r->longest;
	if (!strcmp(axis, "page_size"))
		return r->v->page_size;
	if (!strcmp(axis, "max_seq_len"))
		return config_int(r, "max_position_embeddings") > 0 ?
			config_int(r, "max_position_embeddings") : 32768;
	if (!strcmp(axis, "num_qo_heads"))
		return heads(r, "num_attention_heads");
	if (!strcmp(axis, "num_kv_heads"))
		return heads(r, "num_key_value_heads");
	return -1;
}

static int kv_of(const struct sim_row *row)
{
	return row->had + row->fresh;
}

/* Sums of one number a request, from 0 on. */
static void sums(const struct sim_rows *r, int64_t *v, int64_t n, int what)
{
	int64_t sum = 0;
	int i;

	for (i = 0; i <= r->n && i < n; i++) {
		v[i] = sum;
		if (i == r->n)
			break;
		sum += what == 'q' || (what == 'k' && r->own) ?
			r->row[i]->fresh : r->row[i]->npages;
	}
}

static void fill_by_token(const struct sim_rows *r, int64_t *v, int64_t n,
			  bool position)
{
	int64_t at = 0;
	int i, k;

	for (i = 0; i < r->n; i++)
		for (k = 0; k < r->row[i]->fresh && at < n; k++)
			v[at++] = position ? r->row[i]->had + k : i;
}

static void fill_pages(const struct sim_rows *r, int64_t *v, int64_t n,
		       int64_t width)
{
	int64_t at = 0;
	int i, k;

	for (i = 0; i < r->n; i++) {
		if (width)
			at = i * width;
		for (k = 0; k < r->row[i]->npages && at < n; k++)
			v[at++] = r->row[i]->pages[k];
	}
}

/* The last k tokens of a request's memory, -1 where it has fewer. */
static void fill_sparse(const struct sim_rows *r, int64_t *v, int64_t n,
			int64_t k)
{
	int64_t at = 0, j, tok;
	int i, t, ps = r->v->page_size;

	for (i = 0; i < r->n; i++)
		for (t = 0; t < r->row[i]->fresh; t++)
			for (j = 0; j < k && at < n; j++) {
				tok = r->row[i]->had + t - j;
				v[at++] = tok < 0 ? -1 : (int64_t)
					r->row[i]->pages[tok / ps] * ps +
					tok % ps;
			}
}

/* Distinct experts for each token, spread like random ones. */
static void fill_experts(int64_t *v, int64_t n, int64_t k, int64_t experts)
{
	uint64_t x = 88172645463325252u;
	int64_t i;

	for (i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		v[i] = i % k ? (v[i - 1] + 1 + (int64_t)(x % (uint64_t)
			(experts / k > 1 ? experts / k : 1))) % experts :
			(int64_t)(x % (uint64_t)experts);
	}
}

int64_t *sim_values(const struct sim_rows *r, const char *input, int64_t n,
		    int64_t inner, int64_t limit)
{
	int64_t *v = xcalloc((size_t)(n > 0 ? n : 1), sizeof(*v));
	int ps = r->v->page_size, i;

	if (!strcmp(input, "qo_indptr") || !strcmp(input, "cu_seqlens")) {
		sums(r, v, n, 'q');
	} else if (!strcmp(input, "kv_indptr")) {
		sums(r, v, n, 'k');
	} else if (!strcmp(input, "kv_indices")) {
		fill_pages(r, v, n, 0);
	} else if (!strcmp(input, "block_table")) {
		fill_pages(r, v, n, inner);
	} else if (!strcmp(input, "sparse_indices")) {
		fill_sparse(r, v, n, inner);
	} else if (!strcmp(input, "positions")) {
		fill_by_token(r, v, n, true);
	} else if (!strcmp(input, "batch_indices")) {
		fill_by_token(r, v, n, false);
	} else if (!strcmp(input, "topk_ids") && limit > 0) {
		fill_experts(v, n, inner, limit);
	} else {
		for (i = 0; i < r->n && i < n; i++) {
			const struct sim_row *row = r->row[i];

			if (!strcmp(input, "kv_last_page_len"))
				v[i] = (kv_of(row) - 1) % ps + 1;
			else if (!strcmp(input, "seq_lens"))
				v[i] = kv_of(row);
			else if (!strcmp(input, "state_batch_indices") ||
				 !strcmp(input, "initial_state_indices"))
				v[i] = row->slot;
			else if (!strcmp(input, "top_k"))
				v[i] = r->v->request[row->request].top_k > 0 ?
					r->v->request[row->request].top_k : 1;
			else
				goto unknown;
		}
		if (!r->n)
			goto unknown;
	}
	return v;
unknown:
	free(v);
	return NULL;
}
