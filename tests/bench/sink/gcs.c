/* Answers what Google Cloud Storage's JSON API answers, from names and sizes.
 *
 * - Generations are times there, in microseconds; here they count from one on.
 * - Checksums are believed as they were told, compared where the bytes were kept, and put together
 *   where objects are. An object without one says none.
 * - Its XML API is S3's (`s3.c`), with checksums in `x-goog-hash`.
 * - What is asked for by `fields` is not looked at: whoever asks gets all.
 */

#include "sink.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 1000                             /* entries in one answer */
#define FIRST_GENERATION 1700000000000000ULL /* in 2023 */
#define SOURCES_MAX 32                        /* of one compose */
#define STEPS 8                               /* of a path: bucket, o, name, verb, b, bucket, o, name */

void google_refuse(struct answer *answer, int status, const char *reason, const char *message)
{
    clear(&answer->body);
    answer->status = status;
    add(&answer->headers, "Content-Type: application/json; charset=UTF-8\r\n");
    add(&answer->body,
        "{\"error\":{\"code\":%d,\"message\":\"%s\",\"errors\":[{\"message\":\"%s\","
        "\"domain\":\"global\",\"reason\":\"%s\"}]}}",
        status, message, message, reason);
}

static void no_object(struct answer *answer)
{
    google_refuse(answer, 404, "notFound", "No such object, says the sink.");
}

static void not_here(struct answer *answer)
{
    google_refuse(answer, 501, "notImplemented", "The sink cannot do this.");
}

bool generation_is(const char *wanted, const struct object *there, struct answer *answer)
{
    if (!wanted || strtoull(wanted, NULL, 10) == (there ? there->generation : 0))
        return true;
    google_refuse(answer, 412, "conditionNotMet",
                  "At least one of the pre-conditions you specified did not hold.");
    return false;
}

static const char *condition_of(const struct request *request)
{
    return found(&request->query, "ifGenerationMatch");
}

const char *document_of(const struct request *request)
{
    return request->body.length ? request->body.at : "{}";
}

/* -- resources -------------------------------------------------------------------------------- */

bool told_crc32c(const char *text, unsigned *crc32c)
{
    unsigned char bytes[4];
    if (!text || !decode_base64(text, bytes, sizeof bytes))
        return false;
    *crc32c = (unsigned)bytes[0] << 24 | bytes[1] << 16 | bytes[2] << 8 | bytes[3];
    return true;
}

static void add_resource(struct text *to, const struct bucket *bucket, const struct object *object)
{
    add(to, "{\"kind\":\"storage#object\",\"name\":");
    add_json(to, object->entry.name);
    add(to,
        ",\"bucket\":\"%s\",\"generation\":\"%llu\",\"metageneration\":\"1\",\"size\":\"%lld\","
        "\"contentType\":\"application/octet-stream\",\"storageClass\":\"STANDARD\"",
        bucket->entry.name, object->generation, object->size);
    if (object->summed) {
        unsigned sum = object->crc32c;
        unsigned char bytes[] = {sum >> 24, sum >> 16, sum >> 8, sum}, base64[16];
        EVP_EncodeBlock(base64, bytes, sizeof bytes);
        add(to, ",\"crc32c\":\"%s\"", base64);
    }
    if (object->metadata)
        add(to, ",\"metadata\":%s", object->metadata);
    add(to, ",\"timeCreated\":\"");
    add_time(to, object->made);
    add(to, "\",\"updated\":\"");
    add_time(to, object->made);
    add(to, "\"}");
}

/* Makes what a document describes; its bytes are still to be told. Takes the name. */
struct object *google_object(char *name, const char *document)
{
    struct object *object = allocated(sizeof *object);
    object->entry.name = name;
    object->metadata = json_copy(json_member(document, "metadata"));
    object->generation = FIRST_GENERATION + next_number();
    snprintf(object->etag, sizeof object->etag, "%0*llx", DIGITS, object->generation);
    object->made = time(NULL);
    return object;
}

void believe(struct object *object, const char *document)
{
    char *told = json_string(json_member(document, "crc32c"));
    object->summed = told_crc32c(told, &object->crc32c);
    free(told);
}

/* Puts an object into its bucket, and tells of it, if the condition holds and its checksum is right;
 * takes it in any case. */
