/* os_linux_limits.c -- the Linux half of os.h: how much memory and how many processors.
**
** A process's limits are those of its control group and of each group above it, the least of each
** kind. The group's path is in /proc/self/cgroup: one line "0::/path" for version 2, one line
** "n:controller,…:/path" a controller for version 1. Inside a container that path may be the
** host's and lead nowhere here: files that are missing limit nothing, and the walk upwards ends at
** the mount's root, which then is the container's own group. Only reads; nothing to lock or repair.
*/
#include "os.h"
#include "os_call.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define FILE_LENGTH 4096   /* of /proc/self/cgroup: a dozen lines, each with one path */

/* Reads a small text file; -1 if it is not there. */
static int text_of(const char *path, char *text, size_t size) {
  int fd = MP_CALL(open(path, O_RDONLY | O_CLOEXEC));
  if (fd < 0) return -1;
  ptrdiff_t n = mp_os_read(fd, text, size - 1);
  mp_os_close(fd);
  if (n < 0) return -1;
  text[n] = '\0';
  return 0;
}

static int text_in(const char *group, const char *file, char *text, size_t size) {
  char path[PATH_MAX];
  int n = snprintf(path, sizeof path, "%s/%s", group, file);
  return n < 0 || (size_t)n >= sizeof path ? -1 : text_of(path, text, size);
}

static void lower(uint64_t *limit, uint64_t to) {
  if (to < *limit) *limit = to;
}

/* "max", or version 1's rounded INT64_MAX, is larger than any machine: no case of its own. */
static void lower_memory(const char *group, const char *file, struct mp_os_limits *out) {
  char text[64];
  char *end;
  if (text_in(group, file, text, sizeof text) < 0) return;
  unsigned long long bytes = strtoull(text, &end, 10);
  if (end != text) lower(&out->memory, bytes);
}

/* No quota is "max" in version 2, -1 in version 1: neither is positive. */
static void lower_cpus(const char *quota, const char *period, struct mp_os_limits *out) {
  long long q = strtoll(quota, NULL, 10), p = strtoll(period, NULL, 10);
  if (q <= 0 || p <= 0 || q > LLONG_MAX / 1000) return;
  lower(&out->millicpus, (uint64_t)(q * 1000 / p));
}

/* ---- one group ---- */

typedef void group_reader(const char *group, struct mp_os_limits *out);

static void read_v2(const char *group, struct mp_os_limits *out) {
  char text[64];
  lower_memory(group, "memory.max", out);
  if (text_in(group, "cpu.max", text, sizeof text) < 0) return;
  char *period = strchr(text, ' ');
  if (period) lower_cpus(text, period, out);
}

static void read_v1_memory(const char *group, struct mp_os_limits *out) {
  lower_memory(group, "memory.limit_in_bytes", out);
}

static void read_v1_cpu(const char *group, struct mp_os_limits *out) {
  char quota[64], period[64];
  if (text_in(group, "cpu.cfs_quota_us", quota, sizeof quota) < 0) return;
  if (text_in(group, "cpu.cfs_period_us", period, sizeof period) < 0) return;
  lower_cpus(quota, period, out);
}

/* ---- the way up ---- */

/* Reads the group `path` of the hierarchy mounted at `mount`, and those above it. */
static void read_upwards(const char *mount, const char *path, group_reader *reader,
                         struct mp_os_limits *out) {
  char group[PATH_MAX];
  int n = snprintf(group, sizeof group, "%s%s", mount, path);
  if (n < 0 || (size_t)n >= sizeof group) return;
  const size_t top = strlen(mount);
  while (strlen(group) > top) {
    if (group[strlen(group) - 1] != '/') reader(group, out);
    *strrchr(group, '/') = '\0';   /* the part after the mount begins with one */
  }
  reader(group, out);
}

static int names_controller(const char *list, const char *name) {
  const size_t n = strlen(name);
  for (const char *p = list; p; p = strchr(p, ',')) {
    if (*p == ',') p++;
    if (strncmp(p, name, n) == 0 && (p[n] == '\0' || p[n] == ',')) return 1;
  }
  return 0;
}

/* One line: a number, a colon, the controllers, a colon, the path. */
static void read_line(char *line, const char *root, struct mp_os_limits *out) {
  char mount[PATH_MAX];
  char *controllers = strchr(line, ':');
  char *path = controllers ? strchr(controllers + 1, ':') : NULL;
  if (path == NULL || path[1] != '/') return;
  *controllers++ = '\0';
  *path++ = '\0';
  if (*controllers == '\0') read_upwards(root, path, read_v2, out);
  if (names_controller(controllers, "memory")) {
    snprintf(mount, sizeof mount, "%s/memory", root);
    read_upwards(mount, path, read_v1_memory, out);
  }
  if (names_controller(controllers, "cpu")) {
    snprintf(mount, sizeof mount, "%s/cpu", root);
    read_upwards(mount, path, read_v1_cpu, out);
  }
}

void mp_os_cgroup_limits(const char *membership, const char *root, struct mp_os_limits *out) {
  char text[FILE_LENGTH];
  char *rest = text;
  *out = (struct mp_os_limits){ UINT64_MAX, UINT64_MAX };
  if (text_of(membership, text, sizeof text) < 0) return;
  for (char *line; (line = strsep(&rest, "\n")) != NULL;) read_line(line, root, out);
}

static void own_limits(struct mp_os_limits *out) {
  mp_os_cgroup_limits("/proc/self/cgroup", "/sys/fs/cgroup", out);
}

/* ---- what the rest asks ---- */

int mp_os_ram(uint64_t *bytes) {
  struct sysinfo info;
  struct mp_os_limits limits;
  if (MP_CALL(sysinfo(&info)) < 0) return -errno;
  own_limits(&limits);
  lower(&limits.memory, (uint64_t)info.totalram * info.mem_unit);
  *bytes = limits.memory;
  return 0;
}

/* The kernel wants a set at least as large as its own, whose size it does not tell. */
static int cpu_affinity(void) {
  for (int size = 1024; size <= 65536; size *= 4) {
    cpu_set_t *set = CPU_ALLOC((size_t)size);
    if (set == NULL) return -ENOMEM;
    int r = MP_CALL(sched_getaffinity(0, CPU_ALLOC_SIZE((size_t)size), set));
    int error = errno;
    int n = r < 0 ? 0 : CPU_COUNT_S(CPU_ALLOC_SIZE((size_t)size), set);
    CPU_FREE(set);
    if (r == 0) return n;
    if (error != EINVAL) return -error;
  }
  return -EINVAL;
}

int mp_os_cpu_allowed(void) {
  struct mp_os_limits limits;
  int n = cpu_affinity();
  if (n < 1) n = mp_os_cpu_count();
  own_limits(&limits);
  if (limits.millicpus < (uint64_t)n * 1000) n = (int)((limits.millicpus + 999) / 1000);
  return n < 1 ? 1 : n;
}

/* ---- what is in use ---- */

int mp_os_memory_used(int32_t pid, uint64_t *bytes) {
  char path[32] = "/proc/self/statm", text[128];
  unsigned long long resident, shared;
  if (pid != 0) snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
  if (text_of(path, text, sizeof text) < 0) return -ENOENT;
  if (sscanf(text, "%*s %llu %llu", &resident, &shared) != 2) return -EIO;
  *bytes = (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
  return 0;
}
