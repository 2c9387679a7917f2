/* Reads what comes by TLS 1.3, and throws records away without decrypting them.
 *
 * - OpenSSL makes the handshake and encrypts the answers. It has read nothing beyond the handshake
 *   (no read-ahead), so the records that follow are ours to read (RFC 8446, 5.2): a head of five
 *   bytes in the clear, which tells the length; the content, its type, a tag of 16 bytes.
 * - What is asked for is decrypted, and its tag is looked at. A body that nobody will ask for costs
 *   its client an encryption, and us none: no padding is looked for, since no client pads.
 * - A change of keys (due after 2^24 records, 256 GiB on one connection) ends the connection.
 */

#include "sink.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define HEAD 5
#define TAG 16
#define NONCE 12
#define AES_KEY 16
#define SECRET 32                  /* bytes, of SHA-256 */
#define DATA 23                    /* type of a record; an alert is 21, a handshake 22 */

struct records {
    int socket;
    EVP_CIPHER_CTX *cipher;
    unsigned char first[NONCE]; /* the nonce of record 0 */
    unsigned long long number;
    unsigned char head[HEAD];
    size_t length; /* of the record whose head was read; 0: none */
    size_t from, to; /* what was decrypted and is not used */
    unsigned char plain[RECORD];
};

/* -- keys ------------------------------------------------------------------------------------- */

/* Keeps the secret of what the client sends: the only way that OpenSSL has to tell it. */
static void keep_secret(const SSL *tls, const char *line)
{
    static const char label[] = "CLIENT_TRAFFIC_SECRET_0 ";
    unsigned char *secret = SSL_get_app_data(tls);
    if (!secret || !starts(line, label))
        return;
    const char *digits = strrchr(line, ' ') + 1;
    for (int i = 0; i < SECRET; i++)
        sscanf(digits + 2 * i, "%2hhx", secret + i);
}

/* TLS 1.3 with AES-GCM of 128 bits, as S3 itself chooses; the same for every client. */
SSL_CTX *tls_of(const char *chain, const char *key)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256");
    SSL_CTX_set_keylog_callback(context, keep_secret);
    SSL_CTX_set_mode(context, SSL_MODE_AUTO_RETRY);
    if (SSL_CTX_use_certificate_chain_file(context, chain) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
        fprintf(stderr, "sink: cannot use %s and %s\n", chain, key);
        return NULL;
    }
    return context;
}

/* HKDF-Expand-Label of RFC 8446, 7.1, of no more than one block. */
static void expand(const unsigned char *secret, const char *label, unsigned char *to, size_t length)
{
    unsigned char info[32], block[SECRET];
    size_t size = 0, letters = strlen(label);
    info[size++] = 0;
    info[size++] = length;
    info[size++] = letters;
    memcpy(info + size, label, letters);
    size += letters;
    info[size++] = 0; /* no context */
    info[size++] = 1; /* the first block */
    HMAC(EVP_sha256(), secret, SECRET, info, size, block, NULL);
    memcpy(to, block, length);
}

struct records *accept_tls(SSL *tls, int socket)
{
    unsigned char secret[SECRET] = {0}, key[AES_KEY];
    SSL_set_app_data(tls, secret);
    int done = SSL_accept(tls);
    SSL_set_app_data(tls, NULL);
    if (done != 1)
        return NULL;
    struct records *records = allocated(sizeof *records);
    records->socket = socket;
    records->cipher = EVP_CIPHER_CTX_new();
    expand(secret, "tls13 key", key, sizeof key);
    expand(secret, "tls13 iv", records->first, NONCE);
    EVP_DecryptInit_ex(records->cipher, EVP_aes_128_gcm(), NULL, key, NULL);
    return records;
}

void end_tls(struct records *records)
{
    if (records)
        EVP_CIPHER_CTX_free(records->cipher);
    free(records);
}

/* -- records ---------------------------------------------------------------------------------- */

static bool open_record(struct records *records)
{
    if (records->length)
        return true;
    if (recv(records->socket, records->head, HEAD, MSG_WAITALL) != HEAD)
        return false;
    records->length = records->head[3] << 8 | records->head[4];
    return records->head[0] == DATA && records->length > TAG && records->length <= RECORD;
}

/* Decrypts the record that is open; false: it is not what was sent, or it is not data. */
static bool decrypt(struct records *records)
{
    unsigned char nonce[NONCE], sealed[RECORD];
    size_t length = records->length, size = length - TAG;
    int done;
    if (recv(records->socket, sealed, length, MSG_WAITALL) != (ssize_t)length)
        return false;
    memcpy(nonce, records->first, NONCE);
    for (int i = 0; i < 8; i++)
        nonce[NONCE - 1 - i] ^= records->number >> 8 * i;
    EVP_CIPHER_CTX *cipher = records->cipher;
    EVP_DecryptInit_ex(cipher, NULL, NULL, NULL, nonce);
    EVP_DecryptUpdate(cipher, NULL, &done, records->head, HEAD);
    EVP_DecryptUpdate(cipher, records->plain, &done, sealed, size);
    EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_SET_TAG, TAG, sealed + size);
    if (EVP_DecryptFinal_ex(cipher, records->plain + done, &done) != 1)
        return false;
    while (size && !records->plain[size - 1])
        size--;
    records->from = 0;
    records->to = size ? size - 1 : 0;
    records->length = 0;
    records->number++;
    return size && records->plain[size - 1] == DATA;
}

ssize_t read_records(struct records *records, void *to, size_t most)
{
    while (records->from == records->to)
        if (!open_record(records) || !decrypt(records))
            return 0;
    size_t some = records->to - records->from;
    some = some < most ? some : most;
    memcpy(to, records->plain + records->from, some);
    records->from += some;
    return some;
}

ssize_t skip_records(struct records *records, long long most)
{
    if (records->from == records->to && !open_record(records))
        return 0;
    long long content = (long long)records->length - TAG - 1;
    if (records->from < records->to || content > most || content < 1) {
        char scratch[RECORD];
        return read_records(records, scratch, most < RECORD ? most : RECORD);
    }
    size_t length = records->length;
    if (recv(records->socket, NULL, length, MSG_TRUNC | MSG_WAITALL) != (ssize_t)length)
        return 0;
    records->length = 0;
    records->number++;
    return content;
}
