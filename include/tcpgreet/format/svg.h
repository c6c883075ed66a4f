/* SVG output: one style, light and dark, without scripts or embedded fonts. */
#ifndef TCPGREET_FORMAT_SVG_H
#define TCPGREET_FORMAT_SVG_H

#include <stdio.h>

/* Begins a picture on its paper. Classes at hand: title, sub, head, tick, grid, axis, good, bad; style and
 * dark_style add others. Shape: title is any text; styles are CSS. */
void svg_open(FILE *out, int width, int height, const char *title, const char *style, const char *dark_style);

/* Writes the style sheet that svg_open gives a picture: for one that stands in a page. */
void svg_style(FILE *out, const char *style, const char *dark_style);

/* Ends it, signed at the foot with the program's version, and with when where that is not "". */
void svg_close(FILE *out, int width, int height, const char *when);

/* Writes text with XML escapes; characters that XML does not allow are escaped as in escape.h. */
void svg_escaped(FILE *out, const char *text);

/* Shape: anchor is start, middle, end; text is any text. */
void svg_text(FILE *out, double x, double y, const char *class, const char *anchor, const char *text);
void svg_line(FILE *out, const char *class, double x1, double y1, double x2, double y2);

#endif
