/* Reads requests and throws their bodies away: an S3 endpoint that costs as little as it can.
 *
 * - It answers as S3 does, from names and sizes: lists, conditions, checksums and parts are true, and
 *   what is tried with a few bytes is checked and can be read again. Signatures are not looked at.
 * - A thread for each connection: an upload is read wherever a core is free.
 *
 *     sink PORT [CHAIN KEY]    on 127.0.0.1, until killed; by TLS with a certificate
 */

#include "sink.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAITING 512         /* connections to be accepted: s5cmd opens 256 at once */
#define STACK (256UL << 10) /* bytes of a thread's; a handshake needs most of it */

static SSL_CTX *tls;

static void *talk(void *given)
{
    struct connection peer = {.socket = (int)(long)given, .in = allocated(IN_ROOM)};
    int yes = 1;
    setsockopt(peer.socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (tls) {
        peer.tls = SSL_new(tls);
        SSL_set_fd(peer.tls, peer.socket);
        peer.records = accept_tls(peer.tls, peer.socket);
    }
    if (!tls || peer.records)
        serve(&peer);
    end_tls(peer.records);
    SSL_free(peer.tls);
    close(peer.socket);
    free(peer.in);
    return NULL;
}

static int listen_on(int port)
{
    int yes = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(port)};
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, WAITING)) {
        perror("sink"); /* "Address already in use" is looked for */
        exit(1);
    }
    return listener;
}

int main(int count, char **given)
{
    if (count != 2 && count != 4) {
        fprintf(stderr, "sink PORT [CHAIN KEY]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    make_crc32c();
    if (count == 4 && !(tls = tls_of(given[2], given[3])))
        return 1;
    int listener = listen_on(atoi(given[1]));
    pthread_attr_t how;
    pthread_attr_init(&how);
    pthread_attr_setdetachstate(&how, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&how, STACK);
    for (;;) {
        pthread_t thread;
        int client = accept(listener, NULL, NULL);
        if (client >= 0 && pthread_create(&thread, &how, talk, (void *)(long)client))
            close(client);
    }
}
