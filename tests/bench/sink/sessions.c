/* Answers what concerns resumable sessions of Google Cloud Storage.
 *
 * - A session takes what goes on where it is, and tells how far it is: 308 with a `Range`. Of what is
 *   not the end it keeps multiples of 256 KiB. What it has already it ignores.
 * - With the last byte the object appears, if the condition holds with which the session was opened.
 * - One that made its object is forgotten; the service itself would still tell of the object.
 */

#include "sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MULTIPLE (256 << 10) /* bytes */

void begin_session(const struct request *request, struct bucket *bucket, struct answer *answer)
{
    const char *condition = found(&request->query, "ifGenerationMatch");
    const char *host = found(&request->headers, "host");
    const char *size = found(&request->headers, "x-upload-content-length");
    struct session *session = allocated(sizeof *session);
    struct text id = {0};
    add(&id, "%0*llx", DIGITS, next_number());
    session->entry.name = id.at;
    session->document = copy_of(document_of(request));
    session->condition = condition ? copy_of(condition) : NULL;
    session->size = size ? atoll(size) : -1;
    insert(&bucket->sessions, session);
    add(&answer->headers, "Location: http%s://%s/upload/%s/%s/o?uploadType=resumable&upload_id=%s\r\n",
        request->encrypted ? "s" : "", host ? host : "", GOOGLE_PATH, bucket->entry.name, id.at);
}

static void tell(const struct session *session, struct answer *answer)
{
    answer->status = 308;
    if (session->has)
        add(&answer->headers, "Range: bytes=0-%lld\r\n", session->has - 1);
}

static void finish(const struct request *request, struct bucket *bucket, struct session *session,
                   struct answer *answer)
{
    const char *hash = found(&request->headers, "x-goog-hash");
    const char *told = hash ? strstr(hash, "crc32c=") : NULL;
    char *name = json_string(json_member(session->document, "name"));
    unsigned crc32c;
    if (!name) {
        google_refuse(answer, 400, "required", "An object needs a name.");
        return;
    }
    struct object *object = google_object(name, session->document);
    believe(object, session->document);
    if (told && told_crc32c(told + strlen("crc32c="), &crc32c)) {
        object->crc32c = crc32c;
        object->summed = true;
    }
    object->size = session->has;
    if (request->whole && request->size == session->has) {
        object->content = allocated(request->size + 1);
        if (request->size)
            memcpy(object->content, request->body.at, request->size);
    }
    google_keep(bucket, object, session->condition, answer);
    if (answer->status == 200) {
        take_out(&bucket->sessions, session->entry.name);
        free_session(session);
    }
}

static void go_on(const struct request *request, struct bucket *bucket, struct session *session,
                  struct answer *answer)
{
    const char *range = found(&request->headers, "content-range");
    long long first = 0, last = request->size - 1, size = range ? session->size : request->size;
    char total[32] = "";
    bool bytes = !range || sscanf(range, "bytes %lld-%lld/%31s", &first, &last, total) == 3;
    if (!bytes)
        sscanf(range, "bytes */%31s", total);
    if (*total && *total != '*')
        session->size = size = atoll(total);
    if (bytes && first <= session->has && last >= session->has) {
        bool ends = last + 1 == size;
        session->has = ends ? size : (last + 1) / MULTIPLE * MULTIPLE;
    }
    if (size >= 0 && session->has == size)
        finish(request, bucket, session, answer);
    else
        tell(session, answer);
}

void of_session(const struct request *request, struct bucket *bucket, struct answer *answer)
{
    const char *id = found(&request->query, "upload_id");
    struct session *session = look_up(&bucket->sessions, id);
    if (!session)
        google_refuse(answer, 404, "notFound", "No such session, says the sink.");
    else if (!strcmp(request->method, "PUT"))
        go_on(request, bucket, session, answer);
    else if (!strcmp(request->method, "DELETE")) {
        take_out(&bucket->sessions, id);
        free_session(session);
        answer->status = 499;
    } else
        google_refuse(answer, 501, "notImplemented", "The sink cannot do this.");
}
