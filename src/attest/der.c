/* A strict reader of DER; see der.h. */
#include "attest/der.h"

bool der_next(struct attest_span *from, struct der_item *item)
{
    const uint8_t *p = from->at;
    size_t left = from->len, header = 2, len;

    if (left < 2 || (p[0] & 0x1F) == 0x1F)
        return false;
    len = p[1];
    if (len & 0x80) {
        size_t n = len & 0x7F;

        if (!n || n > 3 || left < 2 + n || !p[2])
            return false;
        len = 0;
        for (size_t i = 0; i < n; i++)
            len = len << 8 | p[2 + i];
        if (len < 0x80)
            return false;
        header += n;
    }
    if (len > left - header)
        return false;
    *item = (struct der_item){p[0], {p, header + len}, {p + header, len}};
    *from = (struct attest_span){p + header + len, left - header - len};
    return true;
}

bool der_take(struct attest_span *from, uint8_t tag, struct der_item *item)
{
    struct attest_span rest = *from;

    if (!der_next(&rest, item) || item->tag != tag)
        return false;
    *from = rest;
    return true;
}

bool der_only(struct attest_span whole, uint8_t tag, struct attest_span *body)
{
    struct der_item item;

    if (!der_take(&whole, tag, &item) || whole.len)
        return false;
    *body = item.body;
    return true;
}

bool der_is(struct attest_span body, const void *bytes, size_t len)
{
    return body.len == len && memcmp(body.at, bytes, len) == 0;
}

bool der_integer_ok(struct attest_span body)
{
    if (!body.len)
        return false;
    return body.len == 1 || !((body.at[0] == 0 && !(body.at[1] & 0x80)) ||
                              (body.at[0] == 0xFF && (body.at[1] & 0x80)));
}

bool der_number(struct attest_span body, uint64_t *number)
{
    uint64_t v = 0;

    if (!der_integer_ok(body) || body.len > 8 || (body.at[0] & 0x80))
        return false;
    for (size_t i = 0; i < body.len; i++)
        v = v << 8 | body.at[i];
    *number = v;
    return true;
}

bool der_bits(struct attest_span body, struct attest_span *bytes)
{
    if (!body.len || body.at[0])
        return false;
    *bytes = (struct attest_span){body.at + 1, body.len - 1};
    return true;
}

static bool two_digits(const uint8_t **p, unsigned least, unsigned most, unsigned *out)
{
    unsigned v;

    if ((*p)[0] < '0' || (*p)[0] > '9' || (*p)[1] < '0' || (*p)[1] > '9')
        return false;
    v = (unsigned)((*p)[0] - '0') * 10 + (unsigned)((*p)[1] - '0');
    *p += 2;
    *out = v;
    return v >= least && v <= most;
}

/* Days since 1970, from a date of the Gregorian calendar; years begin in March here. */
static int64_t days_of(unsigned year, unsigned month, unsigned day)
{
    int64_t y = (int64_t)year - (month <= 2), era = y / 400, yoe = y - era * 400;
    int64_t doy = (153 * (int64_t)(month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static unsigned days_in(unsigned year, unsigned month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap);
}

bool der_time(struct attest_span *from, int64_t *at)
{
    unsigned century = 0, year, month, day, hour, minute, second;
    struct der_item item;
    const uint8_t *p;

    if (!der_next(from, &item))
        return false;
    p = item.body.at;
    if (item.tag == DER_GENERAL_TIME && item.body.len == 15) {
        if (!two_digits(&p, 0, 99, &century))
            return false;
    } else if (item.tag != DER_UTC_TIME || item.body.len != 13) {
        return false;
    }
    if (!two_digits(&p, 0, 99, &year) || !two_digits(&p, 1, 12, &month) ||
        !two_digits(&p, 1, 31, &day) || !two_digits(&p, 0, 23, &hour) ||
        !two_digits(&p, 0, 59, &minute) || !two_digits(&p, 0, 59, &second) || *p != 'Z')
        return false;
    year += item.tag == DER_UTC_TIME ? (year < 50 ? 2000 : 1900) : century * 100;
    if (day > days_in(year, month))
        return false;
    *at = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    return true;
}
