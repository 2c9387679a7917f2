/* Takes the body of a multipart/related upload: a document about an object, and its bytes.
 *
 * Only the document is kept, and what follows the object's bytes, by whose length it is known where
 * they end: the bytes themselves are thrown away as others are (RFC 2387; RFC 2046, 5.1).
 */

#include "sink.h"

#include <string.h>

#define HEAD_MAX (64 << 10) /* bytes before those of the object; metadata have at most 8 KiB */
#define TAIL 256            /* bytes in which the last boundary is; one has at most 70 */
#define EMPTY "\r\n\r\n"

/* Takes up to an empty line. */
static bool take_part_head(struct connection *peer, struct text *head, long long *left)
{
    size_t before = head->length;
    while (head->length - before < 4 || strcmp(head->at + head->length - 4, EMPTY)) {
        char letter;
        if (head->length > HEAD_MAX || !*left || !take(peer, &letter, 1))
            return false;
        add_bytes(head, &letter, 1);
        --*left;
    }
    return true;
}

/* Takes the boundary, the heads of both parts, and the document between them, which it keeps. */
static bool take_document(struct connection *peer, struct request *request, struct text *head,
                          long long *left)
{
    if (!take_part_head(peer, head, left))
        return false;
    size_t begin = head->length;
    if (!take_part_head(peer, head, left))
        return false;
    size_t line = strcspn(head->at, "\r");
    char *boundary = allocated(line + 3);
    memcpy(memcpy(boundary, "\r\n", 2) + 2, head->at, line);
    char *end = strstr(head->at + begin, boundary);
    clear(&request->document);
    if (end)
        add_bytes(&request->document, head->at + begin, end - head->at - begin);
    clear(head);
    add(head, "%s--", boundary);
    free(boundary);
    return end;
}

bool take_related(struct connection *peer, struct request *request, long long left)
{
    struct text head = {0}, tail = {0};
    bool taken = take_document(peer, request, &head, &left);
    long long thrown = left > KEPT + TAIL ? left - TAIL : 0;
    if (taken && thrown)
        taken = discard(peer, thrown);
    char some[KEPT + TAIL];
    taken = taken && take(peer, some, left - thrown);
    if (taken)
        add_bytes(&tail, some, left - thrown);
    char *end = taken ? memmem(tail.at, tail.length, head.at, head.length) : NULL;
    if (end) {
        request->size = thrown + (end - tail.at);
        request->whole = !thrown;
        clear(&request->body);
        if (request->whole)
            add_bytes(&request->body, tail.at, request->size);
    }
    let_go(&head);
    let_go(&tail);
    return end;
}
