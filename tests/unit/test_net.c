/* --net, and virtio-net on user networking: DHCP, UDP both ways and through a forwarded port, with
 * real sockets on the host's loopback. */
#include "virtio_rig.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static struct rig rig;
static struct error err;

/* ---- --net ---- */

static void networks_are_described(void **state)
{
    static const struct {
        const char *text, *says; /* NULL: it is well-formed */
    } cases[] = {
        {"none", NULL},
        {"user", NULL},
        {"user,hostfwd=tcp:127.0.0.1:2222-:22,mac=52:54:00:aB:Cd:ef", NULL},
        {"user,hostfwd=udp::53-10.0.2.15:5353,hostfwd=tcp::80-:80", NULL},
        {"", "neither 'user' nor 'none'"},
        {"tap", "'tap' is neither"},
        {"none,mac=52:54:00:00:00:01", "'none' is neither"},
        {"user,restrict=on", "'restrict' is not one of its keys (hostfwd, mac)"},
        {"user,mac=52:54:00:00:00", "mac takes"},
        {"user,mac=52:54:00:00:00:0g", "mac takes"},
        {"user,mac=52:54:00:00:00:01:02", "mac takes"},
        {"user,mac=53:54:00:00:00:01", "mac takes"},
        {"user,hostfwd=tcp:2222-:22", "hostfwd takes"},
        {"user,hostfwd=tcp::2222", "hostfwd takes"},
        {"user,hostfwd=tcp::0-:22", "hostfwd takes"},
        {"user,hostfwd=tcp::65536-:22", "hostfwd takes"},
        {"user,hostfwd=tcp::99999999999-:22", "hostfwd takes"},
        {"user,hostfwd=tcp::22x-:22", "hostfwd takes"},
        {"user,hostfwd=tcp:256.1.1.1:22-:22", "hostfwd takes"},
        {"user,hostfwd=tcp:localhost:22-:22", "hostfwd takes"},
        {"user,hostfwd=sctp::22-:22", "hostfwd takes"},
        {"user,hostfwd=tcp:-:22", "hostfwd takes"},
        {"user,hostfwd=tcp-:22", "hostfwd takes"},
    };
    static char many[4000];
    struct net_config c;

    for (size_t i = 0; i < COUNT(cases); i++) {
        enum status s = net_parse(cases[i].text, &c, &err);

        if ((s == OK) != !cases[i].says || (s != OK && !strstr(err.text, cases[i].says)))
            fail_msg("'%s': %s", cases[i].text, s == OK ? "accepted" : err.text);
    }
    assert_int_equal(net_parse(cases[2].text, &c, &err), OK);
    assert_int_equal(c.kind, NET_USER);
    assert_memory_equal(c.mac, "\x52\x54\x00\xab\xcd\xef", 6);
    assert_int_equal(c.forwards, 1);
    assert_int_equal(c.forward[0].host, 0x7f000001);
    assert_int_equal(c.forward[0].host_port, 2222);
    assert_int_equal(c.forward[0].guest, 0);
    assert_int_equal(c.forward[0].guest_port, 22);
    strcpy(many, "user");
    for (unsigned i = 0; i < NET_FORWARDS + 1; i++) {
        assert_int_equal(net_parse(many, &c, &err), OK);
        strcat(many, ",hostfwd=tcp::80-:80");
    }
    assert_int_equal(net_parse(many, &c, &err), ERR_ARG);
}

/* ---- frames ---- */

#define RX(i) (RIG_DATA + 0x1000u * (i))
#define TX    (RIG_DATA + 0x80000u)

static struct virtio *net;
static uint32_t rx_size;

static void offer_buffers(unsigned first, unsigned n)
{
    for (unsigned i = first; i < first + n; i++)
        rig_chain(&rig, 0, (uint16_t)i, 0, 0, RX(i), rx_size);
    rig_kick(&rig, 0);
}

