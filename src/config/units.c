/* units.c - numbers with units, and the values that are made of them: sizes, times, shares, rates, ranges, retention. */
#include "config/units.h"
#include "base/must.h"
#include "config/limits.h"
#include "config/messages.h"
#include <stdio.h>

static struct bytes part(struct bytes of, size_t from, size_t to)
{
    must(from <= to && to <= of.size);
    return (struct bytes){ of.at + from, to - from };
}

bool units_number(struct bytes text, uint64_t most, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] < '0' || text.at[i] > '9' || number > (UINT64_MAX - 9) / 10)
            return false;
        number = number * 10 + (uint64_t)(text.at[i] - '0');
    }
    if (text.size == 0 || number > most)
        return false;
    *ret_number = number;
    return true;
}

static const struct {
    const char *name, *wrong; /* and what people write for it elsewhere */
    unsigned shift;
} size_units[] = {
    { "B", "b", 0 },          { "KiB", "k|kb|ki", 10 }, { "MiB", "m|mb|mi", 20 },
    { "GiB", "g|gb|gi", 30 }, { "TiB", "t|tb|ti", 40 },
};

static const char *meant_unit(struct bytes unit)
{
    for (size_t i = 0; i < COUNT_OF(size_units); i++) {
        struct bytes wrong;
        if (word_distance(unit, bytes_of_text(size_units[i].name), 0) == 0)
            return size_units[i].name;
        for (uint32_t n = 0; (wrong = choice_at(size_units[i].wrong, n)).at != NULL; n++)
            if (word_distance(unit, wrong, 0) == 0)
                return size_units[i].name;
    }
    return NULL;
}

/* "7d", "64 KiB": a number, and what stands behind it. */
static bool split_number(struct bytes text, uint64_t *ret_number, struct bytes *ret_unit)
{
    size_t digits = 0;
    while (digits < text.size && text.at[digits] >= '0' && text.at[digits] <= '9')
        digits++;
    size_t unit_at = digits;
    while (unit_at < text.size && text.at[unit_at] == ' ')
        unit_at++;
    *ret_unit = part(text, unit_at, text.size);
    return digits > 0 && units_number(part(text, 0, digits), UINT64_MAX, ret_number);
}

void units_size_text(char text[UNITS_TEXT_SIZE], uint64_t size)
{
    size_t unit = COUNT_OF(size_units) - 1;
    while (unit > 0 && (size == 0 || size % (1ull << size_units[unit].shift) != 0))
        unit--;
    snprintf(text, UNITS_TEXT_SIZE, "%llu%s", (unsigned long long)(size >> size_units[unit].shift),
             size_units[unit].name);
}

static bool parse_size(struct reading *r, const struct key *key, struct bytes text, struct config_place place,
                       uint64_t *ret_size)
{
    uint64_t number = 0;
    struct bytes unit;
    if (!split_number(text, &number, &unit)) {
        message_error(r->messages, place, "'%s' is not a size; write one like 64KiB, 512MiB or 1GiB", shown(text).text);
        return false;
    }
    if (unit.size == 0) {
        message_error(r->messages, place, "'%s' has no unit; write %sB, %sKiB, %sMiB or %sGiB", shown(text).text,
                      shown(text).text, shown(text).text, shown(text).text, shown(text).text);
        return false;
    }
    for (size_t i = 0; i < COUNT_OF(size_units); i++) {
        if (!bytes_equal(unit, bytes_of_text(size_units[i].name)) || unit.at[-1] == ' ')
            continue;
        uint64_t size = number << size_units[i].shift;
        if (size >> size_units[i].shift == number && size >= key->least && size <= key->most) {
            *ret_size = size;
            return true;
        }
        char least[UNITS_TEXT_SIZE], most[UNITS_TEXT_SIZE];
        units_size_text(least, key->least);
        units_size_text(most, key->most);
        if (size >> size_units[i].shift == number && size < key->least)
            message_error(r->messages, place, "'%s: %s' is too small; at least %s are needed", key->name,
                          shown(text).text, least);
        else if (key->most < 1ull << 40)
            message_error(r->messages, place, "'%s: %s' is too large; at most %s are possible", key->name,
                          shown(text).text, most);
        else
            message_error(r->messages, place, "'%s: %s' is more than any machine has", key->name, shown(text).text);
        return false;
    }
    const char *meant = meant_unit(unit);
    if (meant != NULL)
        message_error(r->messages, place, "'%s' is not a size; did you mean '%llu%s'?", shown(text).text,
                      (unsigned long long)number, meant);
    else
        message_error(r->messages, place, "'%s' is not a size; its unit is one of B, KiB, MiB, GiB, TiB",
                      shown(text).text);
    return false;
}

