/* Lists objects, parts and unfinished uploads, in pages. */

#include "sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 1000 /* entries in one answer, as of S3 */

static const char *asked(const struct request *request, const char *name)
{
    const char *value = found(&request->query, name);
    return value ? value : "";
}

static size_t page_of(const struct request *request, const char *name)
{
    const char *value = asked(request, name);
    int most = *value ? atoi(value) : PAGE;
    return most < 0 || most > PAGE ? PAGE : most;
}

static void add_element(struct text *text, const char *name, const char *value)
{
    add(text, "<%s>", name);
    add_escaped(text, value);
    add(text, "</%s>", name);
}

static void add_object(struct text *page, const struct object *object)
{
    add(page, "<Contents>");
    add_element(page, "Key", object->entry.name);
    add(page, "<Size>%lld</Size><ETag>&quot;%s&quot;</ETag><LastModified>", object->size,
        object->etag);
    add_time(page, object->made);
    add(page, "</LastModified><StorageClass>STANDARD</StorageClass></Contents>");
}

/* -- objects ---------------------------------------------------------------------------------- */

struct listing {
    const char *prefix, *delimiter, *after;
    size_t most, count;
    struct text page, last; /* what is listed; the name of its last entry */
};

/* Lists an object, or the folder that it is in; false: the page is full. */
static bool list_one(struct listing *now, const struct object *object)
{
    const char *name = object->entry.name;
    const char *cut = *now->delimiter ? strstr(name + strlen(now->prefix), now->delimiter) : NULL;
    struct text entry = {0};
    add_bytes(&entry, name, cut ? cut + strlen(now->delimiter) - name : (long)strlen(name));
    bool passed = strcmp(entry.at, now->after) <= 0 ||
                  (now->last.length && !strcmp(entry.at, now->last.at));
    bool full = !passed && now->count == now->most;
    if (!passed && !full) {
        if (cut) {
            add(&now->page, "<CommonPrefixes>");
            add_element(&now->page, "Prefix", entry.at);
            add(&now->page, "</CommonPrefixes>");
        } else {
            add_object(&now->page, object);
        }
        clear(&now->last);
        add_bytes(&now->last, entry.at, entry.length);
        now->count++;
    }
    let_go(&entry);
    return !full;
}

void list_objects(const struct request *request, const struct bucket *bucket,
                  struct answer *answer)
{
    static const char *const known[] = {
        "list-type", "prefix", "delimiter", "max-keys", "marker", "start-after",
        "continuation-token", "encoding-type", "fetch-owner", "x-id", NULL};
    bool second = !strcmp(asked(request, "list-type"), "2");
    const char *token = found(&request->query, "continuation-token");
    struct listing now = {
        asked(request, "prefix"), asked(request, "delimiter"),
        token ? token : asked(request, second ? "start-after" : "marker"),
        page_of(request, "max-keys"), 0, {0}, {0}};
    if (!only_asks(request, known)) {
        refuse(answer, 501, "NotImplemented");
        return;
    }
    bool after = strcmp(now.after, now.prefix) > 0;
    size_t place = place_of(&bucket->objects, after ? now.after : now.prefix);
    bool truncated = false;
    for (; place < bucket->objects.count && !truncated; place++) {
        struct object *object = (struct object *)bucket->objects.at[place];
        if (!starts(object->entry.name, now.prefix))
            break;
        truncated = !list_one(&now, object);
    }
    begin_document(answer, "ListBucketResult");
    add_element(&answer->body, "Prefix", now.prefix);
    add(&answer->body, "<KeyCount>%zu</KeyCount><IsTruncated>%s</IsTruncated>", now.count,
        truncated ? "true" : "false");
    if (truncated && now.last.length)
        add_element(&answer->body, second ? "NextContinuationToken" : "NextMarker", now.last.at);
    if (now.page.length)
        add_bytes(&answer->body, now.page.at, now.page.length);
    end_document(answer, "ListBucketResult");
    let_go(&now.page);
    let_go(&now.last);
}

/* -- parts, and uploads ----------------------------------------------------------------------- */

void list_parts(const struct request *request, const struct upload *upload, struct answer *answer)
{
    char after[16];
    size_t most = page_of(request, "max-parts");
    snprintf(after, sizeof after, "%05d", atoi(asked(request, "part-number-marker")) + 1);
    size_t first = place_of(&upload->parts, after), last = first;
    begin_document(answer, "ListPartsResult");
    add_element(&answer->body, "Key", upload->key);
    add_element(&answer->body, "UploadId", upload->entry.name);
    for (; last < upload->parts.count && last - first < most; last++) {
        const struct object *part = (struct object *)upload->parts.at[last];
        add(&answer->body,
            "<Part><PartNumber>%d</PartNumber><Size>%lld</Size><ETag>&quot;%s&quot;</ETag>"
            "<LastModified>",
            atoi(part->entry.name), part->size, part->etag);
        add_time(&answer->body, part->made);
        add(&answer->body, "</LastModified></Part>");
    }
    bool truncated = last < upload->parts.count;
    if (truncated && last > first)
        add(&answer->body, "<NextPartNumberMarker>%d</NextPartNumberMarker>",
            atoi(upload->parts.at[last - 1]->name));
    add(&answer->body, "<IsTruncated>%s</IsTruncated>", truncated ? "true" : "false");
    end_document(answer, "ListPartsResult");
}

/* In the order in which they were begun; S3 has that of their keys first. */
void list_uploads(const struct request *request, const struct bucket *bucket,
                  struct answer *answer)
{
    const char *prefix = asked(request, "prefix"), *after = asked(request, "upload-id-marker");
    size_t most = page_of(request, "max-uploads"), count = 0;
    const struct upload *last = NULL;
    bool truncated = false;
    begin_document(answer, "ListMultipartUploadsResult");
    for (size_t i = place_of(&bucket->uploads, after); i < bucket->uploads.count; i++) {
        const struct upload *upload = (struct upload *)bucket->uploads.at[i];
        if (!starts(upload->key, prefix) || !strcmp(upload->entry.name, after))
            continue;
        if (count == most) {
            truncated = true;
            break;
        }
        add(&answer->body, "<Upload>");
        add_element(&answer->body, "Key", upload->key);
        add(&answer->body, "<UploadId>%s</UploadId><Initiated>", upload->entry.name);
        add_time(&answer->body, upload->begun);
        add(&answer->body, "</Initiated></Upload>");
        last = upload;
        count++;
    }
    if (truncated && last) {
        add_element(&answer->body, "NextKeyMarker", last->key);
        add_element(&answer->body, "NextUploadIdMarker", last->entry.name);
    }
    add(&answer->body, "<IsTruncated>%s</IsTruncated>", truncated ? "true" : "false");
    end_document(answer, "ListMultipartUploadsResult");
}
