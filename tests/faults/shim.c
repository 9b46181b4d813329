/* A fault layer between liverec and its file system, for tests: preloaded, it lets calls on files
 * fail, stop halfway or hang as a rule file says, and keeps a log of what was done in which order.
 *
 * LIVEREC_SHIM_RULES  file of rules, one a line, read at every call; may be changed at any time:
 *                       OP PART ACTION COUNT AFTER
 *                     OP is write, sync, open (of what is made), load (of what is there),
 *                     rename, unlink or truncate; PART must occur in the path
 *                     (one ending in $ at its end); ACTION is EIO, ENOSPC, SHORT (half of the bytes)
 *                     or STALL with milliseconds; the rule is met by COUNT calls after the first AFTER.
 * LIVEREC_SHIM_LOG    file to which a line is appended for every call that changes something below
 * LIVEREC_SHIM_PART   paths with this part:
 *                       OP INODE SIZE RESULT PATH [PATH]
 *                     SIZE is that of the file when a sync began, else the bytes asked for. A rename,
 *                     an unlink and what fails are logged before they are done, all else after.
 *
 * What goes past the C library (io_uring, raw system calls) is not seen. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MAX_RULES 32
#define REAL(name) ((__typeof__(&name))real(#name))

struct rule { char op[16], part[PATH_MAX], action[16]; long count, after; };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char text[8192];
static struct rule rules[MAX_RULES];
static int rule_count;

static void *real(const char *name) {
  void *found = dlsym(RTLD_NEXT, name);
  if (!found) abort();
  return found;
}

/* Reads the rules again if they have changed; the lock is held. */
static void load_rules(void) {
  static char now[sizeof text];
  const char *file = getenv("LIVEREC_SHIM_RULES");
  long length = 0;
  if (file) {
    int fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
      length = syscall(SYS_read, fd, now, sizeof now - 1);
      syscall(SYS_close, fd);
    }
  }
  now[length > 0 ? length : 0] = 0;
  if (strcmp(now, text) == 0) return;
  strcpy(text, now);
  rule_count = 0;
  for (char *line = strtok(now, "\n"); line && rule_count < MAX_RULES; line = strtok(NULL, "\n")) {
    struct rule *rule = &rules[rule_count];
    if (sscanf(line, "%15s %4095s %15s %ld %ld", rule->op, rule->part, rule->action, &rule->count,
               &rule->after) == 5)
      rule_count++;
  }
}

static int has_part(const char *path, const char *part) {
  size_t length = strlen(part), whole = strlen(path);
  if (length && part[length - 1] == '$')
    return whole >= length - 1 && strncmp(path + whole - (length - 1), part, length - 1) == 0;
  return strstr(path, part) != NULL;
}

/* The error that a call is to fail with, -1 for half of it, 0 for none; hangs if it is to. */
static int fault(const char *op, const char *path) {
  char action[16] = "";
  pthread_mutex_lock(&lock);
  load_rules();
  for (int i = 0; i < rule_count; i++) {
    struct rule *rule = &rules[i];
    if (strcmp(rule->op, op) != 0 || !has_part(path, rule->part)) continue;
    if (rule->after > 0) {
      rule->after--;
    } else if (rule->count > 0) {
      rule->count--;
      strcpy(action, rule->action);
      break;
    }
  }
  pthread_mutex_unlock(&lock);
  if (strncmp(action, "STALL", 5) == 0) {
    long ms = atol(action + 5);
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&pause, &pause) != 0) {}
    return 0;
  }
  if (strcmp(action, "EIO") == 0) return EIO;
  if (strcmp(action, "ENOSPC") == 0) return ENOSPC;
  return strcmp(action, "SHORT") == 0 ? -1 : 0;
}

static void note(const char *op, ino_t inode, long size, long result, const char *path,
                 const char *second) {
  static int fd = -1;
  const char *file = getenv("LIVEREC_SHIM_LOG"), *part = getenv("LIVEREC_SHIM_PART");
  if (!file || (part && !strstr(path, part))) return;
  int before = errno;
  char line[2 * PATH_MAX + 128];
  int length = snprintf(line, sizeof line, "%s %lu %ld %ld %s%s%s\n", op, (unsigned long)inode, size,
                        result, path, second ? " " : "", second ? second : "");
  pthread_mutex_lock(&lock);
  if (fd < 0)
    fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd >= 0 && length > 0) syscall(SYS_write, fd, line, (size_t)length);
  pthread_mutex_unlock(&lock);
  errno = before;
}

/* The path of a regular file or a folder; else 0. */
static int path_of(int fd, char *path, struct stat *seen) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  if (length <= 0 || path[0] != '/') return 0;
  path[length] = 0;
  return fstat(fd, seen) == 0 && (S_ISREG(seen->st_mode) || S_ISDIR(seen->st_mode));
}

