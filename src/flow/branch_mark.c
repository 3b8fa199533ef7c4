#include "flow/branch_mark.h"
#include "base/must.h"

#define MARK_VERSION  1u
#define MARK_SIZE_MAX (2 + LOG_NAME_SIZE_MAX)
static const char suffix[] = "branch";
#define SUFFIX_SIZE (sizeof suffix) /* with the NUL in front of it */
static_assert(LOG_NAME_SIZE_MAX + SUFFIX_SIZE <= LOG_KEY_SIZE_MAX, "a key of the longest name fits");

static struct bytes key_of(uint8_t *room, const char *name)
{
    size_t size = strlen(name);
    must(size > 0 && size <= LOG_NAME_SIZE_MAX);
    memcpy(room, name, size + 1);
    memcpy(room + size + 1, suffix, SUFFIX_SIZE - 1);
    return (struct bytes){ room, size + SUFFIX_SIZE };
}

static struct bytes encode(const struct branch_mark *mark, uint8_t *room)
{
    struct writer w = writer_of(room, MARK_SIZE_MAX);
    write_u8(&w, MARK_VERSION);
    write_u8(&w, mark->in_file);
    write_bytes(&w, bytes_of_text(mark->parent));
    must(!w.full);
    return writer_bytes(&w);
}

enum neap_status branch_mark_set(struct log *log, struct log_client *client, uint32_t topic_id,
                                 const struct branch_mark *mark, uint8_t *room, mono_time deadline)
{
    uint8_t key[LOG_KEY_SIZE_MAX], value[MARK_SIZE_MAX];
    struct bytes there;
    struct log_op op = { .kind = LOG_FACT,
                         .view = LOG_VIEW_START,
                         .target = { topic_id, 0 },
                         .name = key_of(key, mark->name),
                         .payload = encode(mark, value) };
    enum neap_status status = log_fact_get(log, LOG_VIEW_START, op.target, op.name, room, &there);
    if (status == NEAP_OK && bytes_equal(there, op.payload))
        return NEAP_OK;
    if (status != NEAP_OK && status != NEAP_NOTFOUND)
        return status;
    struct log_unit unit = { .ops = &op, .count = 1 };
    return log_submit_wait(client, &unit, deadline);
}

struct walk {
    void (*each)(void *ctx, const struct branch_mark *mark);
    void *ctx;
};

/* One that this version cannot read is somebody else's to look after. */
static bool visit(void *ctx, struct bytes key, struct bytes value)
{
    struct walk *walk = ctx;
    struct branch_mark mark = { .in_file = false };
    size_t size = key.size > SUFFIX_SIZE ? key.size - SUFFIX_SIZE : 0;
    bool ours = size > 0 && size <= LOG_NAME_SIZE_MAX && key.at[size] == '\0' &&
                memcmp(key.at + size + 1, suffix, SUFFIX_SIZE - 1) == 0;
    if (!ours || value.size < 3 || value.size > MARK_SIZE_MAX || value.at[0] != MARK_VERSION)
        return true;
    memcpy(mark.name, key.at, size);
    memcpy(mark.parent, value.at + 2, value.size - 2);
    mark.in_file = value.at[1] != 0;
    walk->each(walk->ctx, &mark);
    return true;
}

void branch_mark_each(struct log *log, uint32_t topic_id, void (*each)(void *ctx, const struct branch_mark *mark),
                      void *ctx)
{
    struct walk walk = { each, ctx };
    log_fact_each(log, LOG_VIEW_START, (struct log_partition){ topic_id, 0 }, (struct bytes){ NULL, 0 }, visit, &walk);
}

bool branch_mark_is_below(const char *name, const char *pipeline)
{
    size_t size = strlen(pipeline);
    return strncmp(name, pipeline, size) == 0 && name[size] == '.';
}
