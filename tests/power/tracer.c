/* Records what a process does to the files below one directory, in the order over all processes.
 *
 * Preloaded (LD_PRELOAD): SQLite and Python both change files through these functions of the C
 * library, and only so. Each call is made, and then written to the trace, under one lock.
 *
 * - POWER_ROOT names the directory, POWER_TRACE the file that records are appended to.
 * - The trace is opened anew for each record: a fork server closes whatever it inherits, and a lock
 *   of flock(2) belongs to the open file, so that threads and forks exclude each other too.
 * - A way to change a file that the model does not know is recorded as such, and refused there.
 * - SQLite's shared memory is mapped and does not count: it is made anew after a crash.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind {
    CREATE = 1, WRITE, TRUNCATE, EXTEND, SYNC, RENAME, LINK, UNLINK, MKDIR, RMDIR, SYMLINK,
    ATTRIBUTE, MARK, UNKNOWN
};

struct header {
    uint32_t kind, path, other, pad; /* bytes of the two texts that follow */
    uint64_t inode, offset, data;    /* bytes of data after them */
};

#define CLONE 0x40049409 /* FICLONE, linux/fs.h */

static __thread char site[256]; /* where the next fsync of this thread is called */

void power_site(const char *text) {
    snprintf(site, sizeof site, "%s", text);
}

/* -- paths ------------------------------------------------------------------------------------ */

static int below(const char *path) {
    const char *root = getenv("POWER_ROOT");
    size_t length = root ? strlen(root) : 0;
    return length && !strncmp(path, root, length) && (!path[length] || path[length] == '/');
}

static int path_of(int descriptor, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = 0;
    char *gone = strstr(path, " (deleted)");
    if (gone)
        *gone = 0;
    return below(path);
}

static int full(int directory, const char *name, char *path) {
    char base[PATH_MAX];
    if (name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
    } else {
        if (directory == AT_FDCWD)
            syscall(SYS_getcwd, base, sizeof base);
        else
            path_of(directory, base);
        if (snprintf(path, PATH_MAX, "%s/%s", base, name) >= PATH_MAX)
            abort();
    }
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        path[--length] = 0;
    return below(path);
}

static uint64_t inode_at(const char *path) {
    struct stat facts;
    return lstat(path, &facts) ? 0 : facts.st_ino;
}

static uint64_t inode_of(int descriptor) {
    struct stat facts;
    return fstat(descriptor, &facts) ? 0 : facts.st_ino;
}

/* -- the trace -------------------------------------------------------------------------------- */

static int begin(void) {
    int trace = syscall(SYS_openat, AT_FDCWD, getenv("POWER_TRACE"), O_WRONLY | O_APPEND | O_CLOEXEC);
    if (trace < 0 || flock(trace, LOCK_EX))
        abort(); /* what is not recorded would be taken for not done */
    return trace;
}

static void end(int trace, int failed, enum kind kind, const char *path, const char *other,
                uint64_t inode, uint64_t offset, const void *data, size_t size) {
    int saved = errno;
    if (!failed) {
        struct header header = {kind, strlen(path), strlen(other), 0, inode, offset, size};
        struct iovec parts[] = {
            {&header, sizeof header}, {(void *)path, header.path}, {(void *)other, header.other},
            {(void *)data, size},
        };
        size_t all = sizeof header + header.path + header.other + size;
        if (syscall(SYS_writev, trace, parts, 4) != (ssize_t)all)
            abort();
    }
    syscall(SYS_close, trace);
    errno = saved;
}

void power_mark(const char *text) {
    end(begin(), 0, MARK, "", "", 0, 0, text, strlen(text));
}

static void unknown(int descriptor, const char *what) {
    char path[PATH_MAX];
    int saved = errno;
    if (path_of(descriptor, path))
        end(begin(), 0, UNKNOWN, path, what, inode_of(descriptor), 0, "", 0);
    errno = saved;
}

/* -- opening ---------------------------------------------------------------------------------- */

