/* Reads requests and throws their bodies away: an endpoint of S3, and of Google
 * Cloud Storage, that costs as little as it can.
 *
 * - It answers as they do, from names and sizes: lists, conditions, checksums and parts are true, and
 *   what is tried with a few bytes is checked and can be read again. Signatures are not looked at.
 * - A thread for each connection: an upload is read wherever a core is free.
 * - It may be as slow as a line: so many bytes per second of bodies on each connection, and so many
 *   milliseconds before each answer.
 *
 *     sink [-r BYTES] [-w MILLISECONDS] PORT [CHAIN KEY]
 *
 * on 127.0.0.1, until killed; by TLS with a certificate.
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
#define BUFFERED (256 << 10) /* bytes that a slow line has under way */
#define STACK (256UL << 10) /* bytes of a thread's; a handshake needs most of it */

static SSL_CTX *tls;
struct line line;

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
    if (line.rate) /* else the kernel takes what the line has not carried yet */
        setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &(int){BUFFERED}, sizeof(int));
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, WAITING)) {
        perror("sink"); /* "Address already in use" is looked for */
        exit(1);
    }
    return listener;
}

int main(int count, char **given)
{
    for (int option; (option = getopt(count, given, "r:w:")) != -1;)
        if (option == 'r')
            line.rate = atoll(optarg);
        else if (option == 'w')
            line.wait = atol(optarg) * 1000;
        else
            return 2;
    count -= optind;
    given += optind;
    if (count != 1 && count != 3) {
        fprintf(stderr, "sink [-r BYTES] [-w MILLISECONDS] PORT [CHAIN KEY]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    make_crc32c();
    if (count == 3 && !(tls = tls_of(given[1], given[2])))
        return 1;
    int listener = listen_on(atoi(given[0]));
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