static const struct {
    const char *name, *wrong; /* and what people write for it elsewhere */
    int64_t ms;
} duration_units[] = {
    { "ms", "msec|millis|milliseconds", 1 },       { "s", "sec|secs|second|seconds", 1000 },
    { "m", "min|mins|minute|minutes", 60 * 1000 }, { "h", "hr|hrs|hour|hours", 3600 * 1000 },
    { "d", "day|days", 24 * 3600 * 1000 },
};

static const char *meant_duration(struct bytes unit)
{
    for (size_t i = 0; i < COUNT_OF(duration_units); i++) {
        struct bytes wrong;
        if (word_distance(unit, bytes_of_text(duration_units[i].name), 0) == 0)
            return duration_units[i].name;
        for (uint32_t n = 0; (wrong = choice_at(duration_units[i].wrong, n)).at != NULL; n++)
            if (word_distance(unit, wrong, 0) == 0)
                return duration_units[i].name;
    }
    return NULL;
}

void units_duration_text(char text[UNITS_TEXT_SIZE], uint64_t ms)
{
    size_t unit = COUNT_OF(duration_units) - 1;
    while (unit > 0 && (ms == 0 || ms % (uint64_t)duration_units[unit].ms != 0))
        unit--;
    snprintf(text, UNITS_TEXT_SIZE, "%llu%s", (unsigned long long)ms / (uint64_t)duration_units[unit].ms,
             duration_units[unit].name);
}

static bool parse_duration(struct reading *r, const struct key *key, struct bytes text, struct config_place place,
                           int64_t *ret_ms)
{
    struct bytes unit;
    uint64_t number = 0;
    char least[UNITS_TEXT_SIZE], most[UNITS_TEXT_SIZE];
    if (!split_number(text, &number, &unit)) {
        message_error(r->messages, place, "'%s' is not a time; write one like 250ms, 30s, 24h or 7d", shown(text).text);
        return false;
    }
    if (unit.size == 0) {
        message_error(r->messages, place, "'%s' has no unit; write %ss, %sm, %sh or %sd", shown(text).text,
                      shown(text).text, shown(text).text, shown(text).text, shown(text).text);
        return false;
    }
    for (size_t i = 0; i < COUNT_OF(duration_units); i++) {
        uint64_t ms;
        if (!bytes_equal(unit, bytes_of_text(duration_units[i].name)))
            continue;
        bool fits = !__builtin_mul_overflow(number, (uint64_t)duration_units[i].ms, &ms);
        if (fits && ms >= key->least && ms <= key->most) {
            *ret_ms = (int64_t)ms;
            return true;
        }
        units_duration_text(least, key->least);
        units_duration_text(most, key->most);
        message_error(r->messages, place, "'%s: %s' is not between %s and %s", key->name, shown(text).text, least,
                      most);
        return false;
    }
    const char *meant = meant_duration(unit);
    if (meant != NULL)
        message_error(r->messages, place, "'%s' is not a time; did you mean '%llu%s'?", shown(text).text,
                      (unsigned long long)number, meant);
    else
        message_error(r->messages, place, "'%s' is not a time; its unit is one of ms, s, m, h, d", shown(text).text);
    return false;
}

/* `50%`, or a size. */
static bool parse_disk(struct reading *r, const struct key *key, struct bytes text, struct config_place place,
                       struct config_disk *disk)
{
    uint64_t percent = 0;
    if (text.size == 0 || text.at[text.size - 1] != '%')
        return parse_size(r, key, text, place, &disk->size);
    if (!units_number(part(text, 0, text.size - 1), 100, &percent) || percent == 0) {
        message_error(r->messages, place, "'%s: %s': a share of the disk is from 1%% to 100%%", key->name,
                      shown(text).text);
        return false;
    }
    disk->percent = (uint32_t)percent;
    return true;
}

