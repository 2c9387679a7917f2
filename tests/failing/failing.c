/* Lets one call, or all from one on, fail on the files below a directory, as the kernel would.
 *
 * Preloaded (LD_PRELOAD): SQLite and Python ask the system for files through these functions only.
 * What fails is said in a file of shared memory (FAILING_STATE; `shim.py` has the same layout), so
 * that a test steers its own process and those that it starts alike, and calls count over all.
 *
 * - A write that fails has written nothing; one that comes back short has written half.
 * - After an fsync that fails, what was written since the last one is gone, as after the kernel has
 *   given up those pages: they read as zeros. So whoever believes the next fsync is found out.
 *   (One that was interrupted has taken nothing.)
 * - A close that fails has closed, as on Linux. Locks can always be given back.
 * - While calls fail, SQLite does not sleep before it asks for a lock again.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum kind {
    OPEN = 1, READ, WRITE, SYNC, RENAME, LINK, UNLINK, MKDIR, RESIZE, CLONE, LOCK, MAP, STAT, LIST,
    ATTRIBUTE, SPACE, MODE, TIMES, CLOSE, KINDS
};

struct state {
    int32_t armed; /* the kind that fails; 0: none */
    int32_t first; /* which of them, from 1 */
    int32_t count; /* how many in a row; -1: all from there on */
    int32_t error; /* errno; 0: a write comes back short */
    int32_t failed;
    int32_t calls[32];
    char root[512]; /* what counts is below it */
    char only[64];  /* and has this in its path */
    char path[512]; /* of the first that failed */
};

static struct state *state;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAILING_STATE");
    int file = path ? syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *shared = (void *)syscall(SYS_mmap, NULL, sizeof *state, PROT_READ | PROT_WRITE,
                                   MAP_SHARED, file, 0);
    syscall(SYS_close, file);
    if (shared == MAP_FAILED)
        abort(); /* nothing would fail, and everything would be taken for good */
    state = shared;
}

/* -- which call fails ------------------------------------------------------------------------- */

static int below(const char *path) {
    size_t length = strlen(state->root);
    return length && !strncmp(path, state->root, length) &&
           (!path[length] || path[length] == '/') && strstr(path, state->only);
}

