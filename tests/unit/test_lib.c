/* Unit tests of tools/lib, table-driven where the function is pure. */
#include "evalcache.h"
#include "json.h"
#include "model.h"
#include "outfile.h"
#include "proc.h"
#include "pyscan.h"
#include "pytok.h"
#include "sha256.h"
#include "yamldoc.h"

#include <fcntl.h>
#include <setjmp.h>
#include <sys/stat.h>
#include <cmocka.h>

static void doubles_print_shortest(void **state)
{
	static const struct { double d; const char *s; } rows[] = {
		{ 1e-5, "1e-05" }, { 1e-6, "1e-06" }, { 0.1, "0.1" },
		{ 1, "1" }, { 1024, "1024" }, { 0.25, "0.25" },
		{ 1.0 / 3, "0.3333333333333333" }, { -2, "-2" },
	};
	struct strbuf sb = STRBUF_INIT;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		strbuf_reset(&sb);
		strbuf_add_double(&sb, rows[i].d);
		assert_string_equal(sb.buf, rows[i].s);
	}
	strbuf_release(&sb);
}

static void strbuf_keeps_its_maximum(void **state)
{
	struct strbuf sb = STRBUF_INIT_MAX(4);

	(void)state;
	strbuf_addstr(&sb, "abc");
	strbuf_addstr(&sb, "de");
	assert_true(sb.overflow);
	assert_string_equal(sb.buf, "abc");
	strbuf_release(&sb);
}

static void json_refuses(void **state)
{
	static const char *const bad[] = {
		"", "{", "{\"a\": 1, \"a\": 2}", "[1,]", "nul", "{} x",
		"{\"a\": \"\\u0000\"}", "\"\xff\"",
	};
	struct strbuf err = STRBUF_INIT;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		strbuf_reset(&err);
		assert_null(json_parse(bad[i], strlen(bad[i]), "f", &err));
		assert_non_null(strstr(err.buf, "f is not valid JSON: line"));
	}
	strbuf_release(&err);
}

static void json_keeps_order_and_reads_back(void **state)
{
	const char *text = "{\"b\": 1, \"a\": [true, null, 1e-05, 2.0],"
		" \"\\u00e9\\n\": \"\\\"\\t\"}";
	struct strbuf err = STRBUF_INIT, sb = STRBUF_INIT;
	json_t *j = json_parse(text, strlen(text), "f", &err), *k;

	(void)state;
	assert_non_null(j);
	json_print(&sb, j);
	assert_int_equal(strncmp(sb.buf, "{\n  \"b\": 1,\n  \"a\": [", 20), 0);
	k = json_parse(sb.buf, sb.len, "f", &err);
	assert_true(json_equal(j, k));
	json_decref(j);
	json_decref(k);
	strbuf_release(&sb);
	strbuf_release(&err);
}

static void slugs(void **state)
{
	static const char *const good[] = { "a", "llama-3.1-8b", "x.y" };
	static const char *const bad[] = { "", "../x", "a/b", "-x", ".x",
		"A", "a_b", "a b", "a\n", "a;b" };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(model_slug_ok(good[i]));
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(model_slug_ok(bad[i]));
}

static void families(void **state)
{
	static const struct { const char *id, *family; } rows[] = {
		{ "meta-llama/Meta-Llama-3.1-70B", "llama-3.1-70b" },
		{ "meta-llama/Llama-3.1-70B-Instruct", "llama-3.1-70b" },
		{ "Qwen/Qwen3-30B-A3B-Instruct-2507-FP8", "qwen3-30b-a3b" },
		{ "deepseek-ai/DeepSeek-R1-0528", "deepseek-r1" },
		{ "x/2507", "2507" }, { "a/-it", "-it" },
	};
	struct strbuf sb = STRBUF_INIT;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		strbuf_reset(&sb);
		model_family_of(&sb, rows[i].id);
		assert_string_equal(sb.buf, rows[i].family);
	}
	strbuf_release(&sb);
}

static void yaml_documents(void **state)
{
	static const struct { const char *text, *json; } rows[] = {
		{ "a: 1\nb: [x, null, ~, true]\n",
		  "{\"@line\":1,\"a\":1,\"b\":[\"x\",null,null,true]}" },
		{ "'1'", "\"1\"" },
		{ "k: &x [1]\nl: *x\n", "{\"@line\":1,\"k\":[1],\"l\":[1]}" },
		{ "a: {a: 1, a: 2}", NULL }, { "*x", NULL }, { "", NULL },
		{ "[[", NULL }, { "? [a]\n: b\n", NULL },
		{ "a: &a [*a]", NULL }, { "x: \xff", NULL },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct strbuf err = STRBUF_INIT;
		json_t *j = yaml_parse(rows[i].text, strlen(rows[i].text),
				       "f", &err);
		char *s = j ? json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY)
			    : NULL;

		if (rows[i].json)
			assert_string_equal(s, rows[i].json);
		else
			assert_true(!j && err.len);
		free(s);
		json_decref(j);
		strbuf_release(&err);
	}
}