void google_keep(struct bucket *bucket, struct object *object, const char *condition,
                 struct answer *answer)
{
    struct object *there = look_up(&bucket->objects, object->entry.name);
    unsigned right = object->content ? crc32c_of(object->content, object->size) : 0;
    bool damaged = object->content && object->summed && object->crc32c != right;
    if (damaged)
        google_refuse(answer, 400, "invalid", "Provided CRC32C doesn't match calculated CRC32C.");
    if (damaged || !generation_is(condition, there, answer)) {
        free_object(object);
        return;
    }
    if (object->content) {
        object->crc32c = right;
        object->summed = true;
    }
    put_in(bucket, object);
    add_resource(&answer->body, bucket, object);
}

/* -- objects ---------------------------------------------------------------------------------- */

static void insert_whole(const struct request *request, struct bucket *bucket,
                         struct answer *answer)
{
    const char *document = request->document.length ? request->document.at : "{}";
    char *name = json_string(json_member(document, "name"));
    if (!name) {
        google_refuse(answer, 400, "required", "An object needs a name.");
        return;
    }
    struct object *object = google_object(name, document);
    believe(object, document);
    object->size = request->size;
    if (request->whole) {
        object->content = allocated(request->size + 1);
        if (request->size)
            memcpy(object->content, request->body.at, request->size);
    }
    google_keep(bucket, object, condition_of(request), answer);
}

static void get(const struct request *request, const struct bucket *bucket,
                const struct object *object, struct answer *answer)
{
    const char *alt = found(&request->query, "alt");
    if (!alt || strcmp(alt, "media")) {
        add(&answer->headers, "Content-Type: application/json; charset=UTF-8\r\n");
        add_resource(&answer->body, bucket, object);
    } else if (!object->content)
        not_here(answer);
    else
        add_content(request, object, answer);
}

static void drop(const struct request *request, struct bucket *bucket, struct object *object,
                 struct answer *answer)
{
    if (!generation_is(condition_of(request), object, answer))
        return;
    take_out(&bucket->objects, object->entry.name);
    free_object(object);
    answer->status = 204;
}

/* Adds to an object what a source of a composition names; false: it is not there. */
static bool append(struct object *object, const struct bucket *bucket, const char *source)
{
    char *name = json_string(json_member(source, "name"));
    char *generation = json_string(json_member(source, "generation"));
    struct object *part = name ? look_up(&bucket->objects, name) : NULL;
    if (part && generation && strtoull(generation, NULL, 10) != part->generation)
        part = NULL;
    free(name);
    free(generation);
    if (!part)
        return false;
    object->summed = object->summed && part->summed;
    object->crc32c = crc32c_joined(object->crc32c, part->crc32c, part->size);
    object->size += part->size;
    return true;
}

static void compose(const struct request *request, struct bucket *bucket, const char *name,
                    struct answer *answer)
{
    const char *document = document_of(request), *source = NULL;
    const char *sources = json_member(document, "sourceObjects");
    struct object *object = google_object(copy_of(name), json_member(document, "destination"));
    int count = 0;
    object->summed = true;
    while ((source = json_item(sources, source)) && append(object, bucket, source))
        count++;
    if (source)
        no_object(answer);
    else if (!count || count > SOURCES_MAX)
        google_refuse(answer, 400, "invalid", "A composition has from 1 to 32 sources.");
    else {
        google_keep(bucket, object, condition_of(request), answer);
        return;
    }
    free_object(object);
}

static void rewrite(const struct request *request, const struct object *from,
                    struct bucket *bucket, const char *name, struct answer *answer)
{
    const char *generation = found(&request->query, "sourceGeneration");
    if (generation && strtoull(generation, NULL, 10) != from->generation) {
        no_object(answer);
        return;
    }
    struct object *object = google_object(copy_of(name), document_of(request));
    if (!object->metadata && from->metadata)
        object->metadata = copy_of(from->metadata);
    object->size = from->size;
    object->summed = from->summed;
    object->crc32c = from->crc32c;
    if (from->content)
        object->content = memcpy(allocated(from->size + 1), from->content, from->size);
    long long size = object->size;
    add(&answer->body,
        "{\"kind\":\"storage#rewriteResponse\",\"done\":true,\"objectSize\":\"%lld\","
        "\"totalBytesRewritten\":\"%lld\",\"resource\":",
        size, size);
    google_keep(bucket, object, condition_of(request), answer);
    if (answer->status == 200)
        add(&answer->body, "}");
}

