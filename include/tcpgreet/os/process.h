/* The process: its standard descriptors, its limits, and writing all output or failing. */
#ifndef TCPGREET_OS_PROCESS_H
#define TCPGREET_OS_PROCESS_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>

#include "tcpgreet/base/buf.h"
#include "tcpgreet/base/err.h"

enum { PROCESS_DESCRIPTORS_MAX = 32 };

/* Writes all of it, waiting where the reader is slow.
 * Errors: system-output: closed, full, or no process reads it any more. Source: write(2). */
int process_write(int fd, struct bytes bytes, struct err *err);

/* Makes sure that 0, 1 and 2 are taken, so that no socket is ever mistaken for one of them. What was closed
 * stays an error to write to, an end of file to read. Call first of all. Source: POSIX, "Standard I/O
 * Streams". */
int process_guard_standard(struct err *err);

/* Returns: whether SIGHUP reports that the terminal of this process closes: it has one, and does not ignore
 * the signal, as under nohup(1). Call before a handler is set. Source: POSIX, "Controlling Terminal". */
bool process_hangs_up(void);

/* Makes sure that `count` more descriptors can be opened. Shape: at most
 * PROCESS_DESCRIPTORS_MAX. Errors: system-descriptors. Returns: 0, -1. */
int process_check_descriptors(size_t count, struct err *err);

/* Raises the limit of descriptors to what the system allows. Returns: the limit now in force. */
size_t process_raise_descriptors(void);

/* Returns memory that was freed to the system, where the C library keeps it. Thread: any.
 * Source: malloc_trim(3). */
void process_trim_memory(void);

/* What this process uses. 0: the system does not show it. */
struct process_usage {
    double cpu_s;
    double resident_bytes;
    double descriptors;
    double descriptor_limit;
};

/* Where that is read: opened before a sandbox hides it. Starts as {.memory = -1}, for what the system shows
 * without. */
struct process_meter {
    int memory;
    DIR *descriptors;
};

void process_meter_open(struct process_meter *meter);
struct process_usage process_meter_read(const struct process_meter *meter);
void process_meter_close(struct process_meter *meter);

#endif
