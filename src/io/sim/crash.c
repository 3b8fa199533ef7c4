/* crash.c - what a disk may hold after a crash at any point of its history.
 *
 * A walk goes along the history and keeps what is durable there (an image) and what is pending: pieces of writes, each
 * inside one page; changes of size; operations on names. A state is the durable image, shared page by page, with some of
 * the pending things applied to it in their order.
 *
 * C1  Pieces of one page form a group. Per sector of the group a number says how many of the pieces that touch it have
 *     arrived; so a later content of a sector includes the earlier ones, and sectors are independent (rule D3).
 * C2  A file cut shorter and written again afterwards: a later piece that arrived brings the cut with it.
 * C3  A sync applies all pieces of every page that holds a dirty one; pages left clean by a failed sync wait for a new
 *     write to the same page (rule D5). */
#include "base/must.h"
#include "io/sim/chance.h"
#include "io/sim/disk.h"
#include <stdlib.h>

struct piece { /* of a write, inside one page; or, with size 0, a change of the file's size to `position` */
    uint32_t op, ino, group;
    bool clean; /* a failed sync went over it */
    bool resize;
    bool chosen; /* for the state being made: a resize, or any sector of it, arrives */
    uint64_t position;
    struct bytes bytes;
};

struct group {
    uint32_t ino;
    uint64_t page;
    bool dirty;                        /* only while a sync is applied */
    uint32_t total[SIM_SECTOR_COUNT];  /* pieces that touch the sector */
    uint32_t arrive[SIM_SECTOR_COUNT]; /* of these, so many are there in the state being made */
    uint32_t given[SIM_SECTOR_COUNT];
};

struct pending_name {
    uint32_t op;
    bool from_synced, to_synced; /* a rename between directories waits for both */
    bool chosen;
};

struct sim_walk {
    uint32_t at; /* everything before this operation has been walked over */
    struct sim_image durable;
    struct piece *pieces;
    uint32_t piece_count, piece_room;
    struct pending_name *names;
    uint32_t name_count, name_room;
    bool grouped; /* groups are those of the pieces */
    struct group *groups;
    uint32_t group_count, group_room;
    uint32_t *table; /* group + 1 by ino and page */
    uint32_t table_size;
    uint64_t state_count;
};

void sim_walk_free(struct sim_pool *pool, struct sim_walk **ref)
{
    struct sim_walk *walk = *ref;
    *ref = NULL;
    if (walk == NULL)
        return;
    sim_image_fini(pool, &walk->durable);
    free(walk->pieces);
    free(walk->names);
    free(walk->groups);
    free(walk->table);
    free(walk);
}

/* ---- groups ---- */

static struct group *group_of(struct sim_walk *walk, uint32_t ino, uint64_t page)
{
    uint32_t mask = walk->table_size - 1;
    uint32_t at = (uint32_t)sim_mix((uint64_t)ino << 40 ^ page) & mask;
    for (; walk->table[at] != 0; at = (at + 1) & mask) {
        struct group *group = &walk->groups[walk->table[at] - 1];
        if (group->ino == ino && group->page == page)
            return group;
    }
    walk->groups = sim_grow(walk->groups, walk->group_count, &walk->group_room, sizeof(walk->groups[0]));
    struct group *group = &walk->groups[walk->group_count++];
    *group = (struct group){ .ino = ino, .page = page };
    walk->table[at] = walk->group_count;
    return group;
}

static void sectors_of(const struct piece *piece, uint32_t *ret_first, uint32_t *ret_last)
{
    uint64_t from = piece->position % SIM_PAGE_SIZE;
    *ret_first = (uint32_t)(from / SIM_SECTOR_SIZE);
    *ret_last = (uint32_t)((from + piece->bytes.size - 1) / SIM_SECTOR_SIZE);
}

static void group_pieces(struct sim_walk *walk)
{
    uint32_t size = 64;
    while (size < walk->piece_count * 2)
        size *= 2;
    if (size > walk->table_size) {
        free(walk->table);
        walk->table = sim_take(size * sizeof(uint32_t));
        walk->table_size = size;
    } else {
        memset(walk->table, 0, walk->table_size * sizeof(uint32_t));
    }
    walk->group_count = 0;
    for (uint32_t i = 0; i < walk->piece_count; i++) {
        struct piece *piece = &walk->pieces[i];
        if (piece->resize)
            continue;
        struct group *group = group_of(walk, piece->ino, piece->position / SIM_PAGE_SIZE);
        piece->group = (uint32_t)(group - walk->groups);
        uint32_t first, last;
        sectors_of(piece, &first, &last);
        for (uint32_t s = first; s <= last; s++)
            group->total[s]++;
    }
    walk->grouped = true;
}

