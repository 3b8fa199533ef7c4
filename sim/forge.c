#include "forge.h"
#include "base/must.h"
#include "log/local/entry.h"
#include <stdio.h>

#define VALUE_SIZE 1000u

struct looking {
    struct forger *forger;
    struct io *io;
    const char *path;
    bool failed; /* which files are there is not known: then no salt is dead */
};

static bool look_at(void *ctx, const char *name)
{
    struct looking *looking = ctx;
    struct forger *forger = looking->forger;
    char path[256];
    uint8_t page[FILE_HEADER_SIZE];
    struct io_file *file = NULL;
    struct file_header header;
    size_t size = 0;
    snprintf(path, sizeof(path), "%s/journal/%s", looking->path, name);
    if (strncmp(name, "spare-", 6) == 0)
        return true;
    if (io_file_open(looking->io, path, IO_READ, &file, NULL) != NEAP_OK)
        return looking->failed = true, false;
    enum neap_status status = io_file_read(file, page, sizeof(page), 0, &size);
    io_file_close(&file);
    if (status != NEAP_OK || size != sizeof(page) || file_header_read(page, &header) != NEAP_OK)
        return looking->failed = true, false;
    uint32_t i = 0;
    while (i < forger->count && forger->files[i].sequence != header.sequence)
        i++;
    if (i == forger->count && i < FORGE_SALT_COUNT)
        forger->count++;
    if (i == FORGE_SALT_COUNT)
        i = (uint32_t)(header.sequence % FORGE_SALT_COUNT);
    forger->files[i].sequence = header.sequence;
    forger->files[i].salt = header.salt;
    forger->files[i].there = true;
    return true;
}

void forge_look(struct forger *forger, struct io *io, const char *path)
{
    struct looking looking = { forger, io, path, false };
    char folder[256];
    for (uint32_t i = 0; i < forger->count; i++)
        forger->files[i].there = false;
    snprintf(folder, sizeof(folder), "%s/journal", path);
    if (io_dir_list(io, folder, look_at, &looking, NULL) != NEAP_OK || looking.failed)
        forger->count = 0;
}

static uint32_t dead_salts(const struct forger *forger, uint64_t *salts)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < forger->count; i++) {
        if (!forger->files[i].there)
            salts[count++] = forger->files[i].salt;
    }
    return count;
}

static void fill(uint8_t *value, uint64_t position, const uint64_t *salts, uint32_t count)
{
    for (uint32_t at = 8, i = 0; at + ENTRY_HEADER_SIZE <= VALUE_SIZE; at++) { /* its first bytes say who wrote it */
        if ((position + at) % ENTRY_BOUND != 0)
            continue;
        struct entry_header header = {
            .salt = salts[i++ % count],
            .boot = 1000,
            .position = position + at,
            .durable_mark = position + at, /* everything before it, it says, has been synced */
            .time_ms = 1,
            .entry_size = ENTRY_HEADER_SIZE,
        };
        entry_header_write(&header, value + at);
    }
}

bool forge_possible(const struct forger *forger)
{
    uint64_t salts[FORGE_SALT_COUNT];
    return dead_salts(forger, salts) > 0;
}

void forge_append(const struct forger *forger, struct model *model, struct unit *unit, uint32_t topic,
                  uint64_t position)
{
    uint64_t salts[FORGE_SALT_COUNT];
    uint32_t salt_count = dead_salts(forger, salts);
    if (salt_count == 0)
        return;
    uint64_t at = position + ENTRY_HEADER_SIZE;
    for (uint32_t i = 0; i < unit->log.count; i++)
        at += op_size(unit->ops[i].name.size, unit->ops[i].payload.size);
    uint32_t index = unit->log.count;
    struct bytes value = unit_append_blank(model, unit, topic, 0, VALUE_SIZE);
    uint64_t value_at = at + OP_HEADER_SIZE + (uint64_t)(value.at - unit->ops[index].payload.at);
    fill((uint8_t *)value.at, value_at, salts, salt_count);
    unit_append_seal(unit, index);
}