static void yaml_bombs_end(void **state)
{
	struct strbuf sb = STRBUF_INIT, err = STRBUF_INIT;
	int i;

	(void)state;
	strbuf_addstr(&sb, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
	for (i = 1; i < 12; i++)
		strbuf_addf(&sb, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d,"
			    " *a%d, *a%d, *a%d, *a%d]\n", i, i, i - 1, i - 1,
			    i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
	assert_null(yaml_parse(sb.buf, sb.len, "f", &err));
	assert_true(err.len > 0);
	strbuf_release(&sb);
	strbuf_release(&err);
	for (i = 0; i < 10000; i++)
		strbuf_addch(&sb, '[');
	assert_null(yaml_parse(sb.buf, sb.len, "f", &err));
	strbuf_release(&sb);
	strbuf_release(&err);
}

/* The scanner must end, inside the buffer, whatever the bytes are. */
static void scanner_survives_any_bytes(void **state)
{
	static const char *const pieces[] = { "def ", "class ", "import ",
		"from ", "(", ")", "[", "{", "}", "'", "\"", "'''", "f'", "\\",
		"\n", " ", "\t", "#", "@", ".", "...", ":", "=", "x", "0x", "1.",
		"1e", "async ", "case ", "match ", "\r", "\xff", "EntryClass",
		"trace=", ",", "*", "if ", "lambda ", "\f" };
	unsigned seed = 1;
	int round, i;

	(void)state;
	for (round = 0; round < 20000; round++) {
		struct strbuf sb = STRBUF_INIT;
		struct pyscan ps;
		char *exact;

		for (i = 0; i < 40; i++) {
			seed = seed * 1103515245 + 12345;
			strbuf_addstr(&sb, pieces[(seed >> 16) %
						  ARRAY_SIZE(pieces)]);
		}
		/* no NUL behind it: a read past the end is seen by asan */
		exact = malloc(sb.len);
		memcpy(exact, sb.buf, sb.len);
		pyscan_init(&ps, exact, sb.len);
		pyscan_release(&ps);
		free(exact);
		strbuf_release(&sb);
	}
}

static void deep_brackets_are_an_error(void **state)
{
	struct strbuf sb = STRBUF_INIT;
	struct pyscan ps;
	int i;

	(void)state;
	for (i = 0; i < 5000; i++)
		strbuf_addstr(&sb, "f'{(");
	pyscan_init(&ps, sb.buf, sb.len);
	pyscan_release(&ps);
	strbuf_reset(&sb);
	for (i = 0; i < 5000; i++)
		strbuf_addch(&sb, '(');
	pyscan_init(&ps, sb.buf, sb.len);
	assert_int_equal(ps.broken, 1);
	pyscan_release(&ps);
	strbuf_release(&sb);
}

static void outfile_is_absent_or_whole(void **state)
{
	char dir[] = "/tmp/onboard-unit-XXXXXX";
	struct strbuf path = STRBUF_INIT, err = STRBUF_INIT, sb = STRBUF_INIT;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	strbuf_addf(&path, "%s/a/b/c", dir);
	assert_int_equal(outfile_write(path.buf, "one", 3, &err), 0);
	assert_int_equal(outfile_write(path.buf, "two!", 4, &err), 0);
	assert_int_equal(strbuf_read_file(&sb, path.buf, &err), 0);
	assert_string_equal(sb.buf, "two!");
	strbuf_reset(&path);
	strbuf_addf(&path, "%s/a/b/.c.tmp", dir);
	assert_int_equal(stat(path.buf, &st), -1);
	/* a folder in the way: the error names the file, nothing is left */
	strbuf_reset(&path);
	strbuf_addf(&path, "%s/a/b", dir);
	assert_int_equal(outfile_write(path.buf, "x", 1, &err), -1);
	assert_non_null(strstr(err.buf, path.buf));
	assert_int_equal(outfile_remove_tree(dir, &err), 0);
	assert_int_equal(stat(dir, &st), -1);
	strbuf_release(&path);
	strbuf_release(&err);
	strbuf_release(&sb);
}

static void make_cached(const char *name, time_t used)
{
	const struct timespec t[2] = { { used, 0 }, { used, 0 } };
	char path[64];
	int fd;

	snprintf(path, sizeof path, "ref/00/%s", name);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "0123456789", 10), 10);
	assert_int_equal(futimens(fd, t), 0);
	close(fd);
}