/* ---- applying ---- */

static void write_to(struct sim_pool *pool, struct sim_image *image, uint32_t ino, uint64_t position,
                     struct bytes bytes)
{
    struct sim_inode *inode = sim_image_inode(image, ino);
    if (inode != NULL)
        sim_content_write(pool, &inode->content, position, bytes);
}

static void resize_to(struct sim_pool *pool, struct sim_image *image, const struct sim_op *op)
{
    struct sim_inode *inode = sim_image_inode(image, op->ino);
    if (inode == NULL)
        return;
    uint64_t now = inode->content->size;
    if (op->kind == SIM_OP_GROW ? now < op->position : now > op->position)
        sim_content_resize(pool, &inode->content, op->position);
}

/* The sectors of a piece that have arrived, run by run. */
static void apply_arrived(struct sim_pool *pool, struct sim_image *image, struct group *group,
                          const struct piece *piece)
{
    uint64_t page_start = piece->position - piece->position % SIM_PAGE_SIZE;
    uint64_t end = piece->position + piece->bytes.size;
    uint64_t run_start = end, run_end = end;
    uint32_t first, last;
    sectors_of(piece, &first, &last);
    for (uint32_t s = first; s <= last + 1; s++) {
        bool arrived = s <= last && group->given[s]++ < group->arrive[s];
        uint64_t from = page_start + s * SIM_SECTOR_SIZE;
        if (arrived && run_start == end)
            run_start = from < piece->position ? piece->position : from;
        if (arrived)
            run_end = from + SIM_SECTOR_SIZE < end ? from + SIM_SECTOR_SIZE : end;
        if (!arrived && run_start < end) {
            struct bytes run = { piece->bytes.at + (run_start - piece->position), run_end - run_start };
            write_to(pool, image, piece->ino, run_start, run);
            run_start = end;
        }
    }
}

/* ---- walking ---- */

static void add_pieces(struct sim_walk *walk, const struct sim_op *op)
{
    struct bytes left = op->bytes;
    uint64_t position = op->position;
    while (left.size > 0) {
        size_t size = SIM_PAGE_SIZE - position % SIM_PAGE_SIZE;
        size = size < left.size ? size : left.size;
        walk->pieces = sim_grow(walk->pieces, walk->piece_count, &walk->piece_room, sizeof(walk->pieces[0]));
        walk->pieces[walk->piece_count++] =
            (struct piece){ .op = walk->at, .ino = op->ino, .position = position, .bytes = { left.at, size } };
        left.at += size;
        left.size -= size;
        position += size;
    }
    walk->grouped = false;
}

static void add_resize(struct sim_walk *walk, const struct sim_op *op)
{
    walk->pieces = sim_grow(walk->pieces, walk->piece_count, &walk->piece_room, sizeof(walk->pieces[0]));
    walk->pieces[walk->piece_count++] =
        (struct piece){ .op = walk->at, .ino = op->ino, .resize = true, .position = op->position };
    walk->grouped = false;
}

static void sync_failed(struct sim_walk *walk, const struct sim_op *op)
{
    for (uint32_t i = 0; i < walk->piece_count; i++) {
        struct piece *piece = &walk->pieces[i];
        if (piece->ino == op->ino && piece->op < op->start)
            piece->clean = true;
    }
}

static void sync_ok(struct sim_disk *disk, struct sim_walk *walk, const struct sim_op *op)
{
    if (!walk->grouped)
        group_pieces(walk);
    for (uint32_t i = 0; i < walk->group_count; i++)
        walk->groups[i].dirty = false;
    for (uint32_t i = 0; i < walk->piece_count; i++) {
        const struct piece *piece = &walk->pieces[i];
        if (!piece->resize && !piece->clean && piece->op < op->start)
            walk->groups[piece->group].dirty = true; /* rule C3 */
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < walk->piece_count; i++) {
        const struct piece *piece = &walk->pieces[i];
        bool covered = piece->ino == op->ino && piece->op < op->start;
        if (covered && piece->resize)
            resize_to(disk->pool, &walk->durable, &disk->ops[piece->op]);
        else if (covered && walk->groups[piece->group].dirty)
            write_to(disk->pool, &walk->durable, piece->ino, piece->position, piece->bytes);
        else
            walk->pieces[kept++] = *piece;
    }
    walk->grouped = walk->grouped && kept == walk->piece_count;
    walk->piece_count = kept;
}