static void up_with(const char *text, uint64_t without, uint32_t size, unsigned buffers)
{
    struct net_config c;

    assert_int_equal(net_parse(text, &c, &err), OK);
    rig_init(&rig);
    if (virtio_net_new(rig.f->board, rig.pci, &c, &net, &err) != OK)
        fail_msg("%s", err.text);
    rig_find(&rig, 1);
    assert_int_equal(cfg_get(&rig, 2, 2), 0x1041);
    assert_int_equal(rig_negotiate(&rig, rig_offered(&rig) & ~VIRTIO_F_EVENT_IDX & ~without), 0xb);
    rig_msix(&rig);
    rig_queue(&rig, 0, 64);
    rig_queue(&rig, 1, 64);
    rig_start(&rig);
    rx_size = size;
    offer_buffers(0, buffers);
}

static void down(void)
{
    virtio_free(net);
    rig_free(&rig);
}

static void be16(uint8_t *at, unsigned v)
{
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
}

static uint32_t sum16(const uint8_t *at, size_t n, uint32_t sum)
{
    for (size_t i = 0; i + 1 < n; i += 2)
        sum += (uint32_t)(at[i] << 8 | at[i + 1]);
    if (n % 2)
        sum += (uint32_t)at[n - 1] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

#define GUEST_MAC "\x52\x54\x00\x12\x34\x56"
#define GUEST_IP  "\x0a\x00\x02\x0f"
#define HOST_IP   "\x0a\x00\x02\x02"
#define ANY_IP    "\0\0\0\0"
#define ALL_IP    "\xff\xff\xff\xff"

/* Who has 10.0.2.2? From this the network learns where 10.0.2.15 is. */
static void announce(void)
{
    static const uint8_t arp[] =
        "\xff\xff\xff\xff\xff\xff" GUEST_MAC
        "\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01" GUEST_MAC GUEST_IP "\0\0\0\0\0\0" HOST_IP;
    uint8_t *h = rig.f->ram + TX;

    memset(h, 0, 12);
    memcpy(h + 12, arp, 42);
    assert_int_equal(rig_do(&rig, 1, TX, 12 + 42, 0, 0), 0);
}

/* A UDP frame whose checksum the device has to finish; true when the device took it. */
static bool send_udp(const char *from, unsigned sport, const char *to, unsigned dport,
                     const void *text, size_t n, bool spoil)
{
    uint8_t *h = rig.f->ram + TX, *eth = h + 12, *ip = eth + 14, *udp = ip + 20;

    memset(h, 0, 12 + 14 + 20 + 8);
    h[0] = 1; /* needs a checksum, */
    store16(h + 6, 14 + 20);
    store16(h + 8, 6);
    memset(eth, 0xff, 6);
    memcpy(eth + 6, GUEST_MAC, 6);
    be16(eth + 12, 0x0800);
    ip[0] = 0x45;
    be16(ip + 2, (unsigned)(28 + n));
    ip[8] = 64;
    ip[9] = 17;
    memcpy(ip + 12, from, 4);
    memcpy(ip + 16, to, 4);
    be16(ip + 10, sum16(ip, 20, 0) ^ 0xffff);
    be16(udp, sport);
    be16(udp + 2, dport);
    be16(udp + 4, (unsigned)(8 + n));
    /* ... of which the pseudo-header's part is there already */
    be16(udp + 6, sum16(ip + 12, 8, (uint32_t)(17 + 8 + n + spoil)));
    memcpy(udp + 8, text, n);
    return rig_do(&rig, 1, TX, (uint32_t)(12 + 14 + 28 + n), 0, 0) == 0;
}

/* The next frame for the guest, header and all, put together; 0 when none comes in 2 s. */
static size_t receive(uint8_t *frame, unsigned *buffers)
{
    for (unsigned tries = 0; tries < 200; tries++) {
        size_t n = 0;
        uint16_t head;
        int64_t len = rig_used(&rig, 0, &head);

        if (len < 0) {
            board_poll(rig.f->board, 10000000);
            rig.f->now += 10000000;
            continue;
        }
        *buffers = load16(rig.f->ram + RX(head) + 10);
        for (unsigned i = 0; i < *buffers; i++) {
            assert_true(!i || (len = rig_used(&rig, 0, &head)) >= 0);
            memcpy(frame + n, rig.f->ram + RX(head), (size_t)len);
            n += (size_t)len;
        }
        return n;
    }
    return 0;
}

/* The next UDP frame's text; other frames are passed over. */
static size_t receive_udp(uint8_t *text, unsigned *sport, unsigned *buffers)
{
    static uint8_t frame[70000];
    const uint8_t *ip = frame + 12 + 14, *udp = ip + 20;
    size_t n;

    while ((n = receive(frame, buffers)))
        if (frame[12 + 12] == 8 && frame[12 + 13] == 0 && ip[9] == 17) {
            size_t len = (size_t)(udp[4] << 8 | udp[5]) - 8;

            assert_true(12 + 14 + 28 + len <= n);
            assert_int_equal(frame[0], virtio_has(net, BIT(1)) ? 2 : 0);
            *sport = (unsigned)(udp[0] << 8 | udp[1]);
            memcpy(text, udp + 8, len);
            return len;
        }
    return 0;
}

static void dhcp_gives_the_usual_address(void **state)
{
    uint8_t bootp[300] = {1, 1, 6, 0, 0x39, 3, 0xf3, 0x26}, reply[1500];
    unsigned port, buffers;

    up_with("user", 0, 2048, 16);
    assert_int_equal(config_get(&rig, 6, 2), 1);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(config_get(&rig, i, 1), (uint8_t)GUEST_MAC[i]);
    memcpy(bootp + 28, GUEST_MAC, 6);
    memcpy(bootp + 236, "\x63\x82\x53\x63\x35\x01\x01\xff", 8); /* DISCOVER */
    assert_true(send_udp(ANY_IP, 68, ALL_IP, 67, bootp, sizeof(bootp), false));
    assert_true(receive_udp(reply, &port, &buffers) > 240);
    assert_int_equal(port, 67);
    assert_int_equal(buffers, 1);
    assert_memory_equal(reply + 4, "\x39\x03\xf3\x26", 4);
    assert_memory_equal(reply + 16, GUEST_IP, 4);
    assert_true(rig_irq(&rig, 1));
    down();
}

static int udp_socket(uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct timeval patience = {.tv_sec = 5};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    *port = ntohs(a.sin_port);
    return fd;
}

/* The guest speaks to a server on the host's loopback as 10.0.2.2, and is answered. */
static void talk(unsigned text_len, unsigned buffers_wanted)
{
    uint8_t sent[1400], got[1500];
    struct sockaddr_in peer;
    socklen_t len = sizeof(peer);
    unsigned sport, buffers;
    uint16_t port;
    int fd = udp_socket(&port);

    announce();
    for (unsigned i = 0; i < text_len; i++)
        sent[i] = (uint8_t)(i * 3);
    assert_true(send_udp(GUEST_IP, 5000, HOST_IP, port, "spoilt", 6, true));
    assert_true(send_udp(GUEST_IP, 5000, HOST_IP, port, sent, text_len, false));
    assert_int_equal(recvfrom(fd, got, sizeof(got), 0, (struct sockaddr *)&peer, &len), text_len);
    assert_memory_equal(got, sent, text_len);
    for (unsigned i = 0; i < text_len; i++)
        sent[i] ^= 0x55;
    assert_int_equal(sendto(fd, sent, text_len, 0, (struct sockaddr *)&peer, len), text_len);
    assert_int_equal(receive_udp(got, &sport, &buffers), text_len);
    assert_memory_equal(got, sent, text_len);
    assert_int_equal(sport, port);
    assert_int_equal(buffers, buffers_wanted);
    close(fd);
}

static void the_host_is_reached(void **state)
{
    up_with("user", 0, 2048, 16);
    talk(1001, 1); /* an odd length, for the checksum */
    talk(2, 1);
    down();
    up_with("user", 0, 200, 60); /* 12 + 14 + 28 + 1000 bytes in buffers of 200 */
    talk(1000, 6);
    down();
    up_with("user", BIT(15) | BIT(1), 2048, 16); /* no merging, no word on checksums */
    talk(1000, 1);
    down();
}

static void frames_wait_for_buffers(void **state)
{
    uint8_t got[1500];
    unsigned sport, buffers;
    uint16_t port;
    struct sockaddr_in peer;
    socklen_t len = sizeof(peer);
    int fd = udp_socket(&port);

    up_with("user", 0, 100, 5); /* the ARP reply takes one; four are not enough for the frame */
    announce();
    send_udp(GUEST_IP, 5000, HOST_IP, port, "ping", 4, false);
    assert_int_equal(recvfrom(fd, got, sizeof(got), 0, (struct sockaddr *)&peer, &len), 4);
    memset(got, 'x', 700);
    assert_int_equal(sendto(fd, got, 700, 0, (struct sockaddr *)&peer, len), 700);
    assert_int_equal(receive_udp(got, &sport, &buffers), 0);
    offer_buffers(5, 20);
    assert_int_equal(receive_udp(got, &sport, &buffers), 700);
    assert_int_equal(buffers, 8);
    close(fd);
    down();
}

static void a_forwarded_port_reaches_the_guest(void **state)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    char text[100];
    uint8_t got[1500];
    unsigned sport, buffers;
    uint16_t port, mine;
    int fd = udp_socket(&port), from;
    struct net_config c;

    snprintf(text, sizeof(text), "user,hostfwd=udp:127.0.0.1:%u-:7777", port);
    assert_int_equal(net_parse(text, &c, &err), OK);
    rig_init(&rig);
    assert_int_equal(virtio_net_new(rig.f->board, rig.pci, &c, &net, &err), ERR_IO);
    assert_non_null(strstr(err.text, "cannot listen on UDP port 127.0.0.1:"));
    assert_null(net);
    rig_free(&rig);
    close(fd);

    up_with(text, 0, 2048, 16);
    announce();
    from = udp_socket(&mine);
    a.sin_port = htons(port);
    assert_int_equal(sendto(from, "knock", 5, 0, (struct sockaddr *)&a, sizeof(a)), 5);
    assert_int_equal(receive_udp(got, &sport, &buffers), 5);
    assert_memory_equal(got, "knock", 5);
    close(from);
    down();
}

