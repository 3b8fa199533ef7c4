/* What an index file holds is found in a few looks, and what it does not hold is not found, whatever topics there are. */
#include "check.h"

#include "base/crc32c.h"
#include "base/must.h"
#include "io/sim.h"
#include "log/local/index.h"
#include "log/local/pages.h"
#include <stdlib.h>

#define ROW_MAX   3000u
#define ENTRY_MAX 20000u

static struct index_row rows[ROW_MAX];
static struct index_entry entries[ENTRY_MAX];
static uint32_t row_count, entry_count;

/* Topics of one partition and of many, some partitions left out as in a rebuilt index; batches with and without gaps. */
static void make_rows(uint64_t *seed)
{
    uint32_t missing = (uint32_t)chance_below(seed, 4);
    row_count = entry_count = 0;
    for (uint32_t topic = 1; topic < 40 && row_count < ROW_MAX - 1000; topic += 1 + (uint32_t)chance_below(seed, 3)) {
        uint32_t partitions = chance_below(seed, 3) == 0 ? 1 + (uint32_t)chance_below(seed, 900) : 1;
        for (uint32_t p = 0; p < partitions; p++) {
            if (missing > 0 && chance_below(seed, missing + 1) == 0)
                continue;
            uint32_t most = chance_below(seed, 20) == 0 ? 300 : 8;
            struct index_row row = { .partition = { topic, p }, .next = chance_below(seed, 50), .first = entry_count };
            uint64_t base = row.next;
            while (row.count < chance_below(seed, most) && entry_count < ENTRY_MAX) {
                base += chance_below(seed, 5) == 0 ? chance_below(seed, 9) : 0;
                entries[entry_count] = (struct index_entry){ .base = base,
                                                             .at = 4096 + entry_count * 64,
                                                             .size = 100,
                                                             .count = 1 + (uint32_t)chance_below(seed, 5) };
                base += entries[entry_count++].count;
                row.count++;
            }
            rows[row_count++] = row;
        }
    }
}

static struct io_file *write_index(struct io *io, uint64_t at)
{
    size_t size = INDEX_HEADER_SIZE + row_count * INDEX_ROW_SIZE + entry_count * INDEX_ENTRY_SIZE;
    uint8_t *bytes = malloc(size);
    struct index_header h = { .row_count = row_count, .entry_count = entry_count };
    index_header_write(&h, bytes);
    for (uint32_t i = 0; i < row_count; i++)
        index_row_write(&rows[i], bytes + INDEX_HEADER_SIZE + i * INDEX_ROW_SIZE);
    for (uint32_t i = 0; i < entry_count; i++)
        index_entry_write(&entries[i], bytes + INDEX_HEADER_SIZE + row_count * INDEX_ROW_SIZE + i * INDEX_ENTRY_SIZE);
    h.rows_crc = crc32c(0, bytes + INDEX_HEADER_SIZE, row_count * INDEX_ROW_SIZE);
    h.entries_crc = crc32c(0, bytes + INDEX_HEADER_SIZE + row_count * INDEX_ROW_SIZE, entry_count * INDEX_ENTRY_SIZE);
    index_header_write(&h, bytes);
    struct io_file *file = NULL;
    assert_int_equal(io_file_open(io, "/index", IO_READ | IO_WRITE | IO_CREATE, &file, NULL), NEAP_OK);
    assert_int_equal(io_file_truncate(file, 0), NEAP_OK);
    assert_int_equal(io_file_write(file, &(struct bytes){ bytes, size }, 1, at), NEAP_OK);
    free(bytes);
    return file;
}

static const struct index_row *slow_row(struct log_partition p)
{
    for (uint32_t i = 0; i < row_count; i++)
        if (rows[i].partition.topic_id == p.topic_id && rows[i].partition.partition == p.partition)
            return &rows[i];
    return NULL;
}

static void check_entries(struct index_file index, const struct index_row *row, uint64_t *seed)
{
    struct index_entry found[64];
    for (int i = 0; i < 5; i++) {
        uint64_t offset = row->next + chance_below(seed, row->count * 4 + 3);
        uint32_t slow = 0, number;
        while (slow < row->count && entries[row->first + slow].base + entries[row->first + slow].count <= offset)
            slow++;
        assert_int_equal(index_find_entry(index, row, row_count, offset, &number), NEAP_OK);
        assert_int_equal(number, slow);
        uint32_t count = row->count - number < 64 ? row->count - number : 64;
        assert_int_equal(index_load_entries(index, row, row_count, number, found, count), NEAP_OK);
        for (uint32_t n = 0; n < count; n++)
            assert_true(found[n].base == entries[row->first + number + n].base &&
                        found[n].at == entries[row->first + number + n].at &&
                        found[n].count == entries[row->first + number + n].count);
    }
}