static void forget_pieces(struct sim_walk *walk, uint32_t ino)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < walk->piece_count; i++) {
        if (walk->pieces[i].ino != ino)
            walk->pieces[kept++] = walk->pieces[i];
    }
    walk->grouped = walk->grouped && kept == walk->piece_count;
    walk->piece_count = kept;
}

static bool name_pending(const struct sim_disk *disk, const struct sim_walk *walk, uint32_t ino)
{
    for (uint32_t i = 0; i < walk->name_count; i++) {
        if (disk->ops[walk->names[i].op].ino == ino)
            return true;
    }
    return false;
}

/* Files that no name leads to any more, whatever a crash keeps. */
static void forget_nameless(struct sim_disk *disk, struct sim_walk *walk)
{
    for (uint32_t i = walk->durable.inode_count; i > 0; i--) {
        struct sim_inode *inode = &walk->durable.inodes[i - 1];
        if (inode->link_count > 0 || name_pending(disk, walk, inode->ino))
            continue;
        forget_pieces(walk, inode->ino);
        sim_image_remove(disk->pool, &walk->durable, inode);
    }
}

static uint32_t parent_of(const struct sim_disk *disk, uint32_t name)
{
    return disk->pool->names[name].parent;
}

static void dir_synced(struct sim_disk *disk, struct sim_walk *walk, const struct sim_op *sync)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < walk->name_count; i++) {
        struct pending_name pending = walk->names[i];
        const struct sim_op *op = &disk->ops[pending.op];
        bool rename = op->kind == SIM_OP_RENAME;
        if (pending.op < sync->start) {
            pending.from_synced |= parent_of(disk, op->name) == sync->name;
            pending.to_synced |= !rename || parent_of(disk, op->name_to) == sync->name;
        }
        if (pending.from_synced && pending.to_synced)
            sim_image_apply(&walk->durable, op);
        else
            walk->names[kept++] = pending;
    }
    walk->name_count = kept;
    forget_nameless(disk, walk);
}

static void add_name(struct sim_walk *walk)
{
    walk->names = sim_grow(walk->names, walk->name_count, &walk->name_room, sizeof(walk->names[0]));
    walk->names[walk->name_count++] = (struct pending_name){ .op = walk->at };
}

static void walk_over(struct sim_disk *disk, struct sim_walk *walk, const struct sim_op *op)
{
    switch (op->kind) {
    case SIM_OP_WRITE:
        if (sim_image_inode(&walk->durable, op->ino) != NULL)
            add_pieces(walk, op);
        break;
    case SIM_OP_RESIZE:
    case SIM_OP_GROW:
        if (sim_image_inode(&walk->durable, op->ino) != NULL)
            add_resize(walk, op);
        break;
    case SIM_OP_SYNC_OK:
        sync_ok(disk, walk, op);
        break;
    case SIM_OP_SYNC_FAILED:
        sync_failed(walk, op);
        break;
    case SIM_OP_CREATE:
    case SIM_OP_MKDIR:
        sim_image_add(disk->pool, &walk->durable, op->ino, op->kind == SIM_OP_MKDIR);
        add_name(walk);
        break;
    case SIM_OP_RENAME:
    case SIM_OP_UNLINK:
        add_name(walk);
        break;
    case SIM_OP_DIR_SYNC:
        dir_synced(disk, walk, op);
        break;
    default:
        break;
    }
    walk->at++;
}

static void walk_restart(struct sim_disk *disk, struct sim_walk *walk)
{
    sim_image_fini(disk->pool, &walk->durable);
    sim_image_copy(disk->pool, &walk->durable, &disk->base);
    walk->at = walk->piece_count = walk->name_count = 0;
    walk->grouped = false;
    walk->state_count = 0;
}

