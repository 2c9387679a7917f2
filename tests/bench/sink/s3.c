/* Answers what S3 answers, from names and sizes: the bytes were thrown away.
 *
 * - An ETag is the Content-MD5 that came with the body, where one came; that of an object in parts is
 *   made of its parts' as S3 makes it. Else it is made up, as that of an encrypted object looks.
 * - Checksums are repeated as they came. Those of a body that was kept are compared, so that whoever
 *   tries it finds that they are.
 * - What no uploader asks for is answered 501.
 */

#include "sink.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all below */
static struct table buckets;
static unsigned long long numbers;

static const char *const nothing[] = {"x-id", NULL};

unsigned long long next_number(void)
{
    return ++numbers;
}

void begin_document(struct answer *answer, const char *root)
{
    add(&answer->headers, "Content-Type: application/xml\r\n");
    add(&answer->body,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<%s xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
        root);
}

void end_document(struct answer *answer, const char *root)
{
    add(&answer->body, "</%s>", root);
}

void refuse(struct answer *answer, int status, const char *code)
{
    answer->status = status;
    add(&answer->headers, "Content-Type: application/xml\r\n");
    add(&answer->body,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<Error><Code>%s</Code><Message>%s, says the sink.</Message></Error>",
        code, code);
}

bool only_asks(const struct request *request, const char *const *names)
{
    for (int i = 0; i < request->query.count; i++) {
        const char *const *name = names;
        while (*name && strcmp(*name, request->query.at[i].name))
            name++;
        if (!*name)
            return false;
    }
    return true;
}

void add_time(struct text *text, time_t when)
{
    char date[32];
    struct tm utc;
    strftime(date, sizeof date, "%FT%T.000Z", gmtime_r(&when, &utc));
    add(text, "%s", date);
}

/* -- what came with a request ----------------------------------------------------------------- */

void add_told(struct text *lines, const struct request *request, bool metadata)
{
    for (int i = 0; i < request->headers.count; i++) {
        const char *name = request->headers.at[i].name;
        bool checksum = starts(name, "x-amz-checksum-") && strcmp(name, "x-amz-checksum-algorithm");
        if (checksum || (metadata && starts(name, "x-amz-meta-")) || !strcmp(name, "x-goog-hash"))
            add(lines, "%s: %s\r\n", name, request->headers.at[i].value);
    }
}

struct object *object_of(const struct request *request, const char *name)
{
    struct object *object = allocated(sizeof *object);
    struct text told = {0};
    unsigned char md5[16];
    const char *given = found(&request->headers, "content-md5");
    object->entry.name = copy_of(name);
    object->size = request->size;
    object->made = time(NULL);
    if (given && decode_base64(given, md5, sizeof md5))
        for (size_t i = 0; i < sizeof md5; i++)
            sprintf(object->etag + 2 * i, "%02x", md5[i]);
    else
        snprintf(object->etag, sizeof object->etag, "%0*llx", DIGITS, next_number());
    add_told(&told, request, true);
    object->told = told.at;
    if (request->whole) {
        object->content = allocated(request->size + 1);
        if (request->size)
            memcpy(object->content, request->body.at, request->size);
    }
    return object;
}

/* Tells whether the bytes are those that the checksums with them mean, as far as they were kept. */
static bool is_damaged(const struct request *request)
{
    const char *crc = found(&request->headers, "x-amz-checksum-crc32c");
    const char *sum = found(&request->headers, "content-md5");
    unsigned char told[16], md5[16];
    if (sum && !decode_base64(sum, told, 16))
        return true;
    if (sum && request->whole && md5_of(request->body.at, request->size, md5) &&
        memcmp(told, md5, 16))
        return true;
    if (crc && !decode_base64(crc, told, 4))
        return true;
    unsigned value = crc && request->whole ? crc32c_of(request->body.at, request->size) : 0;
    unsigned char right[] = {value >> 24, value >> 16, value >> 8, value};
    return crc && request->whole && memcmp(told, right, 4);
}

