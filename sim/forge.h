/* forge.h - a client that has read the disk: it hides entry headers in what it appends, with salts of journal files that
 * are no more, at the very positions where they would have to stand.
 *
 * owner    one client of a life
 * memory   fixed
 * limits   FORGE_SALT_COUNT salts; the oldest are forgotten
 * promise  it uses no salt of a file that is there: where every life of a file has a new salt, nothing it does matters */
#ifndef SIM_FORGE_H
#define SIM_FORGE_H

#include "model.h"

#define FORGE_SALT_COUNT 64u

struct forger {
    struct {
        uint64_t sequence, salt;
        bool there;
    } files[FORGE_SALT_COUNT];
    uint32_t count;
};

/* Looks at the headers of the journal's files. */
void forge_look(struct forger *forger, struct io *io, const char *path);
/* Adds an append full of forged headers to a unit that is next to be written at `position`; nothing when no file has gone. */
void forge_append(const struct forger *forger, struct model *model, struct unit *unit, uint32_t topic,
                  uint64_t position);
bool forge_possible(const struct forger *forger);

#endif
