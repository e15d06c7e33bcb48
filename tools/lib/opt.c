#include "opt.h"
#include "die.h"
#include "strbuf.h"

#ifndef ONBOARD_VERSION
#define ONBOARD_VERSION "unreleased"
#endif

void opt_usage(const char *fmt, ...)
{
	struct strbuf sb = STRBUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	strbuf_vaddf(&sb, fmt, ap);
	va_end(ap);
	die(EX_USAGE, "%s; see '%s --help'", sb.buf, die_tool());
}

static void print_help(const struct tool *t, const struct option *o)
{
	char left[64];

	printf("usage: %s %s\n\n%s\n\n", die_tool(), t->synopsis, t->purpose);
	printf("reads:  %s\nwrites: %s\n\noptions:\n", t->reads, t->writes);
	for (; o->type != OPT_T_END; o++) {
		char letter[5] = "    ";

		if (o->letter)
			snprintf(letter, sizeof(letter), "-%c, ", o->letter);
		snprintf(left, sizeof(left), "%s--%s%s%s", letter, o->name,
			 o->arg ? "=" : "", o->arg ? o->arg : "");
		printf("  %-28s  %s\n", left, o->help);
	}
	printf("  %-28s  %s\n", "    --failed=FILE",
	       "on failure, record exit code and sentence here too");
	printf("  %-28s  %s\n", "    --help, --version", "print and exit");
	printf("\nexit codes:\n"
	       "  0   done\n"
	       "  1   an input was refused; the message says which and why\n"
	       "  2   wrong usage\n"
	       "  75  temporary (network, lock, disk full): worth retrying\n");
	exit(done());
}

static void set(const struct option *o, const char *arg)
{
	struct opt_list *l;
	char *end;
	long n;

	switch (o->type) {
	case OPT_T_BOOL:
		*(bool *)o->value = true;
		break;
	case OPT_T_STR:
		*(const char **)o->value = arg;
		break;
	case OPT_T_INT:
		errno = 0;
		n = strtol(arg, &end, 10);
		if (errno || end == arg || *end)
			opt_usage("--%s takes a whole number, not '%s'",
				  o->name, arg);
		*(long *)o->value = n;
		break;
	case OPT_T_LIST:
		l = o->value;
		l->v = xrealloc(l->v, st_mult(l->n + 1, sizeof(*l->v)));
		l->v[l->n++] = arg;
		break;
	case OPT_T_END:
		BUG("option table");
	}
}

static void take_long(const struct tool *t, const struct option *options,
		      char **argv, int argc, int *i)
{
	const char *s = argv[*i] + 2, *eq = strchr(s, '=');
	size_t n = eq ? (size_t)(eq - s) : strlen(s);
	const struct option *o;

	if (!strcmp(s, "help"))
		print_help(t, options);
	if (!strcmp(s, "version")) {
		printf("%s (onboard) %s\n", die_tool(), ONBOARD_VERSION);
		exit(done());
	}
	if (n == 6 && !strncmp(s, "failed", n) && eq) {
		die_record_to(eq + 1);
		return;
	}
	for (o = options; o->type != OPT_T_END; o++)
		if (strlen(o->name) == n && !strncmp(o->name, s, n))
			break;
	if (o->type == OPT_T_END)
		opt_usage("unknown option --%.*s", (int)n, s);
	if (o->type == OPT_T_BOOL && eq)
		opt_usage("--%s takes no value", o->name);
	if (o->type != OPT_T_BOOL && !eq && *i + 1 >= argc)
		opt_usage("--%s needs a value", o->name);
	set(o, o->type == OPT_T_BOOL ? NULL : eq ? eq + 1 : argv[++*i]);
}

static void take_short(const struct option *options, char **argv, int argc,
		       int *i)
{
	const struct option *o;
	const char *s;

	for (s = argv[*i] + 1; *s; s++) {
		for (o = options; o->type != OPT_T_END; o++)
			if (o->letter == *s)
				break;
		if (o->type == OPT_T_END)
			opt_usage("unknown option -%c", *s);
		if (o->type == OPT_T_BOOL) {
			set(o, NULL);
			continue;
		}
		if (!s[1] && *i + 1 >= argc)
			opt_usage("-%c needs a value", *s);
		set(o, s[1] ? s + 1 : argv[++*i]);
		return;
	}
}

int opt_parse(int argc, char **argv, const struct tool *tool,
	      const struct option *options)
{
	char **operands = xmalloc(st_mult((size_t)argc, sizeof(*operands)));
	int i, n = 0;

	die_init(argv[0]);
	for (i = 1; i < argc; i++) {
		if (argv[i][0] != '-' || !argv[i][1]) {
			operands[n++] = argv[i];
			continue;
		}
		if (!strcmp(argv[i], "--")) {
			while (++i < argc)
				operands[n++] = argv[i];
			break;
		}
		if (argv[i][1] == '-')
			take_long(tool, options, argv, argc, &i);
		else if (!strcmp(argv[i], "-h"))
			print_help(tool, options);
		else
			take_short(options, argv, argc, &i);
	}
	if (n)
		memcpy(argv + argc - n, operands, (size_t)n * sizeof(*operands));
	free(operands);
	return argc - n;
}