/* 'abc': those that are there. */
static const char *cached(void)
{
	static const char *const names[] = { "a.safetensors", "b.safetensors",
		"c.safetensors", "old.tmp", "x.json" };
	static char found[8];
	char path[64];
	size_t i, n = 0;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof path, "ref/00/%s", names[i]);
		if (!access(path, F_OK))
			found[n++] = names[i][0];
	}
	found[n] = '\0';
	return found;
}

static void cache_lets_the_oldest_go(void **state)
{
	struct eval_cache mine = { .dir = "ref", .max = 25 }, other = { .dir = "ref", .max = 25 };
	char dir[] = "/tmp/onboard-test-XXXXXX";

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(eval_cache_trim(&other, 0), 0);
	assert_false(eval_cache_hold(&mine, "ref/00/a.safetensors"));
	assert_int_equal(mkdir("ref", 0700) | mkdir("ref/00", 0700), 0);
	make_cached("b.safetensors", 1000);
	make_cached("a.safetensors", 2000);
	make_cached("c.safetensors", 3000);
	make_cached("old.tmp", 1000);
	make_cached("x.json", 1000);
	/* what someone holds stays, and is the youngest when it is let go */
	assert_true(eval_cache_hold(&other, "ref/00/b.safetensors"));
	assert_true(eval_cache_add(&mine, "ref/00/c.safetensors"));
	eval_cache_fit(&mine);
	assert_int_equal(mine.size, 20);
	assert_string_equal(cached(), "bcx");
	make_cached("a.safetensors", 4000);
	assert_int_equal(eval_cache_trim(&mine, 0), 10);
	assert_string_equal(cached(), "bcx");
	eval_cache_release(&mine);
	eval_cache_release(&other);
	assert_int_equal(eval_cache_trim(&other, 10), 10);
	assert_int_equal(other.size, 10);
	assert_int_equal(eval_cache_trim(&other, 0), 10);
	assert_string_equal(cached(), "x");
	assert_int_equal(unlink("ref/00/x.json") | rmdir("ref/00") | rmdir("ref"), 0);
	assert_int_equal(chdir("/") | rmdir(dir), 0);
}

static void processes(void **state)
{
	struct strbuf out = STRBUF_INIT, errs = STRBUF_INIT, err = STRBUF_INIT;
	struct proc p = { .argv = (const char *const[]){ "sh", "-c",
			  "cat; echo oops >&2; exit 3", NULL }, .in = "hello",
			  .in_len = 5, .out = &out, .errs = &errs };

	(void)state;
	assert_int_equal(proc_run(&p, &err), 3);
	assert_string_equal(out.buf, "hello");
	assert_string_equal(errs.buf, "oops\n");
	p.argv = (const char *const[]){ "no-such-program-here", NULL };
	assert_int_equal(proc_run(&p, &err), -1);
	assert_non_null(strstr(err.buf, "unable to run no-such-program"));
	strbuf_release(&out);
	strbuf_release(&errs);
	strbuf_release(&err);
	/* an endless talker is ended */
	out = (struct strbuf)STRBUF_INIT_MAX(1000);
	p = (struct proc){ .argv = (const char *const[]){ "yes", NULL },
			   .out = &out };
	assert_int_equal(proc_run(&p, &err), -1);
	strbuf_release(&out);
	strbuf_release(&err);
}

static void sha256_of_abc(void **state)
{
	char hex[SHA256_HEX];

	(void)state;
	sha256_bytes(hex, "abc", 3);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223"
			    "b00361a396177a9cb410ff61f20015ad");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(doubles_print_shortest),
		cmocka_unit_test(strbuf_keeps_its_maximum),
		cmocka_unit_test(json_refuses),
		cmocka_unit_test(json_keeps_order_and_reads_back),
		cmocka_unit_test(slugs),
		cmocka_unit_test(families),
		cmocka_unit_test(yaml_documents),
		cmocka_unit_test(yaml_bombs_end),
		cmocka_unit_test(scanner_survives_any_bytes),
		cmocka_unit_test(deep_brackets_are_an_error),
		cmocka_unit_test(outfile_is_absent_or_whole),
		cmocka_unit_test(cache_lets_the_oldest_go),
		cmocka_unit_test(processes),
		cmocka_unit_test(sha256_of_abc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
