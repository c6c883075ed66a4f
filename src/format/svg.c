#include "tcpgreet/format/svg.h"

#include <string.h>

#include "tcpgreet/format/text.h"

/* The viewer selects light or dark; the fonts are those of its system. */
static const char house_style[] =
    "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;font-size:12px;"
    "font-variant-numeric:tabular-nums;fill:#59636e}"
    ".paper{fill:#fff;stroke:#d1d9e0}.title{font-size:20px;font-weight:600;fill:#1f2328}"
    ".sub{font-size:13px}.head{font-size:13px;font-weight:600;fill:#1f2328}"
    ".grid{stroke:#e6eaef}.axis{stroke:#818b98}"
    ".bad{fill:#cf222e;font-weight:600}.good{fill:#1a7f37}";

static const char house_dark_style[] =
    "text{fill:#9198a1}.paper{fill:#0d1117;stroke:#3d444d}.title,.head{fill:#f0f6fc}.grid{stroke:#232a33}"
    ".axis{stroke:#656c76}.bad{fill:#f85149}.good{fill:#3fb950}";

void svg_style(FILE *out, const char *style, const char *dark_style)
{
    (void)fprintf(out, "%s%s@media(prefers-color-scheme:dark){%s%s}", house_style, style, house_dark_style,
                  dark_style);
}

void svg_open(FILE *out, int width, int height, const char *title, const char *style, const char *dark_style)
{
    (void)fprintf(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
        "role=\"img\">\n<title>",
        width, height, width, height);
    svg_escaped(out, title);
    (void)fputs("</title>\n<style>", out);
    svg_style(out, style, dark_style);
    (void)fputs("</style>\n", out);
    (void)fprintf(out, "<rect class=\"paper\" x=\".5\" y=\".5\" width=\"%d\" height=\"%d\" rx=\"8\"/>\n",
                  width - 1, height - 1);
}

void svg_close(FILE *out, int width, int height, const char *when)
{
    enum { SIDE = 32, FOOT = 12 };
    char signature[64];

    (void)snprintf(signature, sizeof(signature), "tcpgreet " TCPGREET_VERSION "%s%s",
                   when[0] != '\0' ? ", " : "", when);
    svg_text(out, width - SIDE, height - FOOT, "tick", "end", signature);
    (void)fputs("</svg>\n", out);
}

void svg_escaped(FILE *out, const char *text)
{
    char shown[TEXT_PRINTABLE_BYTES];

    for (text = text_printable(text, false, shown, sizeof(shown)); *text != '\0'; text++) {
        switch (*text) {
        case '&':
            (void)fputs("&amp;", out);
            break;
        case '<':
            (void)fputs("&lt;", out);
            break;
        case '>':
            (void)fputs("&gt;", out);
            break;
        default:
            (void)fputc(*text, out);
        }
    }
}

void svg_text(FILE *out, double x, double y, const char *class, const char *anchor, const char *text)
{
    (void)fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\" text-anchor=\"%s\">", x, y, class, anchor);
    svg_escaped(out, text);
    (void)fputs("</text>\n", out);
}

void svg_line(FILE *out, const char *class, double x1, double y1, double x2, double y2)
{
    (void)fprintf(out, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", class, x1,
                  y1, x2, y2);
}
