/* Holds buckets, objects and unfinished uploads by name. */

#include "sink.h"

#include <stdlib.h>
#include <string.h>

size_t place_of(const struct table *table, const char *name)
{
    size_t low = 0, high = table->count;
    if (high && strcmp(table->at[high - 1]->name, name) < 0)
        return high; /* names mostly come in order */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(table->at[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void *look_up(const struct table *table, const char *name)
{
    size_t place = place_of(table, name);
    if (place == table->count || strcmp(table->at[place]->name, name))
        return NULL;
    return table->at[place];
}

void insert(struct table *table, void *entry)
{
    if (table->count == table->room) {
        table->room = table->room ? 2 * table->room : 16;
        table->at = realloc(table->at, table->room * sizeof *table->at);
        if (!table->at)
            abort();
    }
    size_t place = place_of(table, ((struct entry *)entry)->name);
    struct entry **here = table->at + place;
    memmove(here + 1, here, (table->count++ - place) * sizeof *here);
    *here = entry;
}

void take_out(struct table *table, const char *name)
{
    struct entry **here = table->at + place_of(table, name);
    memmove(here, here + 1, (table->at + --table->count - here) * sizeof *here);
}

void free_object(struct object *object)
{
    if (!object)
        return;
    free(object->entry.name);
    free(object->told);
    free(object->content);
    free(object->metadata);
    free(object);
}

void free_upload(struct upload *upload)
{
    if (!upload)
        return;
    for (size_t i = 0; i < upload->parts.count; i++)
        free_object((struct object *)upload->parts.at[i]);
    free(upload->parts.at);
    free(upload->entry.name);
    free(upload->key);
    free(upload->told);
    free(upload);
}

void free_session(struct session *session)
{
    free(session->entry.name);
    free(session->document);
    free(session->condition);
    free(session);
}

void free_bucket(struct bucket *bucket)
{
    for (size_t i = 0; i < bucket->uploads.count; i++)
        free_upload((struct upload *)bucket->uploads.at[i]);
    for (size_t i = 0; i < bucket->sessions.count; i++)
        free_session((struct session *)bucket->sessions.at[i]);
    free(bucket->uploads.at);
    free(bucket->sessions.at);
    free(bucket->objects.at);
    free(bucket->entry.name);
    free(bucket);
}

struct bucket *add_bucket(struct table *buckets, const char *name)
{
    struct bucket *bucket = allocated(sizeof *bucket);
    bucket->entry.name = copy_of(name);
    insert(buckets, bucket);
    return bucket;
}

void put_in(struct bucket *bucket, struct object *object)
{
    struct object *there = look_up(&bucket->objects, object->entry.name);
    if (there) {
        take_out(&bucket->objects, there->entry.name);
        free_object(there);
    }
    insert(&bucket->objects, object);
}
