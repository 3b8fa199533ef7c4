/* retry_after.c - the header with which a destination says when to come back.
 *
 *     Retry-After: 120
 *     Retry-After: Sun, 06 Nov 1994 08:49:37 GMT        as it should be
 *     Retry-After: Sunday, 06-Nov-94 08:49:37 GMT       as it was before RFC 1123
 *     Retry-After: Sun Nov  6 08:49:37 1994             as C's asctime() writes it */
#include "base/must.h"
#include "base/rfc3339.h"
#include "flow/retry.h"

#define PART_COUNT_MAX 6u

/* Cut at blanks, commas and hyphens. Answers how many parts; more than PART_COUNT_MAX: none. */
static uint32_t cut(struct bytes text, struct bytes parts[PART_COUNT_MAX])
{
    uint32_t count = 0;
    bool inside = false;
    for (size_t i = 0; i < text.size; i++) {
        bool between = text.at[i] == ' ' || text.at[i] == ',' || text.at[i] == '-';
        if (!between && !inside) {
            if (count == PART_COUNT_MAX)
                return 0;
            parts[count++] = (struct bytes){ text.at + i, 0 };
        }
        if (!between)
            parts[count - 1].size++;
        inside = !between;
    }
    return count;
}

/* Digits only; what is too large for any use is as large as can be. */
static bool number_of(struct bytes text, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        number = number > UINT32_MAX ? number : number * 10 + (uint64_t)(text.at[i] - '0');
    }
    *ret_number = number;
    return text.size > 0;
}

static bool month_of(struct bytes text, uint64_t *ret_month)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (uint64_t i = 0; i < 12 && text.size == 3; i++)
        if (memcmp(text.at, months + i * 3, 3) == 0) {
            *ret_month = i + 1;
            return true;
        }
    return false;
}

static void write_digits(struct writer *w, uint64_t number, unsigned count)
{
    for (uint64_t unit = count == 4 ? 1000 : 10; unit > 0; unit /= 10)
        write_u8(w, (uint8_t)('0' + number / unit % 10));
}

/* Two digits are the year that ends so and lies less than fifty years ahead, or the latest one behind us. */
static uint64_t whole_year(uint64_t year, struct bytes digits, wall_time now)
{
    char text[RFC3339_SIZE];
    uint64_t this_year = 0;
    if (digits.size != 2 || !number_of((struct bytes){ (const uint8_t *)rfc3339_write(text, now), 4 }, &this_year))
        return year;
    year += this_year / 100 * 100;
    return year > this_year + 50 && year >= 100 ? year - 100 : year;
}

static bool date_of(struct bytes text, wall_time now, wall_time *ret_date)
{
    struct bytes parts[PART_COUNT_MAX];
    uint32_t count = cut(text, parts);
    bool asctime_form = count == 5;
    if (!asctime_form && (count != 6 || !bytes_equal(parts[5], BYTES("GMT"))))
        return false;
    struct bytes day_text = parts[asctime_form ? 2 : 1], month_text = parts[asctime_form ? 1 : 2];
    struct bytes year_text = parts[asctime_form ? 4 : 3], clock = parts[asctime_form ? 3 : 4];
    uint64_t day = 0, month = 0, year = 0;
    if (!number_of(day_text, &day) || !month_of(month_text, &month) || !number_of(year_text, &year))
        return false;
    year = whole_year(year, year_text, now);
    if (day > 31 || year > 9999 || clock.size != 8)
        return false;
    uint8_t room[RFC3339_SIZE];
    struct writer w = writer_of(room, sizeof room);
    write_digits(&w, year, 4);
    write_u8(&w, '-');
    write_digits(&w, month, 2);
    write_u8(&w, '-');
    write_digits(&w, day, 2);
    write_u8(&w, 'T');
    write_bytes(&w, clock);
    write_u8(&w, 'Z');
    must(!w.full);
    return rfc3339_read(writer_bytes(&w), ret_date);
}

bool retry_after_read(struct bytes text, wall_time now, int64_t *ret_ns)
{
    while (text.size > 0 && (text.at[0] == ' ' || text.at[0] == '\t'))
        text = (struct bytes){ text.at + 1, text.size - 1 };
    while (text.size > 0 && (text.at[text.size - 1] == ' ' || text.at[text.size - 1] == '\t'))
        text.size--;
    uint64_t seconds = 0;
    if (number_of(text, &seconds)) {
        *ret_ns = (int64_t)(seconds < UINT32_MAX ? seconds : UINT32_MAX) * NS_PER_S;
        return true;
    }
    wall_time date;
    if (!date_of(text, now, &date))
        return false;
    uint64_t ahead_ms = date.ms > now.ms ? (uint64_t)date.ms - (uint64_t)now.ms : 0;
    *ret_ns = (int64_t)(ahead_ms < UINT32_MAX ? ahead_ms : UINT32_MAX) * NS_PER_MS;
    return true;
}