static void bad_frames_are_dropped(void **state)
{
    uint8_t *h;

    up_with("user", 0, 2048, 16);
    h = rig.f->ram + TX;
    memset(h, 0, 0x100);
    assert_int_equal(rig_do(&rig, 1, TX, 12, 0, 0), 0);      /* no frame at all */
    assert_int_equal(rig_do(&rig, 1, TX, 5, 0, 0), 0);       /* no whole header */
    assert_int_equal(rig_do(&rig, 1, TX, 0x60000, 0, 0), 0); /* longer than any frame */
    h[0] = 1;
    store16(h + 6, 0xffff); /* a checksum outside the frame */
    store16(h + 8, 0xffff);
    assert_int_equal(rig_do(&rig, 1, TX, 100, 0, 0), 0);
    store16(h + 6, 10);
    store16(h + 8, 87 - 10);
    assert_int_equal(rig_do(&rig, 1, TX, 100, 0, 0), 0);
    assert_int_equal(status_get(&rig), 0xf);
    down();
}

static void none_is_no_device(void **state)
{
    struct net_config c;

    assert_int_equal(net_parse("none", &c, &err), OK);
    rig_init(&rig);
    assert_int_equal(virtio_net_new(rig.f->board, rig.pci, &c, &net, &err), OK);
    assert_null(net);
    virtio_free(net);
    rig_free(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_are_described),
        cmocka_unit_test(none_is_no_device),
        cmocka_unit_test(dhcp_gives_the_usual_address),
        cmocka_unit_test(the_host_is_reached),
        cmocka_unit_test(frames_wait_for_buffers),
        cmocka_unit_test(a_forwarded_port_reaches_the_guest),
        cmocka_unit_test(bad_frames_are_dropped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
