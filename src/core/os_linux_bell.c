/* os_linux_bell.c -- the Linux half of os.h: doorbells.
**
** A bell is an abstract datagram socket that the kernel names: five characters after a zero byte,
** which travel as one word of shared memory. A ring is an empty datagram; a bell with a datagram
** in it is readable. The socket and its name end with the process that made it, so a ring for the
** dead is refused and owes nothing, and a later bell of the same name is rung once in vain, which
** its owner must bear from anyone. The kernel queues a few rings per bell and charges them to the
** sender until they are heard: a sender whom many deaf bells have used up steps aside for a fresh
** one. Nothing is locked; who dies between commit and ring is covered by the waiter's timer.
*/
#include "os.h"
#include "os_call.h"

#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NAME_LENGTH 5   /* characters of a name, without the zero byte before them */
#define ADDRESS_LENGTH ((socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + NAME_LENGTH))

static int bell_socket(void) {
  int fd = MP_CALL(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return fd < 0 ? -errno : mp_os_raise_above_stdio(fd);
}

/* An address of the family alone has the kernel choose the name. */
static int bell_bind(int fd, uint64_t *name) {
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  socklen_t length = sizeof address;
  const struct sockaddr *any = (const struct sockaddr *)&address;
  if (MP_CALL(bind(fd, any, sizeof address.sun_family)) < 0) return -errno;
  if (MP_CALL(getsockname(fd, (struct sockaddr *)&address, &length)) < 0) return -errno;
  if (length != ADDRESS_LENGTH || address.sun_path[0] != '\0') return -EPROTO;
  *name = 0;
  memcpy(name, address.sun_path + 1, NAME_LENGTH);
  return 0;
}

int mp_os_bell_create(int *fd, uint64_t *name) {
  uint64_t bound;
  int made = bell_socket();
  if (made < 0) return made;
  int r = bell_bind(made, &bound);
  if (r < 0) {
    mp_os_close(made);
    return r;
  }
  *fd = made;
  *name = bound;
  return 0;
}

int mp_os_bell_sender(int *fd) {
  int made = bell_socket();
  if (made < 0) return made;
  *fd = made;
  return 0;
}

static int ring(int sender, uint64_t name) {
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  memcpy(address.sun_path + 1, &name, NAME_LENGTH);
  const struct sockaddr *to = (const struct sockaddr *)&address;
  ssize_t r;
  do r = MP_CALL(sendto(sender, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL, to, ADDRESS_LENGTH));
  while (r < 0 && errno == EINTR);
  return r < 0 ? -errno : 0;
}

/* Whether it may be the sender's own allowance that is used up, not the bell's queue: one more
** ring is charged less than a quarter of any allowance. */
static int sender_exhausted(int sender) {
  int unheard = 0, allowance = 0;
  socklen_t length = sizeof allowance;
  if (ioctl(sender, SIOCOUTQ, &unheard) < 0) return 1;
  if (getsockopt(sender, SOL_SOCKET, SO_SNDBUF, &allowance, &length) < 0) return 1;
  return unheard > allowance - allowance / 4;
}

static int ring_afresh(uint64_t name) {
  int fresh = bell_socket();
  if (fresh < 0) return fresh;
  int r = ring(fresh, name);
  mp_os_close(fresh);
  return r;
}

int mp_os_bell_ring(int sender, uint64_t name) {
  int r = ring(sender, name);
  if (r == -EAGAIN && sender_exhausted(sender)) r = ring_afresh(name);
  return r == -EAGAIN || r == -ECONNREFUSED ? 0 : r;
}

int mp_os_bell_drain(int fd) {
  char nothing;
  int rings = 0;
  for (;;) {
    ssize_t r = MP_CALL(recv(fd, &nothing, sizeof nothing, MSG_DONTWAIT));
    if (r >= 0) rings++;
    else if (errno == EAGAIN) return rings;
    else if (errno != EINTR) return -errno;
  }
}