static ino_t inode_of(const char *path) {
  struct stat seen;
  int before = errno;
  ino_t inode = stat(path, &seen) == 0 ? seen.st_ino : 0;
  errno = before;
  return inode;
}

/* A write of `bytes` bytes by `call`, half of them by `half`. */
#define WRITE(fd, bytes, call, half)                                        \
  char path[PATH_MAX];                                                      \
  struct stat seen;                                                         \
  if (!path_of(fd, path, &seen)) return call;                               \
  int wrong = fault("write", path);                                         \
  if (wrong > 0) {                                                          \
    note("write", seen.st_ino, (long)(bytes), -wrong, path, NULL);          \
    errno = wrong;                                                          \
    return -1;                                                              \
  }                                                                         \
  ssize_t done = wrong < 0 ? half : call;                                   \
  note("write", seen.st_ino, (long)(bytes), (long)done, path, NULL);        \
  return done

ssize_t write(int fd, const void *data, size_t bytes) {
  WRITE(fd, bytes, REAL(write)(fd, data, bytes), REAL(write)(fd, data, (bytes + 1) / 2));
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  size_t bytes = 0;
  for (int i = 0; i < count; i++) bytes += parts[i].iov_len;
  int filled = 0;
  while (filled < count - 1 && parts[filled].iov_len == 0) filled++;
  WRITE(fd, bytes, REAL(writev)(fd, parts, count),
        REAL(write)(fd, parts[filled].iov_base, (parts[filled].iov_len + 1) / 2));
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at) {
  WRITE(fd, bytes, REAL(pwrite)(fd, data, bytes, at), REAL(pwrite)(fd, data, (bytes + 1) / 2, at));
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t at) {
  WRITE(fd, bytes, REAL(pwrite64)(fd, data, bytes, at),
        REAL(pwrite64)(fd, data, (bytes + 1) / 2, at));
}

#define CALL(op, fd, size, call)                                            \
  char path[PATH_MAX];                                                      \
  struct stat seen;                                                         \
  if (!path_of(fd, path, &seen)) return call;                               \
  int wrong = fault(op, path);                                              \
  if (wrong > 0) {                                                          \
    note(op, seen.st_ino, (long)(size), -wrong, path, NULL);                \
    errno = wrong;                                                          \
    return -1;                                                              \
  }                                                                         \
  int done = call;                                                          \
  note(op, seen.st_ino, (long)(size), done, path, NULL);                    \
  return done

int fdatasync(int fd) { CALL("sync", fd, seen.st_size, REAL(fdatasync)(fd)); }
int fsync(int fd) { CALL("sync", fd, seen.st_size, REAL(fsync)(fd)); }
int ftruncate(int fd, off_t size) { CALL("truncate", fd, size, REAL(ftruncate)(fd, size)); }
int ftruncate64(int fd, off64_t size) { CALL("truncate", fd, size, REAL(ftruncate64)(fd, size)); }

static int opened(const char *path, int flags, int fd) {
  if (fd >= 0 && (flags & (O_CREAT | O_TRUNC)) && path[0] == '/') {
    struct stat seen;
    if (fstat(fd, &seen) == 0) note("open", seen.st_ino, (long)seen.st_size, 0, path, NULL);
  }
  return fd;
}

#define OPEN(path, flags, call)                                             \
  va_list rest;                                                             \
  va_start(rest, flags);                                                    \
  mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0; \
  va_end(rest);                                                             \
  const char *op = (flags & O_CREAT) ? "open" : "load";                     \
  int wrong = fault(op, path);                                              \
  if (wrong > 0) {                                                          \
    note(op, 0, 0, -wrong, path, NULL);                                     \
    errno = wrong;                                                          \
    return -1;                                                              \
  }                                                                         \
  return opened(path, flags, call)

int open(const char *path, int flags, ...) { OPEN(path, flags, REAL(open)(path, flags, mode)); }
int open64(const char *path, int flags, ...) { OPEN(path, flags, REAL(open64)(path, flags, mode)); }

int mkdir(const char *path, mode_t mode) {
  int done = REAL(mkdir)(path, mode);
  if (done == 0) note("mkdir", inode_of(path), 0, 0, path, NULL);
  return done;
}

int rename(const char *from, const char *to) {
  int wrong = fault("rename", from);
  note("rename", inode_of(from), 0, -wrong, from, to);
  if (wrong > 0) {
    errno = wrong;
    return -1;
  }
  return REAL(rename)(from, to);
}

int unlink(const char *path) {
  int wrong = fault("unlink", path);
  note("unlink", inode_of(path), 0, -wrong, path, NULL);
  if (wrong > 0) {
    errno = wrong;
    return -1;
  }
  return REAL(unlink)(path);
}