static int open_at(int directory, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    int unnamed = (flags & O_TMPFILE) == O_TMPFILE;
    if (unnamed || !(flags & (O_CREAT | O_TRUNC)) || !full(directory, name, path))
        return syscall(SYS_openat, directory, name, flags, mode);
    int trace = begin();
    uint64_t before = inode_at(path);
    int descriptor = syscall(SYS_openat, directory, name, flags, mode);
    int made = !before, cut = before && (flags & O_TRUNC);
    end(trace, descriptor < 0 || !(made || cut), made ? CREATE : TRUNCATE, path, "",
        descriptor < 0 ? 0 : inode_of(descriptor), 0, "", 0);
    return descriptor;
}

#define MODE(flags, mode)                                                                          \
    mode_t mode = 0;                                                                               \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {                                                       \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode = va_arg(rest, mode_t);                                                               \
        va_end(rest);                                                                              \
    }

int open(const char *name, int flags, ...) {
    MODE(flags, mode)
    return open_at(AT_FDCWD, name, flags, mode);
}

int open64(const char *name, int flags, ...) {
    MODE(flags, mode)
    return open_at(AT_FDCWD, name, flags, mode);
}

int openat(int directory, const char *name, int flags, ...) {
    MODE(flags, mode)
    return open_at(directory, name, flags, mode);
}

int openat64(int directory, const char *name, int flags, ...) {
    MODE(flags, mode)
    return open_at(directory, name, flags, mode);
}

/* -- contents --------------------------------------------------------------------------------- */

static ssize_t put(int descriptor, const void *data, size_t size, off_t offset, int positioned) {
    char path[PATH_MAX];
    if (!path_of(descriptor, path))
        return positioned ? syscall(SYS_pwrite64, descriptor, data, size, offset)
                          : syscall(SYS_write, descriptor, data, size);
    int trace = begin();
    if (!positioned) {
        int append = syscall(SYS_fcntl, descriptor, F_GETFL) & O_APPEND;
        offset = lseek(descriptor, 0, append ? SEEK_END : SEEK_CUR);
    }
    ssize_t done = positioned ? syscall(SYS_pwrite64, descriptor, data, size, offset)
                              : syscall(SYS_write, descriptor, data, size);
    end(trace, done <= 0, WRITE, path, "", inode_of(descriptor), offset, data, done > 0 ? done : 0);
    return done;
}

ssize_t write(int descriptor, const void *data, size_t size) {
    return put(descriptor, data, size, 0, 0);
}

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset) {
    return put(descriptor, data, size, offset, 1);
}

ssize_t pwrite64(int descriptor, const void *data, size_t size, off_t offset) {
    return put(descriptor, data, size, offset, 1);
}

static int resize(int descriptor, enum kind kind, off_t offset, off_t size) {
    char path[PATH_MAX];
    int traced = path_of(descriptor, path), trace = traced ? begin() : -1;
    int failed = kind == TRUNCATE ? syscall(SYS_ftruncate, descriptor, offset)
                                  : syscall(SYS_fallocate, descriptor, 0, offset, size);
    if (traced)
        end(trace, failed, kind, path, "", inode_of(descriptor), offset + size, "", 0);
    return failed;
}

int ftruncate(int descriptor, off_t size) { return resize(descriptor, TRUNCATE, size, 0); }
int ftruncate64(int descriptor, off_t size) { return resize(descriptor, TRUNCATE, size, 0); }

int posix_fallocate(int descriptor, off_t offset, off_t size) {
    return resize(descriptor, EXTEND, offset, size) ? errno : 0;
}

int posix_fallocate64(int descriptor, off_t offset, off_t size) {
    return posix_fallocate(descriptor, offset, size);
}

int fsetxattr(int descriptor, const char *key, const void *value, size_t size, int flags) {
    char path[PATH_MAX];
    int traced = path_of(descriptor, path), trace = traced ? begin() : -1;
    int failed = syscall(SYS_fsetxattr, descriptor, key, value, size, flags);
    if (traced)
        end(trace, failed, ATTRIBUTE, path, key, inode_of(descriptor), 0, value, size);
    return failed;
}

static int synced(int descriptor, long call) {
    char path[PATH_MAX];
    int traced = path_of(descriptor, path), trace = traced ? begin() : -1;
    int failed = syscall(call, descriptor);
    if (traced)
        end(trace, failed, SYNC, path, site, inode_of(descriptor), 0, "", 0);
    site[0] = 0;
    return failed;
}

