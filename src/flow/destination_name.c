/* destination_name.c - what of a URL names the destination: scheme, host and port (RFC 3986), in one spelling. */
#include "base/must.h"
#include "flow/destination.h"

static bool is_alpha(uint8_t c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static void write_lower(struct writer *w, struct bytes text)
{
    for (size_t i = 0; i < text.size; i++)
        write_u8(w, text.at[i] >= 'A' && text.at[i] <= 'Z' ? text.at[i] | 0x20 : text.at[i]);
}

static size_t find_byte(struct bytes text, char c) /* text.size: not there */
{
    const uint8_t *at = text.size > 0 ? memchr(text.at, c, text.size) : NULL;
    return at != NULL ? (size_t)(at - text.at) : text.size;
}

static struct bytes behind(struct bytes text, size_t size)
{
    return (struct bytes){ text.at + size, text.size - size };
}

/* Up to the first of / ? # and behind the last @: a user's name and password are none of a name's business. */
static struct bytes authority_of(struct bytes rest)
{
    size_t size = 0, start = 0;
    for (; size < rest.size && rest.at[size] != '/' && rest.at[size] != '?' && rest.at[size] != '#'; size++)
        if (rest.at[size] == '@')
            start = size + 1;
    return (struct bytes){ rest.at + start, size - start };
}

static bool good_host(struct bytes host)
{
    bool bracketed = host.size > 2 && host.at[0] == '[' && host.at[host.size - 1] == ']';
    for (size_t i = bracketed; i < host.size - bracketed; i++) {
        uint8_t c = host.at[i];
        if (!is_alpha(c) && !is_digit(c) && !(bracketed ? c == ':' || c == '.' : c == '-' || c == '.' || c == '_'))
            return false;
    }
    return host.size > 0;
}

static bool port_of(struct bytes digits, uint32_t *ret_port)
{
    uint32_t port = 0;
    for (size_t i = 0; i < digits.size; i++) {
        if (!is_digit(digits.at[i]) || port > 65535)
            return false;
        port = port * 10 + (uint32_t)(digits.at[i] - '0');
    }
    *ret_port = port;
    return port > 0 && port <= 65535;
}

static uint32_t usual_port(struct bytes scheme)
{
    char room[8];
    struct writer w = writer_of(room, sizeof room);
    write_lower(&w, scheme);
    return w.full                                          ? 0
           : bytes_equal(writer_bytes(&w), BYTES("http"))  ? 80
           : bytes_equal(writer_bytes(&w), BYTES("https")) ? 443
                                                           : 0;
}

static bool good_scheme(struct bytes scheme)
{
    for (size_t i = 0; i < scheme.size; i++)
        if (!is_alpha(scheme.at[i]) && (i == 0 || (!is_digit(scheme.at[i]) && memchr("+-.", scheme.at[i], 3) == NULL)))
            return false;
    return scheme.size > 0;
}

static void write_port(struct writer *w, uint32_t port)
{
    uint32_t unit = 10000;
    while (unit > port)
        unit /= 10;
    for (; unit > 0; unit /= 10)
        write_u8(w, (uint8_t)('0' + port / unit % 10));
}

enum neap_status destination_name_of(struct bytes url, char room[DESTINATION_NAME_SIZE_MAX], struct bytes *ret_name)
{
    if (url.size == 0)
        return NEAP_BADINPUT;
    struct bytes scheme = { url.at, find_byte(url, ':') };
    struct bytes rest = behind(url, scheme.size);
    if (!good_scheme(scheme) || rest.size < 3 || memcmp(rest.at, "://", 3) != 0)
        return NEAP_BADINPUT;
    struct bytes authority = authority_of(behind(rest, 3));
    size_t bracket = authority.size > 0 && authority.at[0] == '[' ? find_byte(authority, ']') : 0;
    struct bytes host = { authority.at, bracket + find_byte(behind(authority, bracket), ':') };
    struct bytes port_text = behind(authority, host.size);
    uint32_t port = usual_port(scheme);
    if (!good_host(host) || (port_text.size > 1 && !port_of(behind(port_text, 1), &port)) || port == 0)
        return NEAP_BADINPUT;
    struct writer w = writer_of(room, DESTINATION_NAME_SIZE_MAX);
    write_lower(&w, scheme);
    write_bytes(&w, BYTES("://"));
    write_lower(&w, host);
    write_u8(&w, ':');
    write_port(&w, port);
    if (w.full)
        return NEAP_TOOLARGE;
    *ret_name = writer_bytes(&w);
    return NEAP_OK;
}
