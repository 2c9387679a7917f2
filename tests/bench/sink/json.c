/* Reads what clients write as JSON, and writes it: one value at a time, no tree. */

#include "sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *past_space(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

static const char *past_string(const char *at)
{
    for (at++; *at && *at != '"'; at++)
        if (*at == '\\' && at[1])
            at++;
    return *at ? at + 1 : at;
}

/* The end of a value: brackets are counted, those in strings are not. */
static const char *past_value(const char *at)
{
    int depth = 0;
    do {
        if (*at == '"') {
            at = past_string(at);
            continue;
        }
        depth += (*at == '{' || *at == '[') - (*at == '}' || *at == ']');
        if (depth < 0 || (!depth && *at == ','))
            return at;
        at += *at != 0;
    } while (*at && (depth || !strchr(",}]", *at)));
    return at;
}

const char *json_member(const char *object, const char *name)
{
    size_t length = strlen(name);
    const char *at = past_space(object ? object : "");
    if (*at != '{')
        return NULL;
    for (at = past_space(at + 1); *at == '"'; at = past_space(at + 1)) {
        bool found = !strncmp(at + 1, name, length) && at[1 + length] == '"';
        at = past_space(past_string(at));
        if (*at != ':')
            return NULL;
        at = past_space(at + 1);
        if (found)
            return at;
        at = past_space(past_value(at));
        if (*at != ',')
            return NULL;
    }
    return NULL;
}

const char *json_item(const char *array, const char *before)
{
    const char *at = before ? past_space(past_value(before)) : past_space(array ? array : "");
    if (*at != (before ? ',' : '['))
        return NULL;
    at = past_space(at + 1);
    return *at == ']' ? NULL : at;
}

char *json_copy(const char *value)
{
    const char *end = value ? past_value(value) : NULL;
    char *copy = value ? allocated(end - value + 1) : NULL;
    return copy ? memcpy(copy, value, end - value) : NULL;
}

/* -- strings ---------------------------------------------------------------------------------- */

static unsigned hexadecimal(const char *digits)
{
    unsigned value = 0;
    sscanf(digits, "%4x", &value);
    return value;
}

static char *add_utf8(char *to, unsigned code)
{
    int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned char first[] = {0, 0xc0, 0xe0, 0xf0};
    *to++ = first[more] | code >> 6 * more;
    while (more--)
        *to++ = 0x80 | (code >> 6 * more & 0x3f);
    return to;
}

/* Reads \uXXXX, or two of them that are one letter; returns what follows. */
static const char *unescaped(const char *at, char **to)
{
    unsigned code = hexadecimal(at + 2);
    at += strlen(at) < 6 ? strlen(at) : 6;
    if (code >= 0xd800 && code < 0xdc00 && starts(at, "\\u") && strlen(at) >= 6) {
        code = 0x10000 + ((code - 0xd800) << 10) + (hexadecimal(at + 2) - 0xdc00);
        at += 6;
    }
    *to = add_utf8(*to, code);
    return at;
}

char *json_string(const char *value)
{
    static const char letters[] = "\"\\/bfnrt", plain[] = "\"\\/\b\f\n\r\t";
    char *copy = json_copy(value);
    if (!copy || *copy != '"')
        return copy;
    char *to = copy;
    for (const char *at = copy + 1; *at && *at != '"';) {
        const char *known = *at == '\\' && at[1] ? strchr(letters, at[1]) : NULL;
        if (known) {
            *to++ = plain[known - letters];
            at += 2;
        } else if (starts(at, "\\u"))
            at = unescaped(at, &to);
        else
            *to++ = *at++;
    }
    *to = 0;
    return copy;
}

void add_json(struct text *text, const char *plain)
{
    add_bytes(text, "\"", 1);
    for (; *plain; plain++)
        if (*plain == '"' || *plain == '\\')
            add(text, "\\%c", *plain);
        else if ((unsigned char)*plain < ' ')
            add(text, "\\u%04x", *plain);
        else
            add_bytes(text, plain, 1);
    add_bytes(text, "\"", 1);
}
