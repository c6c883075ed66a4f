/* Runs a fuzz target over the files of the given directories, and over nothing at all. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"

/* The bytes lie in a block of exactly their size, so that AddressSanitizer sees an overread. */
static int replay_stream(FILE *file, const char *path)
{
    if (fseek(file, 0, SEEK_END) != 0)
        return -1;
    long end = ftell(file);
    if (end < 0 || fseek(file, 0, SEEK_SET) != 0)
        return -1;
    size_t size = (size_t)end;
    uint8_t *data = malloc(size > 0 ? size : 1);
    if (data == NULL)
        return -1;
    int result = -1;
    if (fread(data, 1, size, file) == size) {
        fprintf(stderr, "%s: %zu bytes\n", path, size); /* the last one named is the one that aborted */
        result = LLVMFuzzerTestOneInput(data, size) == 0 ? 0 : -1;
    }
    free(data);
    return result;
}

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    int result = -1;
    if (file != NULL) {
        result = replay_stream(file, path);
        fclose(file);
    }
    if (result != 0)
        fprintf(stderr, "%s: cannot replay: %s\n", path, strerror(errno));
    return result;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Returns: how many files ran, or -1. */
static int replay_directory(const char *directory)
{
    struct dirent **entries = NULL;
    int count = scandir(directory, &entries, is_visible, alphasort);
    if (count < 0) {
        fprintf(stderr, "%s: %s\n", directory, strerror(errno));
        return -1;
    }
    int result = count;
    for (int i = 0; i < count; i++) {
        char path[4096];
        int length = snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name);
        if (length < 0 || (size_t)length >= sizeof path || replay_file(path) != 0)
            result = -1;
        free(entries[i]);
    }
    free(entries);
    return result;
}

int main(int argc, char **argv)
{
    static const uint8_t nothing[1];
    int total = 0;
    LLVMFuzzerTestOneInput(nothing, 0);
    for (int i = 1; i < argc; i++) {
        int count = replay_directory(argv[i]);
        if (count < 0)
            return EXIT_FAILURE;
        total += count;
    }
    printf("%d files\n", total);
    return total > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