static bool is_etag(const char *given, const struct object *object)
{
    size_t length = strlen(object->etag);
    given += *given == '"';
    return !strncmp(given, object->etag, length) && (!given[length] || given[length] == '"');
}

bool condition_holds(const struct request *request, const struct object *there,
                     struct answer *answer)
{
    const char *none = found(&request->headers, "if-none-match");
    const char *match = found(&request->headers, "if-match");
    if (match && !there)
        refuse(answer, 404, "NoSuchKey");
    else if ((none && there && *none == '*') || (match && !is_etag(match, there)))
        refuse(answer, 412, "PreconditionFailed");
    else
        return true;
    return false;
}

/* -- objects ---------------------------------------------------------------------------------- */

static void put(const struct request *request, struct bucket *bucket, struct answer *answer)
{
    if (!condition_holds(request, look_up(&bucket->objects, request->key), answer))
        return;
    struct object *object = object_of(request, request->key);
    put_in(bucket, object);
    add(&answer->headers, "ETag: \"%s\"\r\n", object->etag);
    add_told(&answer->headers, request, false);
}

static void copy(const struct request *request, struct bucket *bucket, struct answer *answer)
{
    char *source = copy_of(found(&request->headers, "x-amz-copy-source"));
    decode_percent(source, false);
    char *rest = source + (*source == '/'), *name = strsep(&rest, "/");
    struct bucket *other = look_up(&buckets, name);
    struct object *from = other && rest ? look_up(&other->objects, rest) : NULL;
    if (!from)
        refuse(answer, 404, "NoSuchKey");
    else if (condition_holds(request, look_up(&bucket->objects, request->key), answer)) {
        struct object *object = object_of(request, request->key);
        object->size = from->size;
        free(object->content);
        object->content = NULL;
        if (from->content)
            object->content = memcpy(allocated(from->size + 1), from->content, from->size);
        memcpy(object->etag, from->etag, sizeof object->etag);
        put_in(bucket, object);
        begin_document(answer, "CopyObjectResult");
        add(&answer->body, "<ETag>&quot;%s&quot;</ETag><LastModified>", object->etag);
        add_time(&answer->body, object->made);
        add(&answer->body, "</LastModified>");
        end_document(answer, "CopyObjectResult");
    }
    free(source);
}

void add_content(const struct request *request, const struct object *object,
                 struct answer *answer)
{
    const char *range = found(&request->headers, "range");
    long long first = 0, last = object->size - 1;
    if (range && sscanf(range, "bytes=%lld-%lld", &first, &last) >= 1) {
        if (first >= object->size) {
            clear(&answer->headers);
            refuse(answer, 416, "InvalidRange");
            return;
        }
        last = last < object->size ? last : object->size - 1;
        answer->status = 206;
        add(&answer->headers, "Content-Range: bytes %lld-%lld/%lld\r\n", first, last,
            object->size);
    }
    if (last >= first)
        add_bytes(&answer->body, object->content + first, last - first + 1);
}

static void get(const struct request *request, struct bucket *bucket, struct answer *answer)
{
    struct object *object = look_up(&bucket->objects, request->key);
    bool head = !strcmp(request->method, "HEAD");
    char date[64];
    struct tm utc;
    if (!object || (!head && !object->content)) {
        refuse(answer, object ? 501 : 404, object ? "NotImplemented" : "NoSuchKey");
        return;
    }
    strftime(date, sizeof date, "%a, %d %b %Y %T GMT", gmtime_r(&object->made, &utc));
    add(&answer->headers,
        "ETag: \"%s\"\r\nLast-Modified: %s\r\nContent-Type: binary/octet-stream\r\n%s",
        object->etag, date, object->told ? object->told : "");
    answer->length = head ? object->size : -1;
    if (!head)
        add_content(request, object, answer);
}

