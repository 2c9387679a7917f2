/* Shares what the files of the sink know of each other.
 *
 * text.c      strings that grow; percent, XML, base64, digests
 * records.c   TLS
 * wire.c      bytes of a connection, by TLS or plain
 * http.c      requests and answers
 * body.c      the bodies of requests
 * related.c   those that are a document and an object's bytes
 * objects.c   buckets, objects, unfinished uploads, in the order of their names
 * s3.c        what a request of S3 means
 * uploads.c   what it means to an object in parts
 * lists.c     what is listed
 * gcs.c       what a request of Google Cloud Storage means
 * sessions.c  what it means to a resumable session
 * json.c      JSON
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
unsigned crc32c_joined(unsigned first, unsigned second, long long size); /* of the second */
void make_crc32c(void);

/* -- json.c ----------------------------------------------------------------------------------- */

const char *json_member(const char *object, const char *name);     /* where its value is, or NULL */
const char *json_item(const char *array, const char *before);      /* the first, the next, or NULL */
char *json_copy(const char *value);                                /* as it is written, to be freed */
char *json_string(const char *value);                              /* as it is meant; NULL for NULL */
void add_json(struct text *text, const char *plain);               /* as a string */

/* -- records.c, wire.c ------------------------------------------------------------------------ */

struct connection {
    int socket;
    SSL *tls; /* NULL: plain */
    struct records *records; /* that come by TLS */
    char *in; /* what came and was not used yet: from `from` up to `to` */
    size_t from, to;
    struct timespec begun; /* when its body began to be received */
    long long received;    /* bytes of it */
};

struct line { /* what connections are like, instead of as quick as this machine */
    long long rate; /* bytes per second that each receives of bodies; 0: no limit */
    long wait;      /* microseconds before each answer */
};
extern struct line line;

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
void begin_pace(struct connection *peer);

#define IN_ROOM (64 << 10) /* bytes of a request's head at most */

/* -- http.c, body.c ------------------------------------------------------------------------------- */

#define PAIRS 64
#define GOOGLE_PATH "storage/v1/b"

struct pairs {
    struct {
        char *name, *value;
    } at[PAIRS];
    int count;
};

struct request {
    char *method, *bucket, *key; /* into `head` */
    char *google;                /* the path as it came, if it is one of Google's */
    bool encrypted;
    struct pairs query, headers; /* names of headers in lower case, those of a trailer with them */
    char head[IN_ROOM + 1];
    char trailer[KEPT]; /* what came after a chunked body */
    long long size;     /* bytes of the body, without its chunks' heads */
    struct text body;   /* as far as it is kept */
    bool whole;         /* all of it is */
    struct text document; /* that came with it in one body */
};

struct answer {
    int status;
    struct text headers, body; /* lines that end with \r\n; a document, or the bytes of an object */
    long long length;          /* to be told where there is no body; -1: that of the body */
};

const char *found(const struct pairs *pairs, const char *name); /* NULL: not there */
bool parse_lines(char *lines, struct pairs *headers);           /* in place, up to an empty one */
bool take_body(struct connection *peer, struct request *request); /* false: no whole body came */
bool take_related(struct connection *peer, struct request *request, long long length);
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
    unsigned long long generation; /* the rest is Google's */
    char *metadata;                /* as JSON; NULL: none */
    unsigned crc32c;
    bool summed; /* that is known */
};

struct bucket {
    struct entry entry;
    struct table objects, uploads, sessions;
};

struct upload { /* one in parts that is not finished; its name is its id */
    struct entry entry;
    char *key, *told;
    struct table parts; /* named by their numbers, of five digits */
    time_t begun;
};

struct session { /* of Google's; its name is its id */
    struct entry entry;
    char *document, *condition; /* that it was opened with; NULL: none */
    long long size, has;        /* bytes that it will have, or -1; and has */
};

size_t place_of(const struct table *table, const char *name); /* of the first that is not below */
void *look_up(const struct table *table, const char *name);   /* NULL: not there */
void insert(struct table *table, void *entry);
void take_out(struct table *table, const char *name);
void free_object(struct object *object); /* NULL is nothing, as for the next two */
void free_upload(struct upload *upload);
void free_session(struct session *session);
void free_bucket(struct bucket *bucket);
struct bucket *add_bucket(struct table *buckets, const char *name);
void put_in(struct bucket *bucket, struct object *object); /* in the place of what has its name */

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
void add_content(const struct request *, const struct object *, struct answer *);
bool only_asks(const struct request *request, const char *const *names);

void begin_upload(const struct request *request, struct bucket *bucket, struct answer *answer);
void of_upload(const struct request *, struct bucket *, const char *id, struct answer *);

void list_objects(const struct request *, const struct bucket *, struct answer *);
void list_parts(const struct request *, const struct upload *, struct answer *);
void list_uploads(const struct request *, const struct bucket *, struct answer *);

/* -- gcs.c, sessions.c ------------------------------------------------------------------------ */

void answer_google(const struct request *request, struct table *buckets, struct answer *answer);
void google_refuse(struct answer *answer, int status, const char *reason, const char *message);
bool generation_is(const char *wanted, const struct object *there, struct answer *answer);
const char *document_of(const struct request *request);
bool told_crc32c(const char *text, unsigned *crc32c); /* false: it is none */
struct object *google_object(char *name, const char *document);
void believe(struct object *object, const char *document); /* the checksum that it tells */
void google_keep(struct bucket *, struct object *, const char *condition, struct answer *);

void begin_session(const struct request *request, struct bucket *bucket, struct answer *answer);
void of_session(const struct request *request, struct bucket *bucket, struct answer *answer);

#endif
