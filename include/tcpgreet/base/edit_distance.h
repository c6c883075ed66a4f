/* How far one word is from another, for "did you mean". */
#ifndef TCPGREET_BASE_EDIT_DISTANCE_H
#define TCPGREET_BASE_EDIT_DISTANCE_H

#include <stddef.h>

/* Returns: insertions, deletions, replacements and swaps of neighbours that turn a into b (optimal string
 * alignment); SIZE_MAX where one is too long to be compared. */
size_t edit_distance(const char *a, size_t a_length, const char *b, size_t b_length);

#endif