static void drop(const struct request *request, struct bucket *bucket, struct answer *answer)
{
    struct object *there = look_up(&bucket->objects, request->key);
    const char *match = found(&request->headers, "if-match");
    if (match && !condition_holds(request, there, answer))
        return;
    if (there)
        take_out(&bucket->objects, request->key);
    free_object(there);
    answer->status = 204;
}

static void of_object(const struct request *request, struct bucket *bucket, struct answer *answer)
{
    const char *method = request->method, *id = found(&request->query, "uploadId");
    bool is_put = !strcmp(method, "PUT"), copies = found(&request->headers, "x-amz-copy-source");
    if (is_put && is_damaged(request))
        refuse(answer, 400, "BadDigest");
    else if (id && !copies)
        of_upload(request, bucket, id, answer);
    else if (!strcmp(method, "POST") && found(&request->query, "uploads"))
        begin_upload(request, bucket, answer);
    else if (!only_asks(request, nothing))
        refuse(answer, 501, "NotImplemented");
    else if (is_put && copies)
        copy(request, bucket, answer);
    else if (is_put)
        put(request, bucket, answer);
    else if (!strcmp(method, "DELETE"))
        drop(request, bucket, answer);
    else if (!strcmp(method, "GET") || !strcmp(method, "HEAD"))
        get(request, bucket, answer);
    else
        refuse(answer, 501, "NotImplemented");
}

/* -- buckets ---------------------------------------------------------------------------------- */

static void make_bucket(const struct request *request, struct answer *answer)
{
    if (!look_up(&buckets, request->bucket))
        add_bucket(&buckets, request->bucket);
    add(&answer->headers, "Location: /%s\r\n", request->bucket);
}

static void drop_bucket(struct bucket *bucket, struct answer *answer)
{
    if (bucket->objects.count) {
        refuse(answer, 409, "BucketNotEmpty");
        return;
    }
    take_out(&buckets, bucket->entry.name);
    free_bucket(bucket);
    answer->status = 204;
}

static void drop_named(const struct request *request, struct bucket *bucket,
                       struct answer *answer)
{
    char *rest = request->body.length ? request->body.at : "";
    for (char *key; (key = element(&rest, "Key"));) {
        unescape(key);
        struct object *there = look_up(&bucket->objects, key);
        if (there)
            take_out(&bucket->objects, key);
        free_object(there);
    }
    begin_document(answer, "DeleteResult");
    end_document(answer, "DeleteResult");
}

static void of_bucket(const struct request *request, struct bucket *bucket, struct answer *answer)
{
    const char *method = request->method;
    bool plain = only_asks(request, nothing);
    if (!strcmp(method, "HEAD") && plain)
        add(&answer->headers, "x-amz-bucket-region: us-east-1\r\n");
    else if (!strcmp(method, "DELETE") && plain)
        drop_bucket(bucket, answer);
    else if (!strcmp(method, "POST") && found(&request->query, "delete"))
        drop_named(request, bucket, answer);
    else if (strcmp(method, "GET"))
        refuse(answer, 501, "NotImplemented");
    else if (found(&request->query, "location")) {
        begin_document(answer, "LocationConstraint");
        end_document(answer, "LocationConstraint");
    } else if (found(&request->query, "uploads"))
        list_uploads(request, bucket, answer);
    else
        list_objects(request, bucket, answer);
}

void answer_to(const struct request *request, struct answer *answer)
{
    pthread_mutex_lock(&lock);
    struct bucket *bucket = look_up(&buckets, request->bucket);
    bool makes = !*request->key && !strcmp(request->method, "PUT") && only_asks(request, nothing);
    if (request->google)
        answer_google(request, &buckets, answer);
    else if (!*request->bucket)
        refuse(answer, 501, "NotImplemented");
    else if (makes)
        make_bucket(request, answer);
    else if (!bucket)
        refuse(answer, 404, "NoSuchBucket");
    else if (*request->key)
        of_object(request, bucket, answer);
    else
        of_bucket(request, bucket, answer);
    pthread_mutex_unlock(&lock);
    if (!strcmp(request->method, "HEAD"))
        clear(&answer->body);
}