int fsync(int descriptor) { return synced(descriptor, SYS_fsync); }
int fdatasync(int descriptor) { return synced(descriptor, SYS_fdatasync); }

/* -- names ------------------------------------------------------------------------------------ */

int renameat(int from_directory, const char *from, int to_directory, const char *to) {
    char source[PATH_MAX], target[PATH_MAX];
    int traced = full(from_directory, from, source) | full(to_directory, to, target);
    int trace = traced ? begin() : -1;
    uint64_t inode = inode_at(source);
    int failed = syscall(SYS_renameat2, from_directory, from, to_directory, to, 0);
    if (traced)
        end(trace, failed, RENAME, source, target, inode, 0, "", 0);
    return failed;
}

int rename(const char *from, const char *to) { return renameat(AT_FDCWD, from, AT_FDCWD, to); }

int linkat(int from_directory, const char *from, int to_directory, const char *to, int flags) {
    char source[PATH_MAX], target[PATH_MAX];
    int traced = full(from_directory, from, source) | full(to_directory, to, target);
    int trace = traced ? begin() : -1;
    int failed = syscall(SYS_linkat, from_directory, from, to_directory, to, flags);
    if (traced)
        end(trace, failed, LINK, source, target, inode_at(target), 0, "", 0);
    return failed;
}

int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int unlinkat(int directory, const char *name, int flags) {
    char path[PATH_MAX];
    int traced = full(directory, name, path), trace = traced ? begin() : -1;
    int failed = syscall(SYS_unlinkat, directory, name, flags);
    if (traced)
        end(trace, failed, flags & AT_REMOVEDIR ? RMDIR : UNLINK, path, "", 0, 0, "", 0);
    return failed;
}

int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }

int mkdirat(int directory, const char *name, mode_t mode) {
    char path[PATH_MAX];
    int traced = full(directory, name, path), trace = traced ? begin() : -1;
    int failed = syscall(SYS_mkdirat, directory, name, mode);
    if (traced)
        end(trace, failed, MKDIR, path, "", 0, 0, "", 0);
    return failed;
}

int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

int symlinkat(const char *text, int directory, const char *name) {
    char path[PATH_MAX];
    int traced = full(directory, name, path), trace = traced ? begin() : -1;
    int failed = syscall(SYS_symlinkat, text, directory, name);
    if (traced)
        end(trace, failed, SYMLINK, path, "", inode_at(path), 0, text, strlen(text));
    return failed;
}

int symlink(const char *text, const char *name) { return symlinkat(text, AT_FDCWD, name); }

/* -- what the model does not know ------------------------------------------------------------- */

int ioctl(int descriptor, unsigned long request, ...) {
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    int answer = syscall(SYS_ioctl, descriptor, request, argument);
    if ((uint32_t)request == CLONE && !answer)
        unknown(descriptor, "clone");
    return answer;
}

ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *there, size_t size, unsigned flags) {
    unknown(to, "copy_file_range");
    return syscall(SYS_copy_file_range, from, at, to, there, size, flags);
}

ssize_t sendfile(int to, int from, off_t *offset, size_t size) {
    unknown(to, "sendfile");
    return syscall(SYS_sendfile, to, from, offset, size);
}

ssize_t sendfile64(int to, int from, off64_t *offset, size_t size) {
    return sendfile(to, from, offset, size);
}

void *mmap(void *address, size_t size, int protection, int flags, int descriptor, off_t offset) {
    char path[PATH_MAX];
    int shared = descriptor >= 0 && (flags & MAP_SHARED) && (protection & PROT_WRITE);
    if (shared && path_of(descriptor, path)) {
        size_t length = strlen(path);
        if (length < 4 || strcmp(path + length - 4, "-shm"))
            unknown(descriptor, "mmap");
    }
    return (void *)syscall(SYS_mmap, address, size, protection, flags, descriptor, offset);
}

void *mmap64(void *address, size_t size, int protection, int flags, int descriptor, off_t offset) {
    return mmap(address, size, protection, flags, descriptor, offset);
}