static void whatever_is_there_is_found(void **state)
{
    (void)state;
    struct io *io = sim_open(&(struct sim_options){ .seed = 1, .calm = true });
    for (uint64_t seed = 1; seed <= 40; seed++) {
        uint64_t chances = seed;
        make_rows(&chances);
        struct index_file index = { write_index(io, seed % 3 * 1000), seed % 3 * 1000, NULL };
        struct pages *pages = pages_new(io, 64 << 10);
        index.pages = seed % 2 == 0 ? pages : NULL;
        for (uint32_t i = 0; i < 2000; i++) {
            struct log_partition p = i < row_count ? rows[i].partition
                                                   : (struct log_partition){ (uint32_t)chance_below(&chances, 42),
                                                                             (uint32_t)chance_below(&chances, 950) };
            const struct index_row *slow = slow_row(p);
            struct index_row row;
            enum neap_status status = index_find_row(index, p, &row);
            assert_int_equal(status, slow != NULL ? NEAP_OK : NEAP_NOTFOUND);
            if (slow == NULL)
                continue;
            assert_true(row.next == slow->next && row.first == slow->first && row.count == slow->count);
            if (i % 7 == 0)
                check_entries(index, slow, &chances);
        }
        pages_free(&pages);
        io_file_close(&index.file);
    }
    sim_close(&io);
}

/* One topic with every partition there: the header, one look, and the next one is right. */
static void a_partition_of_a_whole_topic_takes_three_reads(void **state)
{
    (void)state;
    struct io *io = sim_open(&(struct sim_options){ .seed = 1, .calm = true });
    entry_count = 0;
    for (row_count = 0; row_count < ROW_MAX; row_count++)
        rows[row_count] = (struct index_row){ .partition = { 7, row_count } };
    struct index_file index = { write_index(io, 0), 0, NULL };
    uint64_t before = sim_call_count(io, SIM_READ);
    for (uint32_t p = 0; p < ROW_MAX; p++) {
        struct index_row row;
        assert_int_equal(index_find_row(index, (struct log_partition){ 7, p }, &row), NEAP_OK);
    }
    assert_true(sim_call_count(io, SIM_READ) - before <= 3 * ROW_MAX);
    io_file_close(&index.file);
    sim_close(&io);
}

/* Read in pieces, of which the larger indexes here have many: a bit anywhere, a byte more or less. */
static void a_whole_index_is_checked_in_pieces(void **state)
{
    (void)state;
    struct io *io = sim_open(&(struct sim_options){ .seed = 1, .calm = true });
    for (uint64_t seed = 1; seed <= 40; seed++) {
        uint64_t chances = seed, at = seed % 3 * 1000;
        struct index_header h;
        make_rows(&chances);
        struct index_file index = { write_index(io, at), at, NULL };
        uint64_t size =
            INDEX_HEADER_SIZE + (uint64_t)row_count * INDEX_ROW_SIZE + (uint64_t)entry_count * INDEX_ENTRY_SIZE;
        assert_int_equal(index_check(index, size, false, &h, NULL), NEAP_OK);
        assert_true(h.row_count == row_count && h.entry_count == entry_count);
        assert_int_not_equal(index_check(index, size + 1, false, &h, NULL), NEAP_OK);
        assert_int_not_equal(index_check(index, size - 1, false, &h, NULL), NEAP_OK);
        for (uint32_t i = 0; i < 30; i++) { /* the last 4 bytes of the header are for nothing yet */
            uint64_t place = i == 0 ? size - 1 : chance_below(&chances, size);
            uint8_t byte = 0;
            size_t got = 0;
            if (place >= INDEX_HEADER_SIZE - 4 && place < INDEX_HEADER_SIZE)
                continue;
            assert_int_equal(io_file_read(index.file, &byte, 1, at + place, &got), NEAP_OK);
            byte ^= (uint8_t)(1u << chance_below(&chances, 8));
            struct bytes part = { &byte, 1 };
            assert_int_equal(io_file_write(index.file, &part, 1, at + place), NEAP_OK);
            assert_int_not_equal(index_check(index, size, false, &h, NULL), NEAP_OK);
            uint8_t *whole = malloc(size);
            assert_int_equal(io_file_read(index.file, whole, size, at, &got), NEAP_OK);
            assert_int_not_equal(index_check_bytes((struct bytes){ whole, size }, false, &h, NULL), NEAP_OK);
            free(whole);
            io_file_close(&index.file);
            index.file = write_index(io, at);
        }
        assert_int_equal(io_file_truncate(index.file, at + size - 1), NEAP_OK);
        assert_int_equal(index_check(index, size, false, &h, NULL), NEAP_CORRUPT);
        io_file_close(&index.file);
    }
    sim_close(&io);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_is_there_is_found),
        cmocka_unit_test(a_partition_of_a_whole_topic_takes_three_reads),
        cmocka_unit_test(a_whole_index_is_checked_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
