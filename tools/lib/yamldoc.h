/*
 * yamldoc.h - a YAML file as a JSON document, through libyaml.
 *
 * Plain scalars become null, true/false or integers where YAML 1.2's core
 * schema says so, everything else a string. Each mapping gets the member
 * "@line", the line of its first key. Refused with a sentence: over 8 MiB,
 * deeper than 64, more than 200,000 nodes (an alias counts as all that it
 * stands for, so a small file cannot blow up without bound), an alias inside
 * its own anchor, duplicate or non-scalar keys.
 */
#ifndef ONBOARD_YAMLDOC_H
#define ONBOARD_YAMLDOC_H

#include "json.h"

/* The caller's to json_decref(); NULL with a sentence in err. */
json_t *yaml_load_path(const char *path, struct strbuf *err);
json_t *yaml_parse(const char *text, size_t len, const char *name,
		   struct strbuf *err);

#endif
