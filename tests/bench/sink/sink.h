/* Shares what the files of the sink know of each other.
 *
 * text.c      strings that grow; percent, XML, base64, digests
 * records.c   TLS
 * wire.c      bytes of a connection, by TLS or plain
 * http.c      requests and answers
 * body.c      the bodies of requests
 * objects.c   buckets, objects, unfinished uploads, in the order of their names
 * s3.c        what a request means
 * uploads.c   what it means to an object in parts
 * lists.c     what is listed
 * main.c      the listener
 */

#ifndef SINK_H
#define SINK_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

#define ETAG_ROOM 64    /* 32 digits, a dash, the number of parts */
#define DIGITS 32       /* of an MD5 */
#define KEPT (4 << 10)  /* bytes of a body up to which it is kept, checked, and can be read again */

/* -- text.c ----------------------------------------------------------------------------------- */

struct text {
    char *at; /* ends with a NUL */
    size_t length, room;
};

void add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void add_bytes(struct text *text, const void *bytes, size_t length);
void add_escaped(struct text *text, const char *plain); /* for XML */
void clear(struct text *text);                          /* keeps the room */
void let_go(struct text *text);

void *allocated(size_t size); /* zeros; ends the program where there is no memory */
char *copy_of(const char *string);
bool starts(const char *string, const char *prefix);
void decode_percent(char *string, bool plus); /* in place; plus: `+` is a space, as in a query */
char *element(char **at, const char *name);   /* the content of the next one; NULL: none */
void unescape(char *string);                  /* what an element has, in place */
bool md5_of(const void *bytes, size_t length, unsigned char md5[16]);
bool decode_base64(const char *string, unsigned char *bytes, size_t length);
unsigned crc32c_of(const void *bytes, size_t length);
void make_crc32c(void);

/* -- records.c, wire.c ------------------------------------------------------------------------ */

struct connection {
    int socket;
    SSL *tls; /* NULL: plain */
    struct records *records; /* that come by TLS */
    char *in; /* what came and was not used yet: from `from` up to `to` */
    size_t from, to;
};

#define RECORD ((16 << 10) + 256) /* bytes of a TLS record at most, without its head */

SSL_CTX *tls_of(const char *chain, const char *key);     /* NULL: they cannot be read */
struct records *accept_tls(SSL *tls, int socket);        /* NULL: the handshake failed */
ssize_t read_records(struct records *, void *, size_t);  /* at most so many bytes; 0: the end */
ssize_t skip_records(struct records *, long long most);  /* as it, and throws them away */
void end_tls(struct records *records);

bool fill(struct connection *peer); /* each of these is false at the connection's end */
bool take(struct connection *peer, char *to, size_t length);
bool discard(struct connection *peer, long long length);
bool give(struct connection *peer, const char *bytes, size_t length);

#define IN_ROOM (64 << 10) /* bytes of a request's head at most */

/* -- http.c, body.c ------------------------------------------------------------------------------- */

#define PAIRS 64

struct pairs {
    struct {
        char *name, *value;
    } at[PAIRS];
    int count;
};

struct request {
    char *method, *bucket, *key; /* into `head` */
    struct pairs query, headers; /* names of headers in lower case, those of a trailer with them */
    char head[IN_ROOM + 1];
    char trailer[KEPT]; /* what came after a chunked body */
    long long size;     /* bytes of the body, without its chunks' heads */
    struct text body;   /* as far as it is kept */
    bool whole;         /* all of it is */
};

struct answer {
    int status;
    struct text headers, body; /* lines that end with \r\n; a document, or the bytes of an object */
    long long length;          /* to be told where there is no body; -1: that of the body */
};

const char *found(const struct pairs *pairs, const char *name); /* NULL: not there */
bool parse_lines(char *lines, struct pairs *headers);           /* in place, up to an empty one */
bool take_body(struct connection *peer, struct request *request); /* false: no whole body came */
void serve(struct connection *peer);

/* -- objects.c -------------------------------------------------------------------------------- */

struct entry {
    char *name;
};

struct table {
    struct entry **at; /* in byte order of their names */
    size_t count, room;
};

struct object { /* or a part of one */
    struct entry entry;
    long long size;
    char etag[ETAG_ROOM];
    char *told;    /* lines of its metadata and checksums; NULL: none */
    char *content; /* NULL: it was thrown away */
    time_t made;
};

struct bucket {
    struct entry entry;
    struct table objects, uploads;
};

struct upload { /* one in parts that is not finished; its name is its id */
    struct entry entry;
    char *key, *told;
    struct table parts; /* named by their numbers, of five digits */
    time_t begun;
};

size_t place_of(const struct table *table, const char *name); /* of the first that is not below */
void *look_up(const struct table *table, const char *name);   /* NULL: not there */
void insert(struct table *table, void *entry);
void take_out(struct table *table, const char *name);
void free_object(struct object *object); /* NULL is nothing, as for the next two */
void free_upload(struct upload *upload);
void free_bucket(struct bucket *bucket);

/* -- s3.c, uploads.c, lists.c ----------------------------------------------------------------- */

void answer_to(const struct request *request, struct answer *answer);
void refuse(struct answer *answer, int status, const char *code);
void begin_document(struct answer *answer, const char *root);
void end_document(struct answer *answer, const char *root);
bool condition_holds(const struct request *request, const struct object *there, struct answer *);
struct object *object_of(const struct request *request, const char *name);
void add_told(struct text *lines, const struct request *request, bool metadata);
void add_time(struct text *text, time_t when); /* as XML has it */
unsigned long long next_number(void);
bool only_asks(const struct request *request, const char *const *names);

void begin_upload(const struct request *request, struct bucket *bucket, struct answer *answer);
void of_upload(const struct request *, struct bucket *, const char *id, struct answer *);

void list_objects(const struct request *, const struct bucket *, struct answer *);
void list_parts(const struct request *, const struct upload *, struct answer *);
void list_uploads(const struct request *, const struct bucket *, struct answer *);

#endif