static struct sim_walk *walk_to(struct sim_disk *disk, uint32_t point)
{
    must(disk->record && point <= disk->op_count);
    struct sim_walk *walk = disk->walk;
    if (walk == NULL)
        walk = disk->walk = sim_take(sizeof(*walk));
    if (walk->at > point || walk->durable.names == NULL)
        walk_restart(disk, walk);
    if (walk->at < point)
        walk->state_count = 0;
    while (walk->at < point)
        walk_over(disk, walk, &disk->ops[walk->at]);
    if (!walk->grouped)
        group_pieces(walk);
    return walk;
}

bool sim_disk_point_matters(const struct sim_disk *disk, uint32_t point)
{
    must(disk->record && point <= disk->op_count);
    return point == 0 || disk->ops[point - 1].kind != SIM_OP_SYNC_START;
}

/* ---- choosing: each digit of the state's number is one choice, or chance makes them ---- */

static uint64_t times(uint64_t count, uint32_t choices)
{
    return count > SIM_STATE_COUNT_MAX ? count : count * choices;
}

static uint64_t count_states(const struct sim_walk *walk)
{
    uint64_t count = 1;
    for (uint32_t i = 0; i < walk->group_count; i++) {
        for (uint32_t s = 0; s < SIM_SECTOR_COUNT; s++)
            count = times(count, walk->groups[i].total[s] + 1);
    }
    for (uint32_t i = 0; i < walk->piece_count; i++)
        count = walk->pieces[i].resize ? times(count, 2) : count;
    for (uint32_t i = 0; i < walk->name_count; i++)
        count = times(count, 2);
    return count > SIM_STATE_COUNT_MAX ? UINT64_MAX : count;
}

uint64_t sim_disk_state_count(struct sim_disk *disk, uint32_t point)
{
    struct sim_walk *walk = walk_to(disk, point);
    if (walk->state_count == 0)
        walk->state_count = count_states(walk);
    return walk->state_count;
}

static uint32_t digit(uint64_t *number, uint32_t choices)
{
    uint32_t value = (uint32_t)(*number % choices);
    *number /= choices;
    return value;
}

static void choose_by_number(struct sim_walk *walk, uint64_t number)
{
    for (uint32_t i = 0; i < walk->group_count; i++) {
        struct group *group = &walk->groups[i];
        for (uint32_t s = 0; s < SIM_SECTOR_COUNT; s++)
            group->arrive[s] = digit(&number, group->total[s] + 1);
    }
    for (uint32_t i = 0; i < walk->piece_count; i++) {
        if (walk->pieces[i].resize)
            walk->pieces[i].chosen = digit(&number, 2) != 0;
    }
    for (uint32_t i = 0; i < walk->name_count; i++)
        walk->names[i].chosen = digit(&number, 2) != 0;
}

static void choose_all(struct sim_walk *walk, bool there)
{
    for (uint32_t i = 0; i < walk->group_count; i++) {
        struct group *group = &walk->groups[i];
        for (uint32_t s = 0; s < SIM_SECTOR_COUNT; s++)
            group->arrive[s] = there ? group->total[s] : 0;
    }
    for (uint32_t i = 0; i < walk->piece_count; i++)
        walk->pieces[i].chosen = there;
    for (uint32_t i = 0; i < walk->name_count; i++)
        walk->names[i].chosen = there;
}

/* Everything but the clean pieces that no dirty one of their page brings along. */
static void choose_evicted(struct sim_walk *walk)
{
    choose_all(walk, true);
    for (uint32_t i = 0; i < walk->group_count; i++)
        walk->groups[i].dirty = false;
    for (uint32_t i = 0; i < walk->piece_count; i++) {
        if (!walk->pieces[i].resize && !walk->pieces[i].clean)
            walk->groups[walk->pieces[i].group].dirty = true;
    }
    for (uint32_t i = 0; i < walk->group_count; i++) {
        struct group *group = &walk->groups[i];
        for (uint32_t s = 0; s < SIM_SECTOR_COUNT && !group->dirty; s++)
            group->arrive[s] = 0;
    }
}

enum fate { LOST, KEPT, TORN_SECTORS, TORN_PAGES };

