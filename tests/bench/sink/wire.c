/* Moves the bytes of a connection, by TLS or plain, as cheaply as they can be read.
 *
 * - Plain bodies are thrown away inside the kernel (MSG_TRUNC, tcp(7)): they are never copied. Those
 *   that come by TLS have to be decrypted, as at any server.
 * - While a large body arrives the kernel gathers WAKE bytes before it wakes the thread.
 */

#include "sink.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define FIRST (8 << 10)      /* bytes asked for while a plain head is awaited: more copies bodies */
#define SCRATCH (16 << 10)   /* bytes: one TLS record */
#define AHEAD (128 << 10)    /* bytes of records that OpenSSL reads at a time */
#define WAKE (128 << 10)     /* bytes */
#define LARGE (1LL << 20)    /* bytes of a body still to come; far above WAKE and AHEAD together */
#define AT_ONCE (64LL << 20) /* bytes that one system call may throw away */

/* TLS 1.3 with AES-GCM of 128 bits, as S3 itself chooses; the same for every client. */
SSL_CTX *tls_of(const char *chain, const char *key)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256");
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, AHEAD);
    SSL_CTX_set_mode(context, SSL_MODE_AUTO_RETRY);
    if (SSL_CTX_use_certificate_chain_file(context, chain) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
        fprintf(stderr, "sink: cannot use %s and %s\n", chain, key);
        return NULL;
    }
    return context;
}

static ssize_t receive(struct connection *peer, void *to, size_t most, int flags)
{
    if (peer->tls)
        return SSL_read(peer->tls, to, most);
    ssize_t came;
    do
        came = recv(peer->socket, to, most, flags);
    while (came < 0 && errno == EINTR);
    return came;
}

bool fill(struct connection *peer)
{
    if (peer->from) {
        memmove(peer->in, peer->in + peer->from, peer->to - peer->from);
        peer->to -= peer->from;
        peer->from = 0;
    }
    size_t room = IN_ROOM - peer->to;
    if (!peer->tls && room > FIRST)
        room = FIRST;
    ssize_t came = room ? receive(peer, peer->in + peer->to, room, 0) : 0;
    if (came <= 0)
        return false;
    peer->to += came;
    return true;
}

bool take(struct connection *peer, char *to, size_t length)
{
    while (length) {
        if (peer->from == peer->to && !fill(peer))
            return false;
        size_t some = peer->to - peer->from;
        if (some > length)
            some = length;
        memcpy(to, peer->in + peer->from, some);
        peer->from += some;
        to += some;
        length -= some;
    }
    return true;
}

static void wake_after(struct connection *peer, int bytes)
{
    setsockopt(peer->socket, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
}

bool discard(struct connection *peer, long long length)
{
    char scratch[SCRATCH];
    long long some = peer->to - peer->from;
    some = some < length ? some : length;
    peer->from += some;
    length -= some;
    bool gathers = length > LARGE;
    if (gathers)
        wake_after(peer, WAKE);
    while (length) {
        if (gathers && length <= LARGE) {
            wake_after(peer, 1);
            gathers = false;
        }
        long long until = gathers ? length - LARGE : length;
        long long most = peer->tls ? SCRATCH : AT_ONCE;
        some = receive(peer, scratch, until < most ? until : most, MSG_TRUNC);
        if (some <= 0)
            return false;
        length -= some;
    }
    return true;
}

bool give(struct connection *peer, const char *bytes, size_t length)
{
    while (length) {
        ssize_t gone = peer->tls ? SSL_write(peer->tls, bytes, length)
                                 : send(peer->socket, bytes, length, MSG_NOSIGNAL);
        if (gone <= 0)
            return false;
        bytes += gone;
        length -= gone;
    }
    return true;
}
