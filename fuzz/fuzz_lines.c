/* The path of a line: bytes in any pieces become lines, whose sizes add up, and each is JSON or is told why not. The first
 * byte says how large the pieces are. */
#include "fuzz.h"

#include "base/json.h"
#include "gate/lines.h"

#define SIZE_LIMIT (1u << 16)

static struct json_parser *parser;

static void judge(const struct line *line)
{
    struct json_value root;
    uint32_t column = 0;
    const char *what = NULL;
    must(line->size == line->bytes.size && line->consumed_size >= line->size);
    must(line->bytes.size == 0 || memchr(line->bytes.at, '\n', line->bytes.size) == NULL);
    enum neap_status status = json_parse(parser, line->bytes, &root);
    must(json_explain(line->bytes, &column, &what) == status);
    must(!line_is_blank(line) || status == NEAP_BADINPUT);
    must(status == NEAP_OK || column <= line->bytes.size + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size)
{
    if (parser == NULL)
        parser = json_parser_new(SIZE_LIMIT);
    must(parser != NULL);
    if (size < 1 || size > SIZE_LIMIT)
        return 0;
    struct lines lines;
    struct line line;
    size_t read_size = 1 + (size_t)at[0], given = 1, line_count = 0, newline_count = 0;
    uint64_t consumed = 0;
    lines_init(&lines, read_size, LINE_SIZE_MAX);
    for (bool over = false; !over;) {
        over = given == size;
        for (; lines_peek(&lines, over, &line); line_count++) {
            judge(&line);
            consumed += line.consumed_size;
            lines_pass(&lines, &line);
        }
        size_t piece = size - given < read_size ? size - given : read_size;
        uint8_t *room = lines_room(&lines);
        must(room != NULL);
        memcpy(room, at + given, piece);
        lines_added(&lines, piece);
        given += piece;
    }
    lines_fini(&lines);
    for (size_t i = 1; i < size; i++)
        newline_count += at[i] == '\n';
    must(consumed == size - 1);
    must(line_count == newline_count + (size > 1 && at[size - 1] != '\n'));
    return 0;
}
