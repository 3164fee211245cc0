/* Option strings for disks and networks: key=value,key=value, where ",," is a comma. */
#include "host/device/virtio_devices.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

struct option {
    char key[64];
    char value[4096];
};

/* The next part of `text`, of at most 4095 bytes; false at its end. A part without '=' is all key.
 */
static bool next_option(const char **text, struct option *o, bool *fits)
{
    char part[sizeof(o->key) + sizeof(o->value)];
    const char *at = *text, *equals;
    size_t n = 0, key;

    if (!*at)
        return false;
    for (; *at && (*at != ',' || at[1] == ','); at++) {
        at += *at == ',';
        if (n < sizeof(part) - 1)
            part[n++] = *at;
    }
    part[n] = '\0';
    *text = *at ? at + 1 : at;
    equals = strchr(part, '=');
    key = equals ? (size_t)(equals - part) : n;
    *fits = key < sizeof(o->key) && n - key <= sizeof(o->value);
    if (!*fits) {
        key = MIN(key, sizeof(o->key) - 1);
        equals = NULL;
    }
    memcpy(o->key, part, key);
    o->key[key] = '\0';
    snprintf(o->value, sizeof(o->value), "%s", equals ? equals + 1 : "");
    return true;
}

/* One row per key; `take` stores the value or says false, and then `wants` tells what it takes. */
struct key {
    const char *name, *wants;
    bool (*take)(void *config, const char *value);
};

static enum status take_option(const char *flag, const struct key *keys, size_t n, void *config,
                               const struct option *o, struct error *err)
{
    char known[128] = "";
    size_t at = 0;

    for (size_t i = 0; i < n; i++) {
        if (!strcmp(keys[i].name, o->key)) {
            if (keys[i].take(config, o->value))
                return OK;
            return fail(err, ERR_ARG, "%s: %s='%.200s' makes no sense: %s takes %s", flag, o->key,
                        o->value, o->key, keys[i].wants);
        }
        at += (size_t)snprintf(known + at, sizeof(known) - at, "%s%s", i ? ", " : "", keys[i].name);
        at = MIN(at, sizeof(known) - 1);
    }
    return fail(err, ERR_ARG, "%s: '%s' is not one of its keys (%s)", flag, o->key, known);
}

/* Every part from `text` on, through the table. */
static enum status take_options(const char *flag, const struct key *keys, size_t n, void *config,
                                const char *text, struct error *err)
{
    struct option o;
    bool fits;

    while (next_option(&text, &o, &fits)) {
        enum status s =
            fits ? take_option(flag, keys, n, config, &o, err)
                 : fail(err, ERR_ARG, "%s: '%s...' is too long for a key=value", flag, o.key);

        if (s != OK)
            return s;
    }
    return OK;
}

/* ---- drives ---- */

static bool take_file(void *config, const char *v)
{
    struct drive_config *d = config;

    snprintf(d->file, sizeof(d->file), "%s", v); /* both hold 4096 bytes */
    return *v;
}

static bool take_format(void *config, const char *v)
{
    struct drive_config *d = config;

    d->format = !strcmp(v, "raw") ? BLOCK_RAW : BLOCK_QCOW2;
    return !strcmp(v, "raw") || !strcmp(v, "qcow2");
}

static bool take_if(void *config, const char *v)
{
    struct drive_config *d = config;

    d->bus = !strcmp(v, "scsi") ? DRIVE_SCSI : DRIVE_VIRTIO;
    return !strcmp(v, "scsi") || !strcmp(v, "virtio");
}

static bool take_readonly(void *config, const char *v)
{
    struct drive_config *d = config;

    d->readonly = !strcmp(v, "on");
    return !strcmp(v, "on") || !strcmp(v, "off");
}

/* The guest shows it in names of device nodes. */
static bool take_serial(void *config, const char *v)
{
    struct drive_config *d = config;
    size_t n = strlen(v);

    for (size_t i = 0; i < n; i++)
        if (v[i] <= ' ' || v[i] > '~')
            return false;
    if (!n || n > DISK_SERIAL_MAX)
        return false;
    memcpy(d->serial, v, n + 1);
    return true;
}

