/* build_branches.c - pipelines with branches: where a new branch begins, and that one which was taken out holds nobody up.
 *
 * B3  A branch begins where its pipeline is: at the place of the sister that is furthest behind. So a pipeline that is given
 *     branches goes on, and so does one whose branches come to read another topic.
 * B4  What was taken out of the file is let go of only after everything in the file has said what it holds: in between
 *     nobody might have held an event that a new branch still has to process. */
#include "flow/branch_mark.h"
#include "node/node_parts.h"

static const struct config_pipeline *root_of(const struct config_pipeline *p)
{
    while (p->parent != NULL)
        p = p->parent;
    return p;
}

bool build_family(struct node_pipeline *np, const char ***ret_names)
{
    struct node *n = np->node;
    const struct config_pipeline *root = root_of(np->config);
    const char **names = arena_zero(n->arena, (n->pipeline_count + 1) * sizeof *names);
    uint32_t count = 0;
    *ret_names = NULL;
    if (names == NULL)
        return false;
    for (uint32_t i = 0; i < n->pipeline_count && np->config->start != CONFIG_START_EARLIEST; i++)
        if (&n->pipelines[i] != np && root_of(n->pipelines[i].config) == root)
            names[count++] = n->pipelines[i].config->name;
    if (count > 0) /* rule B3 */
        *ret_names = names;
    return true;
}

static enum neap_status mark(struct node *n, uint32_t topic_id, const struct branch_mark *mark, struct error *err)
{
    enum neap_status status = branch_mark_set(n->log, n->client, topic_id, mark, n->fact_room, build_deadline(n));
    return status == NEAP_OK ? status : error_set(err, status, "note branch %s: %s", mark->name, status_text(status));
}

enum neap_status build_mark_branch(struct node_pipeline *np, struct error *err)
{
    struct branch_mark m = { .in_file = true };
    const struct config_pipeline *p = np->config;
    if (p->parent == NULL)
        return NEAP_OK;
    memcpy(m.name, p->name, strlen(p->name) + 1);
    memcpy(m.parent, p->parent->name, strlen(p->parent->name) + 1);
    return mark(np->node, np->topic.id, &m, err);
}

struct node_pipeline *node_parent(const struct node_pipeline *np)
{
    const struct config_pipeline *parent = np->config->parent;
    return parent == NULL ? NULL : &np->node->pipelines[parent - np->node->config->pipelines];
}

/* ---- the topic between -------------------------------------------------------------------------------------------------- */

struct home {
    const char *name, *was; /* of the pipeline */
    bool found;
};

static void look_for_branch(void *ctx, const struct branch_mark *m)
{
    struct home *h = ctx;
    h->found =
        h->found || branch_mark_is_below(m->name, h->name) || (h->was != NULL && branch_mark_is_below(m->name, h->was));
}

/* When the pipeline is renamed, the topic keeps its name: the events that are in it are still to be processed. */
static const char *out_topic(struct node_pipeline *np, struct log_topic *home)
{
    const struct config_pipeline *p = np->config;
    if (log_topic_find(np->node->log, p->sink.topic, home) == NEAP_OK)
        return p->sink.topic;
    for (uint32_t i = 0; log_topic_at(np->node->log, i, home); i++) {
        struct home h = { p->name, p->was, false };
        if (home->id == np->topic.id)
            continue;
        branch_mark_each(np->node->log, home->id, look_for_branch, &h);
        if (h.found)
            return home->name;
    }
    return p->sink.topic;
}

enum neap_status build_out(struct node_pipeline *np, struct error *err)
{
    struct log_topic home;
    np->out = np->topic;
    if (np->config->fan == CONFIG_FAN_NONE || np->config->sink.kind == CONFIG_SINK_NONE)
        return NEAP_OK;
    return build_topic(np->node, out_topic(np, &home), &np->out, err);
}

/* ---- those that were taken out --------------------------------------------------------------------------------------- */

struct leaving {
    struct node *node;
    uint32_t topic_id;
    struct branch_mark *marks; /* of the topic; those that do not read it any more */
    uint32_t count, room;
    bool failed;
};

static const struct node_pipeline *find(const struct node *n, const char *name)
{
    for (uint32_t i = 0; i < n->pipeline_count; i++)
        if (strcmp(n->pipelines[i].config->name, name) == 0)
            return &n->pipelines[i];
    return NULL;
}

