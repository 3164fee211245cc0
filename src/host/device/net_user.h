/* User networking: libslirp as a TCP/IP stack between the guest's frames and the host's sockets. */
#ifndef LUCCA_HOST_DEVICE_NET_USER_H
#define LUCCA_HOST_DEVICE_NET_USER_H

#include "host/device/virtio_devices.h"

struct net_user;

/* `deliver` takes a frame for the guest. It is called from net_user_send and from the board's
 * pollers and timers. */
typedef void net_deliver_fn(void *ctx, const uint8_t *frame, size_t len);

enum status net_user_new(struct board *b, const struct net_config *config, net_deliver_fn *deliver,
                         void *ctx, struct net_user **out, struct error *err) MUST_USE;
/* Joins the board's polling, for good. */
void net_user_start(struct net_user *n);
/* Once started, only when the board polls no more. NULL is fine. */
void net_user_free(struct net_user *n);
/* A frame from the guest. */
void net_user_send(struct net_user *n, const uint8_t *frame, size_t len);

#endif
