/* Makes and reads strings: growing text, percent signs, XML, base64, digests. */

#include "sink.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u

static unsigned crc_table[256];

void *allocated(size_t size)
{
    void *made = calloc(1, size);
    if (!made) {
        perror("sink");
        exit(1);
    }
    return made;
}

char *copy_of(const char *string)
{
    return strcpy(allocated(strlen(string) + 1), string);
}

bool starts(const char *string, const char *prefix)
{
    return strncmp(string, prefix, strlen(prefix)) == 0;
}

/* -- text that grows -------------------------------------------------------------------------- */

static void make_room(struct text *text, size_t more)
{
    size_t needed = text->length + more + 1;
    if (needed <= text->room)
        return;
    text->room = needed + needed / 2;
    text->at = realloc(text->at, text->room);
    if (!text->at) {
        perror("sink");
        exit(1);
    }
}

void add(struct text *text, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    int length = vsnprintf(NULL, 0, format, values);
    va_end(values);
    make_room(text, length);
    va_start(values, format);
    vsnprintf(text->at + text->length, length + 1, format, values);
    va_end(values);
    text->length += length;
}

void add_bytes(struct text *text, const void *bytes, size_t length)
{
    make_room(text, length);
    memcpy(text->at + text->length, bytes, length);
    text->length += length;
    text->at[text->length] = 0;
}

void add_escaped(struct text *text, const char *plain)
{
    for (; *plain; plain++)
        switch (*plain) {
        case '&': add(text, "&amp;"); break;
        case '<': add(text, "&lt;"); break;
        case '>': add(text, "&gt;"); break;
        default: add_bytes(text, plain, 1);
        }
}

void clear(struct text *text)
{
    text->length = 0;
}

void let_go(struct text *text)
{
    free(text->at);
    *text = (struct text){0};
}

/* -- what others wrote ------------------------------------------------------------------------ */

static int digit_of(char letter)
{
    return isdigit((unsigned char)letter) ? letter - '0' : (letter | 32) - 'a' + 10;
}

void decode_percent(char *string, bool plus)
{
    char *to = string;
    for (; *string; string++) {
        if (*string == '%' && isxdigit((unsigned char)string[1]) &&
            isxdigit((unsigned char)string[2])) {
            *to++ = digit_of(string[1]) << 4 | digit_of(string[2]);
            string += 2;
        } else {
            *to++ = plus && *string == '+' ? ' ' : *string;
        }
    }
    *to = 0;
}

/* Replaces an entity by its letter; those that clients write are in this table. */
static size_t unescaped(const char *from, char *to)
{
    static const struct {
        const char *entity;
        char letter;
    } known[] = {{"&amp;", '&'},  {"&lt;", '<'},   {"&gt;", '>'},  {"&quot;", '"'}, {"&#34;", '"'},
                 {"&#x22;", '"'}, {"&apos;", '\''}, {"&#39;", '\''}, {"&#x27;", '\''}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (starts(from, known[i].entity)) {
            *to = known[i].letter;
            return strlen(known[i].entity);
        }
    *to = *from;
    return 1;
}

void unescape(char *string)
{
    char *to = string;
    while (*string)
        string += unescaped(string, to++);
    *to = 0;
}

char *element(char **at, const char *name)
{
    char opening[64], closing[64];
    snprintf(opening, sizeof opening, "<%s", name);
    snprintf(closing, sizeof closing, "</%s>", name);
    char *begin = *at;
    do {
        begin = strstr(begin, opening);
        if (!begin)
            return NULL;
        begin += strlen(opening);
    } while (*begin != '>' && *begin != ' '); /* a longer name: PartNumber is not Part */
    begin = strchr(begin, '>');
    char *end = begin ? strstr(begin, closing) : NULL;
    if (!end)
        return NULL;
    *end = 0;
    *at = end + 1;
    return begin + 1;
}

/* -- digests ---------------------------------------------------------------------------------- */

bool md5_of(const void *bytes, size_t length, unsigned char md5[16])
{
    return EVP_Digest(bytes, length, md5, NULL, EVP_md5(), NULL) == 1;
}

bool decode_base64(const char *string, unsigned char *bytes, size_t length)
{
    unsigned char decoded[64];
    size_t letters = strlen(string);
    if (letters != (length + 2) / 3 * 4 || letters > sizeof decoded)
        return false;
    if (EVP_DecodeBlock(decoded, (const unsigned char *)string, letters) < (int)length)
        return false;
    memcpy(bytes, decoded, length);
    return true;
}

/* Castagnoli's polynomial, reflected (RFC 3720, B.4). Only what is kept is checked: no need to be
 * quick. */
void make_crc32c(void)
{
    for (unsigned i = 0; i < 256; i++) {
        unsigned value = i;
        for (int bit = 0; bit < 8; bit++)
            value = value >> 1 ^ (value & 1 ? POLYNOMIAL : 0);
        crc_table[i] = value;
    }
}

/* A polynomial times another, modulo that one; bits in the order that the sum has. */
static unsigned times(unsigned left, unsigned right)
{
    unsigned product = 0;
    for (unsigned bit = 1u << 31; left; bit >>= 1) {
        if (left & bit) {
            product ^= right;
            left ^= bit;
        }
        right = right >> 1 ^ (right & 1 ? POLYNOMIAL : 0);
    }
    return product;
}

/* To append a byte multiplies by x^8 (zlib's crc32_combine does the same for its own). */
unsigned crc32c_joined(unsigned first, unsigned second, long long size)
{
    unsigned square = 1u << 23; /* x^8 */
    for (; size; size >>= 1) {
        if (size & 1)
            first = times(square, first);
        square = times(square, square);
    }
    return first ^ second;
}

unsigned crc32c_of(const void *bytes, size_t length)
{
    unsigned value = ~0u;
    for (const unsigned char *at = bytes; length--; at++)
        value = value >> 8 ^ crc_table[(value ^ *at) & 255];
    return ~value;
}
