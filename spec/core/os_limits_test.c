/* What control groups allow, read from trees of our own making. */
#include "test.h"

#include <sched.h>
#include <sys/stat.h>

#include "../../src/core/os.h"

static char root[64];

static void path_of(char *path, size_t size, const char *name) {
  CHECK(snprintf(path, size, "%s/%s", root, name) < (int)size);
}

static void folder(const char *name) {
  char path[200];
  path_of(path, sizeof path, name);
  CHECK_EQ(mkdir(path, 0700), 0);
}

static void file(const char *name, const char *text) {
  char path[200];
  path_of(path, sizeof path, name);
  FILE *f = fopen(path, "w");
  CHECK(f != NULL && fputs(text, f) >= 0);
  fclose(f);
}

static void tree_begin(void) {
  strcpy(root, "/tmp/mp_limits_XXXXXX");
  CHECK(mkdtemp(root) != NULL);
}

static void tree_end(void) {
  char command[100];
  snprintf(command, sizeof command, "rm -r %s", root);
  CHECK_EQ(system(command), 0);
}

static struct mp_os_limits limits_for(const char *membership) {
  struct mp_os_limits limits;
  char path[200];
  file("membership", membership);
  path_of(path, sizeof path, "membership");
  mp_os_cgroup_limits(path, root, &limits);
  return limits;
}

TEST(the_least_of_a_group_and_those_above_holds) {
  tree_begin();
  folder("a"), folder("a/b"), folder("a/b/c");
  file("a/memory.max", "1000000\n");
  file("a/b/memory.max", "2000000\n");
  file("a/b/c/memory.max", "max\n");
  file("a/b/cpu.max", "150000 100000\n");
  file("a/b/c/cpu.max", "max 100000\n");
  struct mp_os_limits limits = limits_for("0::/a/b/c\n");
  CHECK_EQ(limits.memory, 1000000);
  CHECK_EQ(limits.millicpus, 1500);
  limits = limits_for("0::/\n");   /* at the top there are no such files */
  CHECK(limits.memory == UINT64_MAX && limits.millicpus == UINT64_MAX);
  tree_end();
}

TEST(a_path_that_leads_nowhere_ends_at_the_mount) {
  tree_begin();
  file("memory.max", "5000\n");
  file("cpu.max", "50000 100000\n");
  struct mp_os_limits limits = limits_for("0::/of/the/host\n");
  CHECK_EQ(limits.memory, 5000);
  CHECK_EQ(limits.millicpus, 500);
  tree_end();
}

TEST(version_one_has_a_hierarchy_a_controller) {
  tree_begin();
  folder("memory"), folder("memory/m"), folder("cpu"), folder("cpu/q"), folder("cpuset");
  file("memory/memory.limit_in_bytes", "9223372036854771712\n");
  file("memory/m/memory.limit_in_bytes", "3000\n");
  file("cpu/q/cpu.cfs_quota_us", "25000\n");
  file("cpu/q/cpu.cfs_period_us", "100000\n");
  file("cpu/cpu.cfs_quota_us", "-1\n");
  file("cpu/cpu.cfs_period_us", "100000\n");
  struct mp_os_limits limits =
      limits_for("12:cpuset:/x\n5:cpu,cpuacct:/q\n4:memory:/m\n1:name=systemd:/m\n");
  CHECK_EQ(limits.memory, 3000);
  CHECK_EQ(limits.millicpus, 250);
  limits = limits_for("5:cpuacct,cpu:/q\n");
  CHECK_EQ(limits.millicpus, 250);
  CHECK(limits.memory == UINT64_MAX);
  limits = limits_for("5:cpuset,cpuacct:/q\n3:memory_else:/m\n");   /* names that only begin so */
  CHECK(limits.memory == UINT64_MAX && limits.millicpus == UINT64_MAX);
  tree_end();
}

TEST(nonsense_limits_nothing) {
  static const char *const lines[] = {"", "\n\n", "0", "0:", "0::", "0::relative\n", ":::\n", "x"};
  tree_begin();
  folder("a");
  file("a/memory.max", "many\n");
  file("a/cpu.max", "1\n");
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    struct mp_os_limits limits = limits_for(lines[i]);
    CHECK(limits.memory == UINT64_MAX && limits.millicpus == UINT64_MAX);
  }
  struct mp_os_limits limits = limits_for("0::/a\n");
  CHECK(limits.memory == UINT64_MAX && limits.millicpus == UINT64_MAX);
  mp_os_cgroup_limits("/no/such/file", root, &limits);
  CHECK(limits.memory == UINT64_MAX);
  tree_end();
}

TEST(a_path_of_any_length_is_taken_or_left) {
  static char line[6000];
  tree_begin();
  snprintf(line, sizeof line, "0::/%05990d", 1);
  struct mp_os_limits limits = limits_for(line);
  CHECK(limits.memory == UINT64_MAX);
  tree_end();
}

TEST(this_machine_has_memory_and_processors) {
  uint64_t bytes = 0;
  long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  CHECK_EQ(mp_os_ram(&bytes), 0);
  CHECK(bytes > 1 << 20 && bytes <= (uint64_t)pages * (uint64_t)page);
  CHECK_EQ(mp_os_cpu_count(), sysconf(_SC_NPROCESSORS_ONLN));
  CHECK(mp_os_cpu_allowed() >= 1 && mp_os_cpu_allowed() <= mp_os_cpu_count());
}

TEST(affinity_counts) {
  cpu_set_t all, one;
  CHECK_EQ(sched_getaffinity(0, sizeof all, &all), 0);
  CPU_ZERO(&one);
  for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
    if (CPU_ISSET(i, &all)) CPU_SET(i, &one);
  CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  CHECK_EQ(mp_os_cpu_allowed(), 1);
}

PLAIN_TEST(a_child_has_its_own_memory) {
  enum { LARGE = 64 << 20 };
  uint64_t before = 0, after = 0;
  int up[2];
  char byte;
  CHECK_EQ(pipe(up), 0);
  pid_t pid = fork();
  if (pid == 0) {
    char *p = malloc(LARGE);
    if (write(up[1], "a", 1) != 1) _exit(1);
    kill(getpid(), SIGSTOP);
    for (int i = 0; i < LARGE; i += 512) *(volatile char *)(p + i) = 1;
    if (write(up[1], "b", 1) != 1) _exit(1);
    for (;;) pause();
  }
  CHECK_EQ(read(up[0], &byte, 1), 1);
  CHECK_EQ(mp_os_memory_used(pid, &before), 0);
  CHECK_EQ(waitpid(pid, NULL, WUNTRACED), pid);
  CHECK_EQ(kill(pid, SIGCONT), 0);
  CHECK_EQ(read(up[0], &byte, 1), 1);
  CHECK_EQ(mp_os_memory_used(pid, &after), 0);
  CHECK(after > before + LARGE / 2 && after < before + 2 * LARGE); /* the kernel counts loosely */
  CHECK_EQ(mp_os_memory_used(0, &before), 0);
  CHECK(before < LARGE);
  CHECK_EQ(kill(pid, SIGKILL), 0);
  CHECK_EQ(waitpid(pid, NULL, 0), pid);
  CHECK_EQ(mp_os_memory_used(pid, &after), -ENOENT);
  close(up[0]);
  close(up[1]);
}
