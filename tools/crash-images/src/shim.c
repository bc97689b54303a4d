/* Records the writes of a process to a store's data file, and injects faults. Preloaded; see record.rs.
 *
 * CRASH_LOG        the file for records: kind (1 byte), offset (8, little endian), length (8), then that many bytes
 * CRASH_BRIEF      if set, records have no bytes and length 0: the last one shows the place where a process was killed
 * CRASH_SYNC_FAIL  the number of the sync that fails with EIO, from 1
 * CRASH_META_FAIL  the number of the synchronous write that fails with EIO, from 1
 * CRASH_SPACE      number of bytes that fit before the disk is full: one short write, then ENOSPC
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { WRITE = 1, SYNC_WRITE = 2, SYNC_WRITE_DONE = 3, SYNC = 4, TRUNCATE = 5, MARK = 6, MAPPED_SYNC = 7 };
enum file { OTHER, DATA, MARKS, PROBE };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1, brief;
static long syncs, sync_writes, sync_fail, meta_fail, space = -1, written;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static int (*real_ftruncate)(int, off_t);
static int (*real_fdatasync)(int);
static int (*real_fsync)(int);
static int (*real_msync)(void *, size_t, int);

static long number(const char *name, long otherwise) {
	const char *text = getenv(name);
	return text ? atol(text) : otherwise;
}

__attribute__((constructor)) static void start(void) {
	real_write = dlsym(RTLD_NEXT, "write");
	real_pwrite = dlsym(RTLD_NEXT, "pwrite");
	real_writev = dlsym(RTLD_NEXT, "writev");
	real_ftruncate = dlsym(RTLD_NEXT, "ftruncate");
	real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
	real_fsync = dlsym(RTLD_NEXT, "fsync");
	real_msync = dlsym(RTLD_NEXT, "msync");
	sync_fail = number("CRASH_SYNC_FAIL", 0);
	meta_fail = number("CRASH_META_FAIL", 0);
	space = number("CRASH_SPACE", -1);
	brief = getenv("CRASH_BRIEF") != NULL;
	const char *path = getenv("CRASH_LOG");
	if (path)
		log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static enum file file_of(int fd) {
	char link[64] = "/proc/self/fd/", path[4096], digits[24];
	int at = 0, out = (int)strlen(link);
	if (log_fd < 0 || fd < 0)
		return OTHER;
	do digits[at++] = (char)('0' + fd % 10); while (fd /= 10);
	while (at) link[out++] = digits[--at];
	link[out] = 0;
	ssize_t len = readlink(link, path, sizeof path - 1);
	if (len < 0)
		return OTHER;
	path[len] = 0;
	const char *name = strrchr(path, '/');
	if (!name)
		return OTHER;
	return !strcmp(name, "/data.mdb") ? DATA : !strcmp(name, "/marks") ? MARKS : !strcmp(name, "/probe") ? PROBE : OTHER;
}

/* An incomplete record would make every check worthless. */
static void put(const void *bytes, size_t len) {
	const char *at = bytes;
	while (len) {
		ssize_t n = real_write(log_fd, at, len);
		if (n <= 0)
			abort();
		at += n, len -= (size_t)n;
	}
}

static void record(enum kind kind, uint64_t offset, const void *bytes, uint64_t len) {
	unsigned char head[17] = {(unsigned char)kind};
	if (brief)
		len = 0;
	memcpy(head + 1, &offset, 8);
	memcpy(head + 9, &len, 8);
	pthread_mutex_lock(&lock);
	put(head, sizeof head);
	put(bytes, len);
	pthread_mutex_unlock(&lock);
}

static ssize_t data_write(int fd, const void *bytes, size_t len, off_t at) {
	if (fcntl(fd, F_GETFL) & O_DSYNC) {
		if (++sync_writes == meta_fail) {
			errno = EIO;
			return -1;
		}
		record(SYNC_WRITE, (uint64_t)at, bytes, len);
		ssize_t done = real_pwrite(fd, bytes, len, at);
		if (done != (ssize_t)len)
			abort();
		record(SYNC_WRITE_DONE, (uint64_t)at, bytes, 0);
		return done;
	}
	if (space >= 0 && written + (long)len > space) {
		len = written < space ? (size_t)(space - written) : 0;
		written = space;
		if (!len) {
			errno = ENOSPC;
			return -1;
		}
	}
	written += space >= 0 ? (long)len : 0;
	record(WRITE, (uint64_t)at, bytes, len);
	return real_pwrite(fd, bytes, len, at);
}

static ssize_t data_writev(int fd, const struct iovec *parts, int count, off_t at) {
	size_t len = 0, out = 0;
	for (int i = 0; i < count; i++) len += parts[i].iov_len;
	char *bytes = malloc(len ? len : 1);
	if (!bytes)
		abort();
	for (int i = 0; i < count; out += parts[i++].iov_len) memcpy(bytes + out, parts[i].iov_base, parts[i].iov_len);
	ssize_t done = data_write(fd, bytes, len, at);
	int error = errno;
	free(bytes);
	errno = error;
	return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at) {
	return file_of(fd) == DATA ? data_write(fd, bytes, len, at) : real_pwrite(fd, bytes, len, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t at) { return pwrite(fd, bytes, len, at); }

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
	ssize_t (*real)(int, const struct iovec *, int, off_t) = dlsym(RTLD_NEXT, "pwritev");
	return file_of(fd) == DATA ? data_writev(fd, parts, count, at) : real(fd, parts, count, at);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t at) { return pwritev(fd, parts, count, at); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
	if (file_of(fd) != DATA)
		return real_writev(fd, parts, count);
	off_t at = lseek(fd, 0, SEEK_CUR);
	ssize_t done = data_writev(fd, parts, count, at);
	if (done > 0)
		lseek(fd, at + done, SEEK_SET);
	return done;
}

ssize_t write(int fd, const void *bytes, size_t len) {
	enum file file = file_of(fd);
	if (file == MARKS)
		record(MARK, 0, bytes, len);
	if (file == PROBE && space >= 0 && written >= space) {
		errno = ENOSPC;
		return -1;
	}
	if (file != DATA)
		return real_write(fd, bytes, len);
	off_t at = lseek(fd, 0, SEEK_CUR);
	ssize_t done = data_write(fd, bytes, len, at);
	if (done > 0)
		lseek(fd, at + done, SEEK_SET);
	return done;
}

int ftruncate(int fd, off_t len) {
	if (file_of(fd) == DATA)
		record(TRUNCATE, (uint64_t)len, "", 0);
	return real_ftruncate(fd, len);
}

int ftruncate64(int fd, off_t len) { return ftruncate(fd, len); }

static int data_sync(int fd, int (*real)(int)) {
	if (file_of(fd) != DATA)
		return real(fd);
	if (++syncs == sync_fail) {
		errno = EIO;
		return -1;
	}
	if (real(fd))
		abort();
	record(SYNC, 0, "", 0);
	return 0;
}

int fdatasync(int fd) { return data_sync(fd, real_fdatasync); }

int fsync(int fd) { return data_sync(fd, real_fsync); }

int msync(void *at, size_t len, int flags) {
	if (log_fd >= 0)
		record(MAPPED_SYNC, 0, "", 0);
	return real_msync(at, len, flags);
}
