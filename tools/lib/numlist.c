#include "numlist.h"

int number_list(const char *text, int least, int largest, int *v, int most)
{
	char *end;
	int n = 0;

	for (;; text = end + 1) {
		long x = strtol(text, &end, 10);

		if (end == text || x < least || x > largest || n == most ||
		    (*end && *end != ','))
			return -1;
		v[n++] = (int)x;
		if (!*end)
			return n;
	}
}