static const struct key *limit_of(const struct key *key, const char *name)
{
    const struct key *limit = key_find(key->of, bytes_of_text(name));
    must(limit != NULL);
    return limit;
}

/* A word, a time or a size: the unit tells them apart. */
static bool parse_retention(struct reading *r, const struct key *key, struct bytes text, struct config_place place,
                            struct config_retention *retention)
{
    struct bytes unit;
    uint64_t number;
    if (bytes_equal(text, BYTES("done"))) {
        retention->kind = CONFIG_RETAIN_DONE;
        return true;
    }
    if (bytes_equal(text, BYTES("forever"))) {
        retention->kind = CONFIG_RETAIN_FOREVER;
        return true;
    }
    struct nearest nearest = { .wanted = text };
    nearest_offer(&nearest, "done");
    nearest_offer(&nearest, "forever");
    if (!split_number(text, &number, &unit) || unit.size == 0) {
        if (nearest.word != NULL)
            message_error(r->messages, place, "unknown retention '%s'; did you mean '%s'?", shown(text).text,
                          nearest.word);
        else
            message_error(r->messages, place,
                          "'%s' is not a retention; write done, forever, a time like 7d, a size like 100GiB, or both: "
                          "{time: 7d, size: 100GiB}",
                          shown(text).text);
        return false;
    }
    retention->kind = CONFIG_RETAIN_LIMITS;
    if (meant_unit(unit) != NULL && meant_duration(unit) == NULL)
        return parse_size(r, limit_of(key, "size"), text, place, &retention->size);
    return parse_duration(r, limit_of(key, "time"), text, place, &retention->time_ms);
}

static bool parse_durability(struct reading *r, struct bytes text, struct config_place place,
                             struct config_durability *durability)
{
    struct nearest nearest = { .wanted = text };
    nearest_offer(&nearest, "fsync");
    nearest_offer(&nearest, "interval");
    if (bytes_equal(text, BYTES("fsync"))) {
        *durability = (struct config_durability){ .kind = CONFIG_DURABILITY_FSYNC };
        return true;
    }
    if (bytes_equal(text, BYTES("interval"))) {
        *durability =
            (struct config_durability){ .kind = CONFIG_DURABILITY_INTERVAL, .interval_ms = CONFIG_INTERVAL_MS };
        return true;
    }
    if (nearest.word != NULL)
        message_error(r->messages, place, "unknown durability '%s'; did you mean '%s'?", shown(text).text,
                      nearest.word);
    else
        message_error(r->messages, place, "unknown durability '%s'; it is one of: fsync, interval, {interval: 50ms}",
                      shown(text).text);
    return false;
}

/* ---- shares, rates, ranges ------------------------------------------------------------------------------------------------ */

static bool parse_share(struct reading *r, const struct key *key, struct bytes text, struct config_place place,
                        uint32_t *ret_percent)
{
    uint64_t percent = 0;
    bool sign = text.size > 0 && text.at[text.size - 1] == '%';
    if (sign && units_number(part(text, 0, text.size - 1), key->most, &percent) && percent >= key->least) {
        *ret_percent = (uint32_t)percent;
        return true;
    }
    if (!sign && units_number(text, key->most, &percent))
        message_error(r->messages, place, "'%s: %s' has no unit; write %s%%", key->name, shown(text).text,
                      shown(text).text);
    else
        message_error(r->messages, place, "'%s' is a share from %llu%% to %llu%%, not '%s'", key->name,
                      (unsigned long long)key->least, (unsigned long long)key->most, shown(text).text);
    return false;
}

static const struct {
    const char *unit;
    int64_t ms;
} rate_periods[] = { { "s", 1000 }, { "m", 60 * 1000 }, { "h", 3600 * 1000 }, { "d", 24 * 3600 * 1000 } };

