/*
 * numlist.h - "8,32,64": numbers as options and the environment have them.
 */
#ifndef ONBOARD_NUMLIST_H
#define ONBOARD_NUMLIST_H

#include "base.h"

/* How many there are; -1: no such list, one out of range, or over `most`. */
int number_list(const char *text, int least, int largest, int *v, int most);

#endif