static void list(const struct request *request, const struct bucket *bucket, struct answer *answer)
{
    const char *prefix = found(&request->query, "prefix");
    const char *after = found(&request->query, "pageToken");
    const char *wanted = found(&request->query, "maxResults");
    size_t count = 0, most = wanted && atoi(wanted) > 0 ? atoi(wanted) : PAGE;
    const struct object *last = NULL;
    bool truncated = false;
    if (found(&request->query, "delimiter") || found(&request->query, "startOffset")) {
        not_here(answer);
        return;
    }
    most = most < PAGE ? most : PAGE;
    prefix = prefix ? prefix : "";
    add(&answer->body, "{\"kind\":\"storage#objects\",\"items\":[");
    for (size_t i = place_of(&bucket->objects, after ? after : prefix); i < bucket->objects.count;
         i++) {
        const struct object *object = (struct object *)bucket->objects.at[i];
        if (after && !strcmp(object->entry.name, after))
            continue;
        if (!starts(object->entry.name, prefix))
            break;
        if ((truncated = count == most))
            break;
        add(&answer->body, "%s", count++ ? "," : "");
        add_resource(&answer->body, bucket, object);
        last = object;
    }
    add(&answer->body, "]");
    if (truncated) {
        add(&answer->body, ",\"nextPageToken\":");
        add_json(&answer->body, last->entry.name);
    }
    add(&answer->body, "}");
}

/* -- where a request goes --------------------------------------------------------------------- */

static void of_object(const struct request *request, struct bucket *bucket, char **steps,
                      struct table *buckets, struct answer *answer)
{
    const char *method = request->method, *name = steps[2], *verb = steps[3];
    struct object *there = look_up(&bucket->objects, name);
    if (verb && !strcmp(verb, "compose"))
        compose(request, bucket, name, answer);
    else if (!there)
        no_object(answer);
    else if (verb) {
        struct bucket *other = steps[5] ? look_up(buckets, steps[5]) : NULL;
        if (strcmp(verb, "rewriteTo") || !other || !steps[7])
            not_here(answer);
        else
            rewrite(request, there, other, steps[7], answer);
    } else if (!strcmp(method, "GET"))
        get(request, bucket, there, answer);
    else if (!strcmp(method, "DELETE"))
        drop(request, bucket, there, answer);
    else
        not_here(answer);
}

static void of_bucket(const struct request *request, struct bucket *bucket,
                      struct table *buckets, struct answer *answer)
{
    if (!strcmp(request->method, "DELETE") && bucket->objects.count)
        google_refuse(answer, 409, "conflict", "The bucket you tried to delete is not empty.");
    else if (!strcmp(request->method, "DELETE")) {
        take_out(buckets, bucket->entry.name);
        free_bucket(bucket);
        answer->status = 204;
    } else
        add(&answer->body, "{\"kind\":\"storage#bucket\",\"name\":\"%s\"}", bucket->entry.name);
}

static void make_bucket(const struct request *request, struct table *buckets,
                        struct answer *answer)
{
    char *name = json_string(json_member(document_of(request), "name"));
    if (!name || look_up(buckets, name))
        google_refuse(answer, 409, "conflict", "Your previous request to create the bucket won.");
    else
        of_bucket(request, add_bucket(buckets, name), buckets, answer);
    free(name);
}

static void upload(const struct request *request, struct bucket *bucket, struct answer *answer)
{
    const char *type = found(&request->query, "uploadType");
    if (found(&request->query, "upload_id"))
        of_session(request, bucket, answer);
    else if (type && !strcmp(type, "multipart"))
        insert_whole(request, bucket, answer);
    else if (type && !strcmp(type, "resumable"))
        begin_session(request, bucket, answer);
    else
        not_here(answer);
}

void answer_google(const struct request *request, struct table *buckets, struct answer *answer)
{
    char *steps[STEPS + 1] = {NULL}, *rest = strstr(request->google, GOOGLE_PATH);
    int count = 0;
    if (!rest) { /* a token; nothing that comes with one is looked at */
        add(&answer->body,
            "{\"access_token\":\"sink\",\"expires_in\":3599,\"token_type\":\"Bearer\"}");
        return;
    }
    rest += strlen(GOOGLE_PATH);
    rest += *rest == '/';
    while (count < STEPS && (steps[count] = strsep(&rest, "/")))
        decode_percent(steps[count++], false);
    struct bucket *bucket = look_up(buckets, steps[0]);
    if (!*steps[0] && !strcmp(request->method, "POST"))
        make_bucket(request, buckets, answer);
    else if (!bucket)
        google_refuse(answer, 404, "notFound", "The specified bucket does not exist.");
    else if (!steps[1])
        of_bucket(request, bucket, buckets, answer);
    else if (starts(request->google, "upload/"))
        upload(request, bucket, answer);
    else if (steps[2])
        of_object(request, bucket, steps, buckets, answer);
    else if (!strcmp(request->method, "GET"))
        list(request, bucket, answer);
    else
        not_here(answer);
}
