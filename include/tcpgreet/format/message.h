/* Messages for a person on standard error. */
#ifndef TCPGREET_FORMAT_MESSAGE_H
#define TCPGREET_FORMAT_MESSAGE_H

/* Prints one line. The format has no newline; of what a peer sent, only escaped text may be in it. Where the
 * locale's character set is not UTF-8, bytes above 0x7e are escaped, for they could drive the terminal. What
 * cannot be written is lost. */
__attribute__((format(printf, 1, 2))) void message_print(const char *format, ...);

#endif
