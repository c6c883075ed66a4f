/* A new folder for the files of a test. Any failure fails the test. */
#ifndef TCPGREET_TEST_FOLDER_H
#define TCPGREET_TEST_FOLDER_H

enum { FOLDER_BYTES = 64 };

struct folder {
    char path[FOLDER_BYTES];
};

/* Makes it, in /tmp, for its owner only. */
void folder_make(struct folder *folder);

/* Removes it with all that is in it; links are not followed. */
void folder_remove(const struct folder *folder);

#endif
