#include "base/rfc3339.h"
#include "base/must.h"
#include <stdio.h>

#define MS_PER_DAY 86400000ll

/* Days are counted as in Howard Hinnant's "chrono-compatible low-level date algorithms": the year begins in March, so
 * that the leap day is its last. */
static int64_t days_of(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    unsigned year_of_era = (unsigned)(year - era * 400);
    unsigned day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + (int64_t)day_of_era - 719468;
}

static void date_of(int64_t days, int *ret_year, unsigned *ret_month, unsigned *ret_day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    unsigned day_of_era = (unsigned)(days - era * 146097);
    unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month = (5 * day_of_year + 2) / 153; /* from March */
    *ret_day = day_of_year - (153 * month + 2) / 5 + 1;
    *ret_month = month < 10 ? month + 3 : month - 9;
    *ret_year = (int)(year_of_era + era * 400 + (*ret_month <= 2));
}

const char *rfc3339_write(char room[RFC3339_SIZE], wall_time t)
{
    int64_t least = days_of(0, 1, 1) * MS_PER_DAY, most = days_of(10000, 1, 1) * MS_PER_DAY - 1;
    int64_t ms = t.ms < least ? least : t.ms > most ? most : t.ms;
    int64_t days = (ms >= 0 ? ms : ms - (MS_PER_DAY - 1)) / MS_PER_DAY;
    unsigned rest = (unsigned)(ms - days * MS_PER_DAY);
    int year;
    unsigned month, day;
    date_of(days, &year, &month, &day);
    int size = snprintf(room, RFC3339_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", (unsigned)year % 10000, month % 100,
                        day % 100, rest / 3600000 % 100, rest / 60000 % 60, rest / 1000 % 60, rest % 1000);
    must(size == RFC3339_SIZE - 1);
    return room;
}

/* Exactly `count` digits. */
static bool number(struct reader *r, unsigned count, unsigned *ret_number)
{
    unsigned n = 0;
    while (count-- > 0) {
        uint8_t c = read_u8(r);
        if (c < '0' || c > '9')
            return false;
        n = n * 10 + (c - '0');
    }
    *ret_number = n;
    return true;
}

static bool fraction(struct reader *r, unsigned *ret_ms)
{
    unsigned ms = 0, weight = 100;
    size_t count = 0;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; count++, weight /= 10)
        ms += weight * (unsigned)(*r->at++ - '0');
    *ret_ms = ms;
    return count > 0;
}

static bool zone(struct reader *r, int64_t *ret_minutes)
{
    uint8_t sign = read_u8(r);
    unsigned hours, minutes;
    if (sign == 'Z' || sign == 'z') {
        *ret_minutes = 0;
        return true;
    }
    if ((sign != '+' && sign != '-') || !number(r, 2, &hours) || read_u8(r) != ':' || !number(r, 2, &minutes))
        return false;
    int64_t offset = (int64_t)hours * 60 + minutes;
    *ret_minutes = sign == '-' ? -offset : offset;
    return hours <= 23 && minutes <= 59;
}

static unsigned days_in(unsigned year, unsigned month)
{
    static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

bool rfc3339_read(struct bytes text, wall_time *ret_time)
{
    struct reader r = reader_of(text);
    unsigned year, month, day, hour, minute, second, ms = 0;
    int64_t offset;
    if (!number(&r, 4, &year) || read_u8(&r) != '-' || !number(&r, 2, &month) || read_u8(&r) != '-' ||
        !number(&r, 2, &day))
        return false;
    uint8_t between = read_u8(&r);
    if (between != 'T' && between != 't' && between != ' ')
        return false;
    if (!number(&r, 2, &hour) || read_u8(&r) != ':' || !number(&r, 2, &minute) || read_u8(&r) != ':' ||
        !number(&r, 2, &second))
        return false;
    if (reader_left(&r) > 0 && *r.at == '.') {
        read_u8(&r);
        if (!fraction(&r, &ms))
            return false;
    }
    if (!zone(&r, &offset) || r.spent || reader_left(&r) > 0)
        return false;
    if (month < 1 || month > 12 || day < 1 || day > days_in(year, month) || hour > 23 || minute > 59 || second > 60)
        return false; /* second 60 is a leap second: the next minute's first */
    int64_t minutes = days_of(year, month, day) * 1440 + (int64_t)hour * 60 + minute - offset;
    *ret_time = (wall_time){ minutes * 60000 + (int64_t)second * 1000 + ms };
    return true;
}
