/* Reads requests, one after the other, and sends the answers. */

#include "sink.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {200, "OK"},          {204, "No Content"},          {206, "Partial Content"},
    {400, "Bad Request"}, {404, "Not Found"},           {409, "Conflict"},
    {416, "Range Not Satisfiable"}, {412, "Precondition Failed"}, {501, "Not Implemented"},
    {308, "Resume Incomplete"},     {499, "Client Closed Request"},
};

const char *found(const struct pairs *pairs, const char *name)
{
    for (int i = 0; i < pairs->count; i++)
        if (!strcmp(pairs->at[i].name, name))
            return pairs->at[i].value;
    return NULL;
}

static bool append(struct pairs *pairs, char *name, char *value)
{
    if (pairs->count == PAIRS)
        return false;
    pairs->at[pairs->count].name = name;
    pairs->at[pairs->count++].value = value;
    return true;
}

/* -- a head ----------------------------------------------------------------------------------- */

/* Takes what comes up to an empty line; the length without it, 0 at the end, or if it is too long. */
static size_t take_head(struct connection *peer, char *to)
{
    size_t seen = 0;
    for (;;) {
        char *from = peer->in + peer->from, *end = NULL;
        size_t here = peer->to - peer->from;
        if (here > seen)
            end = memmem(from + seen, here - seen, "\r\n\r\n", 4);
        if (end) {
            size_t length = end - from + 2;
            memcpy(to, from, length);
            to[length] = 0;
            peer->from += length + 2;
            return length;
        }
        seen = here > 3 ? here - 3 : 0;
        if (!fill(peer))
            return 0;
    }
}

bool parse_lines(char *lines, struct pairs *headers)
{
    for (char *rest = lines, *line; (line = strsep(&rest, "\n")) && *line && *line != '\r';) {
        char *value = strchr(line, ':');
        if (!value)
            return false;
        *value++ = 0;
        value += strspn(value, " \t");
        value[strcspn(value, "\r")] = 0;
        for (char *at = line; *at; at++)
            *at = tolower((unsigned char)*at);
        if (!append(headers, line, value))
            return false;
    }
    return true;
}

static bool parse_query(char *text, struct pairs *query)
{
    for (char *one; (one = strsep(&text, "&"));) {
        char *name = strsep(&one, "="), *value = one ? one : name + strlen(name);
        decode_percent(name, true);
        decode_percent(value, true);
        if (*name && !append(query, name, value))
            return false;
    }
    return true;
}

/* They take the names of four buckets away from S3's clients here. */
static bool is_googles(const char *path)
{
    const char *rest = strstr(path, GOOGLE_PATH);
    bool leads = rest == path || (rest && (starts(path, "upload/") || starts(path, "download/")));
    return leads || !strcmp(path, "token");
}

static bool parse(struct request *request)
{
    char *headers = strchr(request->head, '\n'), *line = request->head;
    *headers++ = 0;
    request->method = strsep(&line, " ");
    char *target = line ? strsep(&line, " ") : NULL;
    if (!line || *target != '/')
        return false;
    char *path = strsep(&target, "?") + 1;
    request->google = is_googles(path) ? path : NULL;
    if (request->google)
        path += strlen(path);
    request->bucket = strsep(&path, "/");
    request->key = path ? path : request->bucket + strlen(request->bucket);
    decode_percent(request->key, false);
    request->query.count = request->headers.count = 0;
    return parse_query(target, &request->query) && parse_lines(headers, &request->headers);
}

/* -- an answer -------------------------------------------------------------------------------- */

static const char *reason_of(int status)
{
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "";
}

static bool send_answer(struct connection *peer, const struct answer *answer, struct text *out)
{
    char date[64];
    struct tm utc;
    time_t now = time(NULL);
    strftime(date, sizeof date, "%a, %d %b %Y %T GMT", gmtime_r(&now, &utc));
    clear(out);
    add(out, "HTTP/1.1 %d %s\r\nDate: %s\r\nServer: sink\r\nx-amz-request-id: %llx\r\n",
        answer->status, reason_of(answer->status), date, (unsigned long long)now);
    if (answer->headers.length)
        add_bytes(out, answer->headers.at, answer->headers.length);
    if (answer->status != 204)
        add(out, "Content-Length: %lld\r\n",
            answer->length < 0 ? (long long)answer->body.length : answer->length);
    add_bytes(out, "\r\n", 2);
    if (answer->body.length)
        add_bytes(out, answer->body.at, answer->body.length);
    return give(peer, out->at, out->length);
}

void serve(struct connection *peer)
{
    struct request *request = allocated(sizeof *request);
    struct answer answer = {0};
    struct text out = {0};
    bool goes_on = true;
    request->encrypted = peer->tls;
    while (goes_on && take_head(peer, request->head)) {
        if (!parse(request) || !take_body(peer, request))
            break;
        const char *wish = found(&request->headers, "connection");
        clear(&answer.headers);
        clear(&answer.body);
        answer.status = 200;
        answer.length = -1;
        answer_to(request, &answer);
        if (line.wait)
            usleep(line.wait);
        goes_on = send_answer(peer, &answer, &out) && !(wish && !strcasecmp(wish, "close"));
    }
    let_go(&request->body);
    let_go(&request->document);
    let_go(&answer.headers);
    let_go(&answer.body);
    let_go(&out);
    free(request);
}
