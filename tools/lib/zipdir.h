/*
 * zipdir.h - where the stored entries of a zip lie, zip64 included. Entries
 * that are compressed, or that reach past the file's end, are left out.
 */
#ifndef ONBOARD_ZIPDIR_H
#define ONBOARD_ZIPDIR_H

#include "json.h"

/*
 * {"data.pkl": [offset, size], ...} with the first folder of the names taken
 * off; NULL when it is no zip. The caller's to json_decref().
 */
json_t *zip_entries(int fd, uint64_t size);
uint64_t zip_little(const unsigned char *p, int n);

#endif
