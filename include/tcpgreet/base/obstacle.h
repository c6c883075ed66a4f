/* Why a file that the user named cannot be written, and what to do about it. */
#ifndef TCPGREET_BASE_OBSTACLE_H
#define TCPGREET_BASE_OBSTACLE_H

enum { OBSTACLE_BYTES = 160 };

/* Writes what is in the way, for the end of a sentence: "it is a directory (give the name of a file)". Shape:
 * why: errno of a call that was to open or to write path. Returns: text. Source: open(2), fifo(7). */
const char *obstacle_text(const char *path, int why, char text[OBSTACLE_BYTES]);

/* Returns: 0; ENOSPC: nothing can be written to what fd is open for, a full file system or device. Source:
 * fstatvfs(3); full(4), which refuses no bytes, too. */
int obstacle_of_space(int fd);

#endif
