/* Takes a request's body, and throws away those of its bytes that nobody will ask for.
 *
 * - It has a length, or comes in chunks (RFC 9112, 7.1). In either there may be the chunks that the
 *   SDKs of AWS make to send a checksum last (`aws-chunked`), which look alike.
 * - A small body is kept: it may be a document, or what a client tries the service with.
 */

#include "sink.h"

#include <stdlib.h>
#include <string.h>

#define DOCUMENT (8 << 20) /* bytes of a POST's body, which is always kept; 10,000 parts are 2 MiB */
#define LINE 256           /* bytes of a chunk's head; that of AWS has a signature of 64 digits */

struct source { /* where the bytes of a body come from */
    struct connection *peer;
    bool chunked;
    long long left; /* of the body, or of its chunk */
};

/* -- bytes, out of the chunks of HTTP --------------------------------------------------------- */

static bool take_raw_line(struct connection *peer, char *line)
{
    for (size_t length = 0; length < LINE; length++) {
        if (!take(peer, line + length, 1))
            return false;
        if (line[length] == '\n') {
            line[length + 1] = 0;
            return true;
        }
    }
    return false;
}

/* Takes a chunk's head; `left` is 0 after the last, whose trailer is taken too. */
static bool open_chunk(struct source *source)
{
    char line[LINE + 1], *end;
    if (!take_raw_line(source->peer, line))
        return false;
    source->left = strtoll(line, &end, 16);
    if (end == line || source->left < 0)
        return false;
    while (!source->left && *line != '\r')
        if (!take_raw_line(source->peer, line))
            return false;
    return true;
}

/* Takes bytes to somewhere, or throws them away (NULL). */
static bool take_from(struct source *source, char *to, long long length)
{
    while (length) {
        char end[2];
        if (source->chunked && !source->left && !open_chunk(source))
            return false;
        long long some = length < source->left ? length : source->left;
        if (!some)
            return false;
        if (to ? !take(source->peer, to, some) : !discard(source->peer, some))
            return false;
        to = to ? to + some : NULL;
        length -= some;
        source->left -= some;
        if (source->chunked && !source->left && !take(source->peer, end, sizeof end))
            return false;
    }
    return true;
}

/* -- what the body says ----------------------------------------------------------------------- */

/* Takes bytes of the object; keeps them if they and those before are few enough. */
static bool take_some(struct source *source, struct request *request, long long length)
{
    long long most = strcmp(request->method, "POST") ? KEPT : DOCUMENT;
    request->size += length;
    if (request->size > most) {
        request->whole = false;
        clear(&request->body);
        return take_from(source, NULL, length);
    }
    char some[KEPT];
    while (length) {
        size_t now = length < (long long)sizeof some ? length : (long long)sizeof some;
        if (!take_from(source, some, now))
            return false;
        add_bytes(&request->body, some, now);
        length -= now;
    }
    return true;
}

static bool take_line(struct source *source, char *line)
{
    for (size_t length = 0; length < LINE; length++) {
        if (!take_from(source, line + length, 1))
            return false;
        if (line[length] == '\n') {
            line[length + 1] = 0;
            return true;
        }
    }
    return false;
}

/* Takes the lines after the last chunk, and believes them as headers. */
static bool take_trailer(struct source *source, struct request *request)
{
    size_t length = 0;
    request->trailer[0] = 0;
    for (char line[LINE + 1]; take_line(source, line); length += strlen(line)) {
        if (*line == '\r')
            return parse_lines(request->trailer, &request->headers);
        if (length + strlen(line) >= sizeof request->trailer)
            return false;
        strcpy(request->trailer + length, line);
    }
    return false;
}

static bool take_chunks_of_aws(struct source *source, struct request *request)
{
    for (char line[LINE + 1]; take_line(source, line);) {
        char *end;
        long long length = strtoll(line, &end, 16);
        if (end == line || length < 0)
            return false;
        if (!length)
            return take_trailer(source, request);
        if (!take_some(source, request, length) || !take_line(source, line))
            return false;
    }
    return false;
}

static bool take_all(struct source *source, struct request *request)
{
    if (!source->chunked)
        return take_some(source, request, source->left);
    while (open_chunk(source) && source->left)
        if (!take_some(source, request, source->left))
            return false;
    return !source->left;
}

bool take_body(struct connection *peer, struct request *request)
{
    const char *length = found(&request->headers, "content-length");
    const char *coding = found(&request->headers, "content-encoding");
    struct source source = {peer, found(&request->headers, "transfer-encoding"), 0};
    if (!source.chunked)
        source.left = length ? atoll(length) : 0;
    request->size = 0;
    request->whole = true;
    clear(&request->body);
    begin_pace(peer);
    if (found(&request->headers, "expect") && peer->from == peer->to) {
        static const char go[] = "HTTP/1.1 100 Continue\r\n\r\n";
        if (!give(peer, go, sizeof go - 1))
            return false;
    }
    const char *type = found(&request->query, "uploadType");
    if (request->google && type && !strcmp(type, "multipart"))
        return !source.chunked && take_related(peer, request, source.left);
    if (!coding || !starts(coding, "aws-chunked"))
        return take_all(&source, request);
    if (!take_chunks_of_aws(&source, request))
        return false;
    return source.chunked ? open_chunk(&source) && !source.left : !source.left;
}
