/* base64, redaction, links, loopback, and the simulated engine's memory. */
#include "base64.h"
#include "http.h"
#include "pr_files.h"
#include "sim_load.h"

#include <setjmp.h>

#include <cmocka.h>

static void base64_both_ways(void **state)
{
	static const char *const pairs[][2] = { { "", "" }, { "f", "Zg==" },
		{ "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foobar", "Zm9vYmFy" } };
	struct strbuf sb = STRBUF_INIT, err = STRBUF_INIT;
	char big[20000];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(pairs); i++) {
		strbuf_reset(&sb);
		base64_encode(&sb, pairs[i][0], strlen(pairs[i][0]));
		assert_string_equal(sb.buf, pairs[i][1]);
		strbuf_reset(&sb);
		assert_int_equal(base64_decode(&sb, pairs[i][1], &err), 0);
		assert_string_equal(sb.buf, pairs[i][0]);
	}
	for (i = 0; i < sizeof(big); i++)
		big[i] = (char)(i * 31);
	strbuf_reset(&sb);
	base64_encode(&sb, big, sizeof(big));
	{
		char *text = strbuf_detach(&sb);

		assert_int_equal(base64_decode(&sb, text, &err), 0);
		assert_int_equal(sb.len, sizeof(big));
		assert_memory_equal(sb.buf, big, sizeof(big));
		free(text);
	}
	assert_int_equal(base64_decode(&sb, "Z?==", &err), -1);
	assert_true(err.len > 0);
	strbuf_release(&sb);
	strbuf_release(&err);
}

static void tokens_are_left_out(void **state)
{
	struct strbuf sb = STRBUF_INIT;

	(void)state;
	strbuf_addstr(&sb, "a hf_abcdefghijklmnopqrstu b hf_short ghp_"
		      "0123456789abcdefghij");
	pr_redact(&sb);
	assert_string_equal(sb.buf, "a [token] b hf_short [token]");
	strbuf_release(&sb);
}

static void links_are_put_in(void **state)
{
	struct strbuf sb = STRBUF_INIT;

	(void)state;
	strbuf_addstr(&sb, "see " PR_LINK ", " PR_LINK);
	pr_link(&sb, NULL);
	assert_non_null(strstr(sb.buf, PR_LINK));
	pr_link(&sb, "https://x/1");
	assert_string_equal(sb.buf, "see https://x/1, https://x/1");
	strbuf_release(&sb);
}

static void loopback_is_told_from_look_alikes(void **state)
{
	(void)state;
	assert_true(http_is_loopback("http://127.0.0.1:80/x"));
	assert_true(http_is_loopback("http://localhost/x"));
	assert_true(http_is_loopback("http://[::1]:1/x"));
	assert_false(http_is_loopback("http://127.0.0.1.example.org/"));
	assert_false(http_is_loopback("http://localhost.example.org/"));
	assert_false(http_is_loopback("http://user@example.org/127.0.0.1"));
	assert_false(http_is_loopback("no url"));
}

/* Whatever is done, each page is free, in the tree, or a request's: once. */
static void memory_is_never_lost(void **state)
{
	enum { SLOTS = 64, REQUESTS = 6, LONGEST = 40 };
	static int tokens[REQUESTS][LONGEST], pages[REQUESTS][LONGEST];
	struct sim_node *node[REQUESTS] = { NULL };
	int ps, n[REQUESTS] = { 0 }, held[REQUESTS] = { 0 }, i, k, round;
	unsigned x = 1;

	(void)state;
	for (ps = 1; ps <= 4; ps *= 4) {
		struct sim_cache *c = sim_cache_new(SLOTS, ps);

		for (round = 0; round < 3000; round++) {
			x = x * 1103515245 + 12345;
			i = (int)(x >> 16) % REQUESTS;
			if (!node[i]) {
				n[i] = 1 + (int)(x >> 20) % LONGEST;
				for (k = 0; k < n[i]; k++)
					tokens[i][k] = k < 12 ? 0 : (int)(
						(x >> 24) % 3) + 1;
				held[i] = sim_cache_match(c, tokens[i], n[i] -
					1, pages[i], &node[i]) / ps;
				k = (n[i] + ps - 1) / ps - held[i];
				if (sim_cache_take(c, k, pages[i] + held[i])) {
					held[i] += k;
					sim_cache_share(c, tokens[i], n[i],
							pages[i], &node[i]);
				} else {
					sim_cache_unlock(c, node[i]);
					node[i] = NULL;
				}
			} else {
				sim_cache_insert(c, tokens[i], n[i], pages[i],
						 held[i]);
				sim_cache_unlock(c, node[i]);
				node[i] = NULL;
			}
		}
		for (i = 0; i < REQUESTS; i++)
			if (node[i]) {
				sim_cache_insert(c, tokens[i], n[i], pages[i],
						 held[i]);
				sim_cache_unlock(c, node[i]);
				node[i] = NULL;
			}
		assert_int_equal(sim_cache_available(c), SLOTS);
		sim_cache_free(c);
	}
}

static void distances(void **state)
{
	double a[] = { 1, 2, 3, 4 }, b[] = { 3, 4, 1, 2 }, c[] = { 5, 6 };

	(void)state;
	assert_true(sim_distance(a, 4, b, 4) < 1e-12);
	assert_true(sim_distance(a, 4, c, 2) > 1 - 1e-12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64_both_ways),
		cmocka_unit_test(tokens_are_left_out),
		cmocka_unit_test(links_are_put_in),
		cmocka_unit_test(loopback_is_told_from_look_alikes),
		cmocka_unit_test(memory_is_never_lost),
		cmocka_unit_test(distances),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