/* Piece by piece, with a fate for each write: the pieces of one write share it. */
static void choose_writes(struct sim_walk *walk, uint64_t *chance, uint32_t kept_in_8, bool tear)
{
    uint32_t op = UINT32_MAX;
    enum fate fate = LOST;
    uint32_t seen[SIM_SECTOR_COUNT];
    for (uint32_t i = 0; i < walk->group_count; i++)
        memset(walk->groups[i].given, 0, sizeof(seen));
    for (uint32_t i = 0; i < walk->piece_count; i++) {
        struct piece *piece = &walk->pieces[i];
        if (piece->op != op) {
            op = piece->op;
            fate = sim_below(chance, 8) < kept_in_8 ? KEPT : LOST;
            if (tear && sim_one_in(chance, 3))
                fate = sim_one_in(chance, 2) ? TORN_SECTORS : TORN_PAGES;
        }
        if (piece->resize) {
            piece->chosen = fate == KEPT || (fate != LOST && sim_one_in(chance, 2));
            continue;
        }
        struct group *group = &walk->groups[piece->group];
        bool page_kept = fate == KEPT || (fate == TORN_PAGES && sim_one_in(chance, 2));
        uint32_t first, last;
        sectors_of(piece, &first, &last);
        for (uint32_t s = first; s <= last; s++) {
            group->given[s]++;
            if (page_kept || (fate == TORN_SECTORS && sim_one_in(chance, 2)))
                group->arrive[s] = group->given[s]; /* and all before it: rule C1 */
        }
    }
}

/* Everything up to some write, that one up to some sector, and nothing after it. */
static void choose_prefix(struct sim_walk *walk, uint64_t *chance)
{
    for (uint32_t i = 0; i < walk->group_count; i++)
        memset(walk->groups[i].given, 0, sizeof(walk->groups[i].given));
    uint32_t cut = walk->piece_count == 0 ? 0 : sim_below(chance, walk->piece_count);
    uint32_t cut_sector = sim_below(chance, SIM_SECTOR_COUNT + 1);
    for (uint32_t i = 0; i <= cut && i < walk->piece_count; i++) {
        struct piece *piece = &walk->pieces[i];
        if (piece->resize) {
            piece->chosen = true;
            continue;
        }
        struct group *group = &walk->groups[piece->group];
        uint32_t first, last;
        sectors_of(piece, &first, &last);
        for (uint32_t s = first; s <= last && (i < cut || s < cut_sector); s++)
            group->arrive[s] = ++group->given[s];
    }
}

/* One sector or page holds an older content, everything else is there; or the other way round. */
static void choose_one(struct sim_walk *walk, uint64_t *chance, bool rest_there)
{
    choose_all(walk, rest_there);
    if (walk->group_count == 0)
        return;
    struct group *group = &walk->groups[sim_below(chance, walk->group_count)];
    bool page = sim_one_in(chance, 2);
    uint32_t sector = sim_below(chance, SIM_SECTOR_COUNT);
    for (uint32_t s = 0; s < SIM_SECTOR_COUNT; s++) {
        if (page || s == sector)
            group->arrive[s] = rest_there ? sim_below(chance, group->total[s] + 1) : group->total[s];
    }
}

static void choose_names(const struct sim_disk *disk, struct sim_walk *walk, uint64_t *chance)
{
    if (walk->name_count == 0)
        return;
    bool ordered = !sim_one_in(chance, 4); /* rule D4 */
    uint64_t salt = sim_chance(chance);
    uint32_t cut = sim_below(chance, walk->name_count + 1);
    bool by_directory = sim_one_in(chance, 3);
    for (uint32_t i = 0; i < walk->name_count; i++) {
        struct pending_name *pending = &walk->names[i];
        uint32_t here = cut;
        if (by_directory) /* each directory has its own cut */
            here = (uint32_t)(sim_mix(salt ^ parent_of(disk, disk->ops[pending->op].name)) % (walk->name_count + 1));
        pending->chosen = ordered ? i < here : sim_one_in(chance, 2);
    }
}

static void choose_by_chance(const struct sim_disk *disk, struct sim_walk *walk, uint64_t *chance)
{
    choose_all(walk, false);
    switch (sim_below(chance, 8)) {
    case 0:
        choose_prefix(walk, chance);
        break;
    case 1:
        choose_one(walk, chance, true);
        break;
    case 2:
        choose_one(walk, chance, false);
        break;
    case 3:
        choose_writes(walk, chance, 7, false);
        break;
    case 4:
        choose_writes(walk, chance, 7, true);
        break;
    case 5:
        choose_writes(walk, chance, 1, true);
        break;
    default:
        choose_writes(walk, chance, 4, sim_one_in(chance, 2));
        break;
    }
    choose_names(disk, walk, chance);
}

