/*
 * pydump FILE... - print what pyscan.h finds, one record a line, for
 * tests/peers/ast_compare.py, which prints the same from Python's own ast.
 */
#include "die.h"
#include "opt.h"
#include "pyscan.h"

static void print_slice(struct py_slice s)
{
	struct strbuf sb = STRBUF_INIT;

	pyscan_dotted(&sb, s);
	printf("%s", sb.buf);
	strbuf_release(&sb);
}

static void dump(const char *path)
{
	struct strbuf src = STRBUF_INIT, err = STRBUF_INIT;
	struct pyscan ps;
	size_t i, k;

	if (strbuf_read_file(&src, path, &err))
		die(EX_REFUSED, "%s", err.buf);
	pyscan_init(&ps, src.buf, src.len);
	printf("F %s\n", path);
	if (ps.broken)
		printf("broken %u\n", ps.broken);
	for (i = 0; i < ps.ndefs; i++) {
		const struct py_def *d = &ps.defs[i];

		printf("D %c %s %u", d->kind, d->qualname, d->line);
		for (k = 0; k < d->ndec; k++) {
			const struct py_decorator *x =
				&ps.decorators[d->dec + k];

			printf(" @");
			print_slice(x->name);
			printf("%s:%u%s%s", x->name.len ? "" : "?", x->line, x->called ? "()" : "",
			       x->has_trace ? "trace" : "");
		}
		printf("\n");
	}
	for (i = 0; i < ps.nimports; i++) {
		const struct py_import *m = &ps.imports[i];

		printf("I %u %u ", m->line, m->level);
		print_slice(m->module);
		printf(" %.*s %.*s\n", (int)m->name.len, m->name.s,
		       (int)m->as.len, m->as.s);
	}
	for (i = 0; i < ps.nchains; i++) {
		const struct py_chain *c = &ps.chains[i];

		if (!c->call)
			continue;
		printf("C %u ", c->line);
		if (c->unknown)
			printf("?.");
		print_slice(c->text);
		if (!c->text.len)
			printf("?");
		printf("\n");
	}
	pyscan_release(&ps);
	strbuf_release(&src);
}

int main(int argc, char **argv)
{
	int i;

	die_init(argv[0]);
	for (i = 1; i < argc; i++)
		dump(argv[i]);
	return done();
}