static const struct key drive_keys[] = {
    {"file", "the path of a disk image", take_file},
    {"format", "raw or qcow2", take_format},
    {"if", "virtio or scsi", take_if},
    {"readonly", "on or off", take_readonly},
    {"serial", "1 to 20 printable characters without spaces", take_serial},
};

enum status drive_parse(const char *text, struct drive_config *out, struct error *err)
{
    enum status s;

    *out = (struct drive_config){.format = BLOCK_AUTO, .bus = DRIVE_VIRTIO};
    s = take_options("--drive", drive_keys, COUNT(drive_keys), out, text, err);
    if (s == OK && !out->file[0])
        return fail(err, ERR_ARG, "--drive '%.200s' names no image: file=PATH is needed", text);
    return s;
}

/* ---- networks ---- */

static bool parse_port(const char *s, size_t n, uint16_t *port)
{
    unsigned v = 0;

    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        v = v * 10 + (unsigned)(s[i] - '0');
        if (v > 65535)
            return false;
    }
    *port = (uint16_t)v;
    return n && v;
}

/* "address:port" of `n` bytes, either part of which ends the text; no address is 0. */
static bool parse_end(const char *s, size_t n, uint32_t *addr, uint16_t *port)
{
    const char *colon = memchr(s, ':', n);
    char text[INET_ADDRSTRLEN];
    struct in_addr in = {0};
    size_t len = colon ? (size_t)(colon - s) : 0;

    if (!colon || len >= sizeof(text))
        return false;
    memcpy(text, s, len);
    text[len] = '\0';
    if (len && inet_pton(AF_INET, text, &in) != 1)
        return false;
    *addr = ntohl(in.s_addr);
    return parse_port(colon + 1, n - len - 1, port);
}

static bool take_hostfwd(void *config, const char *v)
{
    struct net_config *c = config;
    struct net_forward *f = &c->forward[c->forwards];
    const char *dash = strchr(v, '-');

    if (c->forwards == NET_FORWARDS || !dash || (strncmp(v, "tcp:", 4) && strncmp(v, "udp:", 4)))
        return false;
    f->udp = v[0] == 'u';
    v += 4;
    if (v > dash || !parse_end(v, (size_t)(dash - v), &f->host, &f->host_port) ||
        !parse_end(dash + 1, strlen(dash + 1), &f->guest, &f->guest_port))
        return false;
    c->forwards++;
    return true;
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c | 0x20 : c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* Six pairs of digits, not a group's address. */
static bool take_mac(void *config, const char *v)
{
    struct net_config *c = config;

    for (unsigned i = 0; i < 6; i++, v += 3) {
        int high = hex_digit(v[0]), low = high < 0 ? -1 : hex_digit(v[1]);

        if (low < 0 || v[2] != (i < 5 ? ':' : '\0'))
            return false;
        c->mac[i] = (uint8_t)(high << 4 | low);
    }
    c->mac_given = true;
    return !(c->mac[0] & 1);
}

static const struct key net_keys[] = {
    {"hostfwd", "tcp|udp:[HOSTADDR]:PORT-[GUESTADDR]:PORT, at most 32 times", take_hostfwd},
    {"mac", "the address of one station, as in 52:54:00:12:34:56", take_mac},
};

enum status net_parse(const char *text, struct net_config *out, struct error *err)
{
    size_t kind = strcspn(text, ",");

    *out = (struct net_config){.kind = NET_NONE};
    if (!strcmp(text, "none"))
        return OK;
    if (kind != 4 || strncmp(text, "user", 4))
        return fail(err, ERR_ARG, "--net: '%.*s' is neither 'user' nor 'none'", (int)MIN(kind, 200),
                    text);
    out->kind = NET_USER;
    return take_options("--net", net_keys, COUNT(net_keys), out, text + kind + (text[kind] == ','),
                        err);
}
