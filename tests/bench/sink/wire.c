/* Moves the bytes of a connection, by TLS or plain, as cheaply as they can be read.
 *
 * - Bodies are thrown away inside the kernel (MSG_TRUNC, tcp(7)): they are never copied.
 * - While a large body arrives the kernel gathers WAKE bytes before it wakes the thread.
 */

#include "sink.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST (8 << 10)      /* bytes asked for while a plain head is awaited: more copies bodies */
#define WAKE (256 << 10)     /* bytes */
#define LARGE (512 << 10)    /* bytes of a body still to come: far enough above WAKE and a record */
#define EARLY 0.001          /* seconds that are worth to sleep */
#define AT_ONCE (64LL << 20) /* bytes that one system call may throw away */

static ssize_t receive(struct connection *peer, void *to, size_t most, int flags)
{
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
    if (!room)
        return false;
    char *to = peer->in + peer->to;
    ssize_t came = peer->records ? read_records(peer->records, to, room)
                                 : receive(peer, to, room < FIRST ? room : FIRST, 0);
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

void begin_pace(struct connection *peer)
{
    peer->received = 0;
    if (line.rate)
        clock_gettime(CLOCK_MONOTONIC, &peer->begun);
}

/* Sleeps until so many bytes could have come. */
static void keep_pace(struct connection *peer, ssize_t came)
{
    struct timespec now;
    if (!line.rate || came <= 0)
        return;
    peer->received += came;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double passed = now.tv_sec - peer->begun.tv_sec + (now.tv_nsec - peer->begun.tv_nsec) / 1e9;
    double early = (double)peer->received / line.rate - passed;
    if (early > EARLY)
        usleep(early * 1e6);
}

static ssize_t throw_away(struct connection *peer, long long most)
{
    long long limit = line.rate ? WAKE : AT_ONCE;
    ssize_t gone = peer->records ? skip_records(peer->records, most)
                                 : receive(peer, NULL, most < limit ? most : limit, MSG_TRUNC);
    keep_pace(peer, gone);
    return gone;
}

bool discard(struct connection *peer, long long length)
{
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
        some = throw_away(peer, gathers ? length - LARGE + RECORD : length);
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