/* ---- making the state ---- */

/* Which pieces have a sector that arrives. */
static void mark_arriving(struct sim_walk *walk)
{
    for (uint32_t i = 0; i < walk->group_count; i++)
        memset(walk->groups[i].given, 0, sizeof(walk->groups[i].given));
    for (uint32_t i = 0; i < walk->piece_count; i++) {
        struct piece *piece = &walk->pieces[i];
        if (piece->resize)
            continue;
        struct group *group = &walk->groups[piece->group];
        uint32_t first, last;
        sectors_of(piece, &first, &last);
        piece->chosen = false;
        for (uint32_t s = first; s <= last; s++)
            piece->chosen |= ++group->given[s] <= group->arrive[s];
    }
}

/* Rule C2: a cut is there when anything written to the file after it is. */
static void bring_cuts(const struct sim_disk *disk, struct sim_walk *walk)
{
    bool marked = false;
    for (uint32_t i = 0; i < walk->piece_count; i++) {
        struct piece *cut = &walk->pieces[i];
        if (!cut->resize || cut->chosen || disk->ops[cut->op].kind != SIM_OP_RESIZE)
            continue;
        if (!marked)
            mark_arriving(walk);
        marked = true;
        for (uint32_t j = i + 1; j < walk->piece_count && !cut->chosen; j++)
            cut->chosen = walk->pieces[j].ino == cut->ino && walk->pieces[j].chosen;
    }
}

static void apply_contents(struct sim_disk *disk, struct sim_walk *walk, struct sim_image *image, bool keep_sizes)
{
    for (uint32_t i = 0; i < walk->group_count; i++)
        memset(walk->groups[i].given, 0, sizeof(walk->groups[i].given));
    for (uint32_t i = 0; i < walk->piece_count; i++) {
        const struct piece *piece = &walk->pieces[i];
        if (piece->resize) {
            if (piece->chosen)
                resize_to(disk->pool, image, &disk->ops[piece->op]);
            continue;
        }
        apply_arrived(disk->pool, image, &walk->groups[piece->group], piece);
        if (keep_sizes) { /* the size came through, the bytes did not: zeros */
            struct sim_op grow = { .kind = SIM_OP_GROW, .ino = piece->ino };
            grow.position = piece->position + piece->bytes.size;
            resize_to(disk->pool, image, &grow);
        }
    }
}

/* A file without a name is not there. Directories always have theirs: they are made durable before anything is in them. */
static void drop_nameless(struct sim_disk *disk, struct sim_image *image)
{
    for (uint32_t i = image->inode_count; i > 0; i--) {
        if (image->inodes[i - 1].link_count == 0)
            sim_image_remove(disk->pool, image, &image->inodes[i - 1]);
    }
}

static bool choose(const struct sim_disk *disk, struct sim_walk *walk, uint32_t point, uint64_t state)
{
    if (state == SIM_STATE_NONE || state == SIM_STATE_ALL) {
        choose_all(walk, state == SIM_STATE_ALL);
    } else if (state == SIM_STATE_EVICTED) {
        choose_evicted(walk);
    } else if (walk->state_count < UINT64_MAX) {
        choose_by_number(walk, state % walk->state_count);
    } else {
        uint64_t chance = sim_mix(state ^ (uint64_t)point << 32) ^ point;
        choose_by_chance(disk, walk, &chance);
        return sim_one_in(&chance, 16);
    }
    return false;
}

struct sim_disk *sim_disk_state(struct sim_disk *disk, uint32_t point, uint64_t state, bool record)
{
    sim_disk_state_count(disk, point);
    struct sim_walk *walk = disk->walk;
    bool keep_sizes = choose(disk, walk, point, state);
    bring_cuts(disk, walk);
    struct sim_image image;
    sim_image_copy(disk->pool, &image, &walk->durable);
    for (uint32_t i = 0; i < walk->name_count; i++) {
        if (walk->names[i].chosen)
            sim_image_apply(&image, &disk->ops[walk->names[i].op]);
    }
    if (walk->name_count > 0)
        drop_nameless(disk, &image);
    apply_contents(disk, walk, &image, keep_sizes);
    return sim_disk_from(disk->pool, &image, disk->size_max, record, disk->next_ino);
}