static bool parse_rate(struct reading *r, const struct key *key, struct bytes text, struct config_place place,
                       struct config_limit *limit)
{
    const uint8_t *slash = memchr(text.at, '/', text.size);
    size_t size = slash == NULL ? text.size : (size_t)(slash - text.at);
    uint64_t count = 0;
    if (slash == NULL && units_number(text, UINT64_MAX, &count)) {
        message_error(r->messages, place, "'%s' has no unit; write %s/s, %s/m, %s/h or %s/d", shown(text).text,
                      shown(text).text, shown(text).text, shown(text).text, shown(text).text);
        return false;
    }
    for (size_t i = 0; slash != NULL && i < COUNT_OF(rate_periods); i++) {
        if (!bytes_equal(part(text, size + 1, text.size), bytes_of_text(rate_periods[i].unit)) ||
            !units_number(part(text, 0, size), key->most, &count) || count < key->least)
            continue;
        limit->count = (uint32_t)count;
        limit->period_ms = rate_periods[i].ms;
        return true;
    }
    message_error(r->messages, place, "'%s' is not a rate; write one like 500/s or 1000/h, up to %llu/s",
                  shown(text).text, (unsigned long long)key->most);
    return false;
}

/* "a..b": true, and both ends. Otherwise both are the whole. */
static bool split_range(struct bytes text, struct bytes *ret_from, struct bytes *ret_to)
{
    const uint8_t *dots = memmem(text.at, text.size, "..", 2);
    size_t at = dots == NULL ? text.size : (size_t)(dots - text.at);
    *ret_from = part(text, 0, at);
    *ret_to = dots == NULL ? text : part(text, at + 2, text.size);
    return dots != NULL;
}

static bool say_backwards(struct reading *r, struct bytes text, struct config_place place, struct bytes from,
                          struct bytes to)
{
    message_error(r->messages, place, "'%s' runs backwards; write %s..%s", shown(text).text, shown(to).text,
                  shown(from).text);
    return false;
}

static bool parse_counts(struct reading *r, const struct key *key, struct bytes text, struct config_place place,
                         struct config_counts *counts)
{
    struct bytes from, to;
    uint64_t least = 0, most = 0;
    split_range(text, &from, &to);
    if (!units_number(from, key->most, &least) || !units_number(to, key->most, &most) || least < key->least ||
        most < key->least) {
        message_error(r->messages, place,
                      "'%s' is a number from %llu to %llu, or a range of them such as 8..256, not '%s'", key->name,
                      (unsigned long long)key->least, (unsigned long long)key->most, shown(text).text);
        return false;
    }
    if (least > most)
        return say_backwards(r, text, place, from, to);
    *counts = (struct config_counts){ (uint32_t)least, (uint32_t)most };
    return true;
}

static bool parse_times(struct reading *r, const struct key *key, struct bytes text, struct config_place place,
                        struct config_times *times)
{
    struct bytes from, to;
    struct config_times read = { 0 };
    bool range = split_range(text, &from, &to);
    if (!parse_duration(r, key, from, place, &read.least_ms) ||
        (range && !parse_duration(r, key, to, place, &read.most_ms)))
        return false;
    if (!range)
        read.most_ms = read.least_ms;
    if (read.least_ms > read.most_ms)
        return say_backwards(r, text, place, from, to);
    *times = read;
    return true;
}

bool units_read(struct reading *r, const struct key *key, struct bytes text, struct config_place place, void *into)
{
    switch (key->type) {
    case KEY_SIZE:
        return parse_size(r, key, text, place, into);
    case KEY_DURATION:
        return parse_duration(r, key, text, place, into);
    case KEY_DISK:
        return parse_disk(r, key, text, place, into);
    case KEY_RETENTION:
        return parse_retention(r, key, text, place, into);
    case KEY_DURABILITY:
        return parse_durability(r, text, place, into);
    case KEY_SHARE:
        return parse_share(r, key, text, place, into);
    case KEY_RATE:
        return parse_rate(r, key, text, place, into);
    case KEY_COUNTS:
        return parse_counts(r, key, text, place, into);
    case KEY_TIMES:
        return parse_times(r, key, text, place, into);
    default:
        must(false); /* only types with units come here */
        return false;
    }
}
