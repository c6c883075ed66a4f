/* What a person chooses of a result's output. */
#ifndef TCPGREET_FORMAT_FORMAT_H
#define TCPGREET_FORMAT_FORMAT_H

enum format { FORMAT_TEXT, FORMAT_JSON, FORMAT_PROMETHEUS, FORMAT_NAGIOS };
enum format_color { FORMAT_COLOR_AUTO, FORMAT_COLOR_ALWAYS, FORMAT_COLOR_NEVER };

#endif