static void path_of(int descriptor, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = syscall(SYS_readlink, link, path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = 0;
}

/* Tells whether this call, of a file that is open or has a name, is to fail; sets errno. */
static int fails(enum kind kind, int descriptor, const char *name) {
    char path[2 * PATH_MAX + 2];
    int saved = errno;
    if (!state)
        return 0;
    if (!name) {
        path_of(descriptor, path);
    } else if (name[0] == '/') {
        snprintf(path, sizeof path, "%s", name);
    } else {
        char base[PATH_MAX];
        if (descriptor == AT_FDCWD)
            syscall(SYS_getcwd, base, sizeof base);
        else
            path_of(descriptor, base);
        snprintf(path, sizeof path, "%s/%s", base, name);
    }
    errno = saved;
    if (!below(path))
        return 0;
    int number = __atomic_add_fetch(&state->calls[kind], 1, __ATOMIC_SEQ_CST);
    if (state->armed != (int)kind || number < state->first ||
        (state->count >= 0 && number >= state->first + state->count))
        return 0;
    if (__atomic_add_fetch(&state->failed, 1, __ATOMIC_SEQ_CST) == 1)
        snprintf(state->path, sizeof state->path, "%s", path);
    errno = state->error;
    return 1;
}

/* -- what an fsync that fails takes with it ---------------------------------------------------- */

enum { FILES = 256, RANGES = 512 };

static struct dirty {
    int count;
    struct { off_t from, to; } ranges[RANGES];
} dirty[FILES];

static void written(int descriptor, off_t at, ssize_t size) {
    if (size <= 0 || descriptor >= FILES)
        return;
    struct dirty *one = &dirty[descriptor];
    if (one->count && one->ranges[one->count - 1].to == at) {
        one->ranges[one->count - 1].to = at + size;
    } else if (one->count < RANGES) {
        one->ranges[one->count].from = at;
        one->ranges[one->count++].to = at + size;
    }
}

static void lose(int descriptor) {
    static const char zeros[1 << 16];
    struct dirty *one = &dirty[descriptor];
    for (int at = 0; at < one->count; at++)
        for (off_t from = one->ranges[at].from, to = one->ranges[at].to; from < to;) {
            size_t size = to - from < (off_t)sizeof zeros ? to - from : (off_t)sizeof zeros;
            from += syscall(SYS_pwrite64, descriptor, zeros, size, from) > 0 ? (off_t)size : to;
        }
    one->count = 0;
}

static void forget(int descriptor) {
    if (descriptor >= 0 && descriptor < FILES)
        dirty[descriptor].count = 0;
}

/* -- the calls -------------------------------------------------------------------------------- */

#define REAL(type, name, parameters)                                                               \
    static type(*real) parameters;                                                                 \
    if (!real)                                                                                     \
        real = (type(*) parameters)dlsym(RTLD_NEXT, #name);

/* A function of the C library that fails, or does what it does. */
#define CALL(type, name, parameters, arguments, kind, descriptor, path, failure)                   \
    type name parameters {                                                                         \
        REAL(type, name, parameters)                                                               \
        return fails(kind, descriptor, path) ? failure : real arguments;                           \
    }

#define HERE AT_FDCWD

static int opened(int directory, const char *name, int flags, mode_t mode) {
    if (fails(OPEN, directory, name))
        return -1;
    int descriptor = syscall(SYS_openat, directory, name, flags, mode);
    forget(descriptor);
    return descriptor;
}

#define OPENING(name, parameters, directory)                                                       \
    int name parameters {                                                                          \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;                  \
        va_end(rest);                                                                              \
        return opened(directory, path, flags, mode);                                               \
    }

OPENING(open, (const char *path, int flags, ...), HERE)
OPENING(open64, (const char *path, int flags, ...), HERE)
OPENING(openat, (int directory, const char *path, int flags, ...), directory)
OPENING(openat64, (int directory, const char *path, int flags, ...), directory)

int close(int descriptor) {
    int failed = fails(CLOSE, descriptor, NULL);
    int error = errno, answer = syscall(SYS_close, descriptor);
    forget(descriptor);
    if (failed)
        errno = error;
    return failed ? -1 : answer;
}

CALL(ssize_t, read, (int file, void *data, size_t size), (file, data, size), READ, file, NULL, -1)
CALL(ssize_t, pread64, (int file, void *data, size_t size, off_t at), (file, data, size, at), READ,
     file, NULL, -1)

static ssize_t put(int file, const void *data, size_t size, off_t at, int positioned) {
    if (fails(WRITE, file, NULL)) {
        if (errno || size < 2)
            return -1;
        size /= 2;
    }
    off_t from = positioned ? at : lseek(file, 0, SEEK_CUR);
    ssize_t done = positioned ? syscall(SYS_pwrite64, file, data, size, at)
                              : syscall(SYS_write, file, data, size);
    written(file, from, done);
    return done;
}

ssize_t write(int file, const void *data, size_t size) { return put(file, data, size, 0, 0); }

ssize_t pwrite(int file, const void *data, size_t size, off_t at) {
    return put(file, data, size, at, 1);
}

ssize_t pwrite64(int file, const void *data, size_t size, off_t at) {
    return put(file, data, size, at, 1);
}

static int synced(int file, long call) {
    if (fails(SYNC, file, NULL)) {
        int error = errno;
        if (file < FILES && error != EINTR)
            lose(file);
        errno = error;
        return -1;
    }
    int failed = syscall(call, file);
    if (!failed)
        forget(file);
    return failed;
}

int fsync(int file) { return synced(file, SYS_fsync); }
int fdatasync(int file) { return synced(file, SYS_fdatasync); }

CALL(int, rename, (const char *from, const char *to), (from, to), RENAME, HERE, to, -1)
CALL(int, renameat, (int there, const char *from, int here, const char *to), (there, from, here, to),
     RENAME, here, to, -1)
CALL(int, link, (const char *from, const char *to), (from, to), LINK, HERE, to, -1)
CALL(int, linkat, (int there, const char *from, int here, const char *to, int flags),
     (there, from, here, to, flags), LINK, here, to, -1)
CALL(int, symlink, (const char *text, const char *name), (text, name), LINK, HERE, name, -1)
CALL(int, symlinkat, (const char *text, int here, const char *name), (text, here, name), LINK, here,
     name, -1)
CALL(int, unlink, (const char *name), (name), UNLINK, HERE, name, -1)
CALL(int, unlinkat, (int here, const char *name, int flags), (here, name, flags), UNLINK, here, name,
     -1)
CALL(int, rmdir, (const char *name), (name), UNLINK, HERE, name, -1)
CALL(int, mkdir, (const char *name, mode_t mode), (name, mode), MKDIR, HERE, name, -1)
CALL(int, mkdirat, (int here, const char *name, mode_t mode), (here, name, mode), MKDIR, here, name,
     -1)
CALL(int, ftruncate64, (int file, off_t size), (file, size), RESIZE, file, NULL, -1)
CALL(int, posix_fallocate64, (int file, off_t from, off_t size), (file, from, size), RESIZE, file,
     NULL, errno)
CALL(int, flock, (int file, int how), (file, how), LOCK, how & LOCK_UN ? -1 : file, NULL, -1)
CALL(int, fstat64, (int file, struct stat64 *facts), (file, facts), STAT, file, NULL, -1)
CALL(int, stat64, (const char *name, struct stat64 *facts), (name, facts), STAT, HERE, name, -1)
CALL(int, lstat64, (const char *name, struct stat64 *facts), (name, facts), STAT, HERE, name, -1)
CALL(int, fstatat64, (int here, const char *name, struct stat64 *facts, int flags),
     (here, name, facts, flags), STAT, here, name, -1)
CALL(DIR *, opendir, (const char *name), (name), LIST, HERE, name, NULL)
CALL(struct dirent64 *, readdir64, (DIR * list), (list), LIST, dirfd(list), NULL, NULL)
CALL(int, fsetxattr, (int file, const char *key, const void *value, size_t size, int flags),
     (file, key, value, size, flags), ATTRIBUTE, file, NULL, -1)
CALL(ssize_t, fgetxattr, (int file, const char *key, void *value, size_t size),
     (file, key, value, size), ATTRIBUTE, file, NULL, -1)
CALL(int, statvfs64, (const char *name, struct statvfs64 *facts), (name, facts), SPACE, HERE, name,
     -1)
CALL(int, fstatvfs64, (int file, struct statvfs64 *facts), (file, facts), SPACE, file, NULL, -1)
CALL(int, fchmod, (int file, mode_t mode), (file, mode), MODE, file, NULL, -1)
CALL(int, chmod, (const char *name, mode_t mode), (name, mode), MODE, HERE, name, -1)
CALL(int, utimensat, (int here, const char *name, const struct timespec *times, int flags),
     (here, name, times, flags), TIMES, here, name, -1)
CALL(int, futimens, (int file, const struct timespec *times), (file, times), TIMES, file, NULL, -1)

void *mmap64(void *address, size_t size, int protection, int flags, int file, off_t at) {
    if (file >= 0 && fails(MAP, file, NULL))
        return MAP_FAILED;
    return (void *)syscall(SYS_mmap, address, size, protection, flags, file, at);
}

int usleep(useconds_t microseconds) {
    REAL(int, usleep, (useconds_t))
    return state && state->armed ? 0 : real(microseconds);
}

int nanosleep(const struct timespec *time, struct timespec *left) {
    REAL(int, nanosleep, (const struct timespec *, struct timespec *))
    return state && state->armed ? 0 : real(time, left);
}

int ioctl(int file, unsigned long request, ...) {
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if ((uint32_t)request == 0x40049409 && fails(CLONE, file, NULL)) /* FICLONE, linux/fs.h */
        return -1;
    return syscall(SYS_ioctl, file, request, argument);
}

int fcntl64(int file, int command, ...) {
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    int locks = command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK;
    if (locks && ((struct flock *)argument)->l_type != F_UNLCK && fails(LOCK, file, NULL))
        return -1;
    return syscall(SYS_fcntl, file, command, argument);
}
