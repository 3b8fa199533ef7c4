/* Any text is a pipeline file that loads, or gets at least one error at a place that lies in it; both leave nothing behind. */
#include "fuzz.h"

#include "config/config.h"

static uint32_t count_lines(struct bytes text)
{
    uint32_t lines = 1;
    for (size_t i = 0; i < text.size; i++)
        lines += text.at[i] == '\n';
    return lines;
}

static void look_at_messages(const struct config_messages *messages, struct bytes text)
{
    uint32_t lines = count_lines(text), seen = 0;
    for (uint32_t i = 0; i < messages->count; i++) {
        const struct config_message *m = &messages->list[i];
        must(m->place.line >= 1 && m->place.line <= lines);
        must(m->place.column >= 1 && m->place.column <= text.size + 1);
        must(m->text != NULL && m->text[0] != '\0' && strchr(m->text, '\n') == NULL);
        must(i == 0 || messages->list[i - 1].place.line <= m->place.line);
        seen += !m->warning;
    }
    must((seen > 0) == (messages->error_count > 0));
}

static void look_at_config(const struct config *config)
{
    must(config->pipeline_count > 0 && config->data != NULL && config->memory_size > 0);
    for (uint32_t i = 0; i < config->pipeline_count; i++) {
        const struct config_pipeline *p = &config->pipelines[i];
        must(p->name != NULL && p->dead_letter != NULL && p->source.topic != NULL);
        must(p->source.kind != CONFIG_SOURCE_FILE || p->source.path != NULL);
        must(p->sink.kind != CONFIG_SINK_SQLITE ||
             (p->sink.path != NULL && p->sink.table != NULL && p->sink.column_count > 0));
        must(p->sink.kind != CONFIG_SINK_FILE || p->sink.path != NULL);
        must(p->sink.kind != CONFIG_SINK_TOPIC || p->sink.topic != NULL);
        for (uint32_t s = 0; s < p->stage_count; s++) {
            must(p->stages[s].name != NULL);
            must(p->stages[s].kind != CONFIG_STAGE_FILTER || p->stages[s].filter.text != NULL);
            must(p->stages[s].kind != CONFIG_STAGE_MAP || p->stages[s].map_count > 0);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size)
{
    struct bytes text = { at, size };
    struct config *config = NULL;
    struct config_messages *messages = NULL;
    struct error err = { 0 };
    enum neap_status status = config_parse(NULL, "fuzz.yaml", text, &config, &messages, &err);
    must(messages != NULL);
    must((status == NEAP_OK) == (messages->error_count == 0) || status == NEAP_NOMEM);
    must((config != NULL) == (status == NEAP_OK));
    look_at_messages(messages, text);
    if (config != NULL)
        look_at_config(config);
    config_free(&config);
    config_messages_free(&messages);
    return 0;
}