/* Its pipeline is in the file: then the file knows of it. Of other pipelines it says nothing. */
static bool is_of_file(const struct node *n, const char *name)
{
    for (uint32_t i = 0; i < n->pipeline_count; i++)
        if (n->pipelines[i].config->parent == NULL && branch_mark_is_below(name, n->pipelines[i].config->name))
            return true;
    return false;
}

static void gather(void *ctx, const struct branch_mark *m)
{
    struct leaving *l = ctx;
    const struct node_pipeline *np = find(l->node, m->name);
    if (!m->in_file || !is_of_file(l->node, m->name) || (np != NULL && np->topic.id == l->topic_id))
        return;
    if (l->count == l->room) {
        uint32_t room = l->room == 0 ? 8 : 2 * l->room;
        struct branch_mark *marks = arena_take(l->node->arena, room * sizeof *marks);
        l->failed = l->failed || marks == NULL;
        if (marks == NULL)
            return;
        if (l->count > 0)
            memcpy(marks, l->marks, l->count * sizeof *marks);
        l->marks = marks;
        l->room = room;
    }
    l->marks[l->count++] = *m;
}

static uint64_t lag_of(const struct node *n, const char *name, const struct log_topic *topic)
{
    uint64_t lag = 0;
    for (uint32_t i = 0; i < topic->partition_count; i++) {
        struct log_partition at = { topic->id, i };
        struct log_commit commit;
        log_offset end = { 0 };
        if (log_offset_get(n->log, name, at, NULL, &commit) == NEAP_OK &&
            log_partition_end(n->log, at, &end) == NEAP_OK && end.n > commit.offset.n)
            lag += end.n - commit.offset.n;
    }
    return lag;
}

static enum neap_status let_go(struct node *n, const struct log_topic *topic, struct branch_mark *m, struct error *err)
{
    uint64_t lag = lag_of(n, m->name, topic);
    if (find(n, m->name) != NULL && lag > 0) {
        logging_warn(n->options.logging,
                     "the branch reads another topic now, and has not processed all of this one: its events are kept",
                     LOGGING_TEXT("branch", m->name), LOGGING_TEXT("topic", topic->name), LOGGING_UINT("events", lag));
        return NEAP_OK;
    }
    enum neap_status status =
        pipeline_let_go(n->log, n->client, topic->id, topic->partition_count, m->name, build_deadline(n), err);
    if (status != NEAP_OK)
        return status;
    m->in_file = false;
    logging_info(n->options.logging, "a branch was taken out of the file: its events are held for it no longer",
                 LOGGING_TEXT("branch", m->name), LOGGING_TEXT("topic", topic->name),
                 LOGGING_UINT("not_processed", lag));
    return mark(n, topic->id, m, err);
}

static enum neap_status leave_topic(struct node *n, const struct log_topic *topic, struct error *err)
{
    struct leaving l = { .node = n, .topic_id = topic->id };
    branch_mark_each(n->log, topic->id, gather, &l);
    if (l.failed)
        return error_set(err, NEAP_NOMEM, "out of memory");
    enum neap_status status = NEAP_OK;
    for (uint32_t i = 0; i < l.count && status == NEAP_OK; i++)
        status = let_go(n, topic, &l.marks[i], err);
    return status;
}

/* A pipeline that has been given branches holds its topic no longer: they do. */
static enum neap_status leave_parent(struct node_pipeline *np, struct error *err)
{
    struct node *n = np->node;
    if (np->config->sink.kind != CONFIG_SINK_NONE)
        return NEAP_OK;
    return pipeline_let_go(n->log, n->client, np->topic.id, np->topic.partition_count, np->config->name,
                           build_deadline(n), err);
}

enum neap_status build_let_go(struct node *n, struct error *err) /* rule B4 */
{
    enum neap_status status = NEAP_OK;
    struct log_topic topic;
    for (uint32_t i = 0; i < n->pipeline_count && status == NEAP_OK; i++)
        status = leave_parent(&n->pipelines[i], err);
    for (uint32_t i = 0; status == NEAP_OK && log_topic_at(n->log, i, &topic); i++)
        status = leave_topic(n, &topic, err);
    return status;
}
