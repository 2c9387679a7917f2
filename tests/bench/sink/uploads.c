/* Answers what concerns objects in parts. */

#include "sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PART_MIN (5LL << 20) /* bytes of every part but the last */
#define NUMBER_MAX 10000

static void add_place(struct answer *answer, const struct bucket *bucket, const char *key)
{
    add(&answer->body, "<Bucket>%s</Bucket><Key>", bucket->entry.name);
    add_escaped(&answer->body, key);
    add(&answer->body, "</Key>");
}

void begin_upload(const struct request *request, struct bucket *bucket, struct answer *answer)
{
    struct upload *upload = allocated(sizeof *upload);
    struct text id = {0}, told = {0};
    add(&id, "%0*llx", DIGITS, next_number());
    add_told(&told, request, true);
    upload->entry.name = id.at;
    upload->key = copy_of(request->key);
    upload->told = told.at;
    upload->begun = time(NULL);
    insert(&bucket->uploads, upload);
    begin_document(answer, "InitiateMultipartUploadResult");
    add_place(answer, bucket, request->key);
    add(&answer->body, "<UploadId>%s</UploadId>", id.at);
    end_document(answer, "InitiateMultipartUploadResult");
}

static void put_part(const struct request *request, struct upload *upload, struct answer *answer)
{
    const char *text = found(&request->query, "partNumber");
    int number = text ? atoi(text) : 0;
    char name[16];
    if (number < 1 || number > NUMBER_MAX) {
        refuse(answer, 400, "InvalidArgument");
        return;
    }
    snprintf(name, sizeof name, "%05d", number);
    struct object *part = object_of(request, name), *there = look_up(&upload->parts, name);
    if (there)
        take_out(&upload->parts, name);
    free_object(there);
    insert(&upload->parts, part);
    add(&answer->headers, "ETag: \"%s\"\r\n", part->etag);
    add_told(&answer->headers, request, false);
}

/* Returns the part that an element of a completion's document names; NULL: it was not sent. */
static struct object *named(char *part, const struct upload *upload)
{
    char name[16], *again = copy_of(part), *rest = again;
    char *number = element(&rest, "PartNumber");
    snprintf(name, sizeof name, "%05d", number ? atoi(number) % (NUMBER_MAX + 1) : 0);
    free(again);
    struct object *there = look_up(&upload->parts, name);
    char *etag = element(&part, "ETag");
    if (!there || !etag)
        return NULL;
    unescape(etag);
    etag += *etag == '"';
    return strncmp(etag, there->etag, strlen(there->etag)) ? NULL : there;
}

/* Makes the object of the parts that a document names; says what is wrong with them, or NULL. */
static const char *whole_of(char *document, const struct upload *upload, struct object *object)
{
    struct text sums = {0};
    struct object *last = NULL;
    unsigned char md5[16];
    const char *wrong = NULL;
    object->size = 0;
    for (char *text; !wrong && (text = element(&document, "Part"));) {
        struct object *part = named(text, upload);
        if (!part)
            wrong = "InvalidPart";
        else if (last && strcmp(last->entry.name, part->entry.name) >= 0)
            wrong = "InvalidPartOrder";
        else if (last && last->size < PART_MIN)
            wrong = "EntityTooSmall";
        else {
            for (int i = 0; i < 16; i++)
                sscanf(part->etag + 2 * i, "%2hhx", md5 + i);
            add_bytes(&sums, md5, sizeof md5);
            object->size += part->size;
            last = part;
        }
    }
    if (!last && !wrong)
        wrong = "MalformedXML";
    if (!wrong) {
        md5_of(sums.at, sums.length, md5);
        for (int i = 0; i < 16; i++)
            sprintf(object->etag + 2 * i, "%02x", md5[i]);
        snprintf(object->etag + DIGITS, ETAG_ROOM - DIGITS, "-%zu", sums.length / sizeof md5);
    }
    let_go(&sums);
    return wrong;
}

static void complete(const struct request *request, struct bucket *bucket, struct upload *upload,
                     struct answer *answer)
{
    struct object *there = look_up(&bucket->objects, request->key);
    if (!condition_holds(request, there, answer))
        return;
    struct object *object = object_of(request, request->key);
    free(object->content); /* the document's */
    object->content = NULL;
    const char *wrong = whole_of(request->body.length ? request->body.at : "", upload, object);
    if (wrong) {
        free_object(object);
        refuse(answer, 400, wrong);
        return;
    }
    struct text told = {0};
    add(&told, "%s%s", upload->told ? upload->told : "", object->told ? object->told : "");
    free(object->told);
    object->told = told.at;
    if (there)
        take_out(&bucket->objects, request->key);
    free_object(there);
    insert(&bucket->objects, object);
    begin_document(answer, "CompleteMultipartUploadResult");
    add_place(answer, bucket, request->key);
    add(&answer->body, "<ETag>&quot;%s&quot;</ETag>", object->etag);
    const char *crc = found(&request->headers, "x-amz-checksum-crc32c");
    if (crc)
        add(&answer->body, "<ChecksumCRC32C>%s</ChecksumCRC32C>", crc);
    end_document(answer, "CompleteMultipartUploadResult");
    take_out(&bucket->uploads, upload->entry.name);
    free_upload(upload);
}

void of_upload(const struct request *request, struct bucket *bucket, const char *id,
               struct answer *answer)
{
    struct upload *upload = look_up(&bucket->uploads, id);
    if (!upload || strcmp(upload->key, request->key))
        refuse(answer, 404, "NoSuchUpload");
    else if (!strcmp(request->method, "PUT"))
        put_part(request, upload, answer);
    else if (!strcmp(request->method, "POST"))
        complete(request, bucket, upload, answer);
    else if (!strcmp(request->method, "GET"))
        list_parts(request, upload, answer);
    else if (!strcmp(request->method, "DELETE")) {
        take_out(&bucket->uploads, id);
        free_upload(upload);
        answer->status = 204;
    } else
        refuse(answer, 501, "NotImplemented");
}
