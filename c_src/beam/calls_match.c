/*
 * calls_match.c - calls that are given a match specification.
 *
 * A scan (scan.h) brings the objects that its plan lets through, and a program (match.h) runs on
 * them. What is rarer than such programs is done by src/xets_match.erl, which is given the
 * candidates as terms, and goes on from any position: with `other` from where the call began.
 *
 * What changes objects gathers the keys of a chunk (in a bag: the objects) first. Then each is
 * looked for again, the program runs on what is there now, and exactly that version is removed or
 * replaced: atomic for each object, and no program runs under a lock. A call that cannot go on
 * after it has changed something answers {stopped, What, Left, Position}: what it has done, which
 * keys (or objects) of the last chunk are left, and where the rest begins.
 */
#include "call_key.h"
#include "match.h"
#include "scan.h"

/* src/xets_match.erl has them, too. */
enum what { SELECT, COUNT, DELETE, TAKE, REPLACE, WHATS };
enum { REVERSE = 8 };

enum {
    CHUNK_OF_CHANGES = 256,
    CHANGES_INLINE = 500, /* on a normal scheduler */
    /* Results are garbage of the calling process, which it can collect between two calls only. */
    MOST_REPLACED = 20000,
};

struct job {
    struct xe_scan scan;
    enum what what;
    uint64_t left; /* words that may still be decoded here */
    struct xe_program *program;
    struct xe_matcher *matcher;
    ErlNifEnv *scratch; /* of the keys, or objects, of one chunk; NULL where nothing is changed */
    bool other;         /* an object was met that is for ets to match */
    uint64_t changed;   /* objects that were removed or replaced */
    ERL_NIF_TERM taken; /* the list of those removed, from the last one */
};

static enum xe_result of_matched(struct job *j, enum xe_matched matched)
{
    switch (matched) {
    case XE_MATCHED:
    case XE_MATCHED_NOT:
        return XE_CALL_OK;
    case XE_MATCHED_BUDGET:
        return XE_CALL_BUDGET;
    case XE_MATCHED_NOMEM:
        return XE_CALL_LIMIT;
    case XE_MATCHED_OTHER:
        break;
    }
    j->other = true;
    return XE_CALL_BADARG;
}

/* Compiles the specification, whose scan has begun. *out is `other` if that is not done here, or
 * it is none. */
static enum xe_result compile(struct job *j, ERL_NIF_TERM spec, ERL_NIF_TERM *out)
{
    *out = xe_call_nil;
    switch (xe_program_compile(j->scan.env, spec, &j->scan.form, &j->program)) {
    case XE_COMPILED:
        break;
    case XE_COMPILED_NOT:
        *out = xe_am.other;
        return XE_CALL_OK;
    case XE_COMPILED_NOMEM:
        return XE_CALL_LIMIT;
    }
    j->scan.glance = xe_program_glance(j->program);
    if (j->what >= DELETE && !(j->scratch = enif_alloc_env()))
        return XE_CALL_LIMIT;
    j->matcher = xe_matcher_new(j->scan.env, j->program, j->left);
    return j->matcher ? XE_CALL_OK : XE_CALL_LIMIT;
}

static enum xe_result job_begin(struct job *j, ErlNifEnv *env, ERL_NIF_TERM table,
                                ERL_NIF_TERM spec, enum what what, bool reverse, uint64_t budget)
{
    j->what = what;
    j->left = budget;
    j->program = NULL;
    j->matcher = NULL;
    j->scratch = NULL;
    j->other = false;
    j->changed = 0;
    j->taken = xe_call_nil;
    return xe_scan_begin(&j->scan, env, table, what < DELETE ? XE_NEED_READ : XE_NEED_WRITE, spec,
                         reverse, budget);
}

/* Tells the scheduler of a process how long it was held, beyond what any call takes: a process that
 * scans small tables over and over has to leave it to others as soon as one that calls ets. */
static void account(const struct job *j)
{
    enum { WORDS_PER_PERCENT = XE_TERM_BUDGET_WORDS / 30, LOOK_WORDS = 3, CHANGE_WORDS = 64 };
    if (xe_call_is_patient(j->scan.budget))
        return;
    uint64_t words = j->scan.budget - j->left + j->scan.looked * LOOK_WORDS +
                     j->changed * CHANGE_WORDS;
    if (j->matcher)
        words += j->scan.budget - xe_matcher_left(j->matcher);
    uint64_t percent = (words + WORDS_PER_PERCENT / 2) / WORDS_PER_PERCENT;
    if (percent > 0)
        enif_consume_timeslice(j->scan.env, percent < 100 ? (int)percent : 100);
}

static void job_end(struct job *j)
{
    account(j);
    if (j->matcher)
        xe_matcher_free(j->matcher);
    if (j->program)
        xe_program_free(j->program);
    if (j->scratch)
        enif_free_env(j->scratch);
    xe_scan_end(&j->scan);
}

/* --- Decoding ----------------------------------------------------------- */

static enum xe_result decode(struct job *j, ErlNifEnv *env, const struct xe_view *view,
                             ERL_NIF_TERM key, ERL_NIF_TERM *out)
{
    uint64_t words = xe_term_object_words(view);
    if (words > j->left)
        return XE_CALL_BUDGET;
    j->left -= j->left == XE_TERM_NO_BUDGET ? 0 : words;
    return xe_call_of_term(xe_term_decode_object(env, view, j->scan.form.keypos, key,
                                                 XE_TERM_NO_BUDGET, out));
}

static enum xe_result visit_object(void *arg, const struct xe_view *view, ERL_NIF_TERM key,
                                   ERL_NIF_TERM *out)
{
    struct job *j = arg;
    return decode(j, j->scan.env, view, key, out);
}

/* --- Reading ------------------------------------------------------------ */

static enum xe_result visit_result(void *arg, const struct xe_view *view, ERL_NIF_TERM key,
                                   ERL_NIF_TERM *out)
{
    struct job *j = arg;
    ERL_NIF_TERM term = 0;
    (void)key;
    enum xe_matched matched = xe_matcher_run(j->matcher, view, XE_WANT_RESULT, &term);
    if (matched == XE_MATCHED)
        *out = term;
    return of_matched(j, matched);
}

static enum xe_result visit_true(void *arg, const struct xe_view *view, ERL_NIF_TERM key,
                                 ERL_NIF_TERM *out)
{
    struct job *j = arg;
    ERL_NIF_TERM term;
    (void)key;
    enum xe_matched matched = xe_matcher_run(j->matcher, view, XE_WANT_TRUE, &term);
    if (matched == XE_MATCHED)
        *out = xe_am.yes;
    return of_matched(j, matched);
}

/* How many objects to look at next, of which `want` are wanted: more and more when few match. */
static uint32_t how_many(uint64_t want, unsigned chunks)
{
    enum { LEAST = 16, DOUBLINGS = 7 };
    uint64_t n = want > LEAST ? want : LEAST;
    n = n < XE_CHUNK_MAX ? n << (chunks < DOUBLINGS ? chunks : DOUBLINGS) : XE_CHUNK_MAX;
    return n < XE_CHUNK_MAX ? (uint32_t)n : XE_CHUNK_MAX;
}

/* The results; {Results, Left, Position} if there are as many as asked for, and perhaps others. */
static enum xe_result list_results(struct job *j, uint64_t limit, ERL_NIF_TERM *out)
{
    struct xe_scan *s = &j->scan;
    enum xe_result result = XE_CALL_OK;
    s->room = limit;
    for (unsigned i = 0; result == XE_CALL_OK && !s->is_done && s->kept.n < limit; i++)
        result = xe_scan_next(s, how_many(limit - s->kept.n, i), visit_result, j);
    if (result != XE_CALL_OK)
        return result;
    if (s->kept.n < limit)
        *out = xe_scan_list(s, 0, s->kept.n);
    else
        *out = enif_make_tuple3(s->env, xe_scan_list(s, 0, limit),
                                xe_scan_list(s, limit, s->kept.n), xe_scan_position(s));
    return XE_CALL_OK;
}

static enum xe_result count(struct job *j, ERL_NIF_TERM *out)
{
    struct xe_scan *s = &j->scan;
    enum xe_result result = XE_CALL_OK;
    s->counted = true;
    while (result == XE_CALL_OK && !s->is_done)
        result = xe_scan_next(s, XE_CHUNK_MAX, visit_true, j);
    *out = enif_make_uint64(s->env, s->kept.n);
    return result;
}

/* --- Changing one object ------------------------------------------------ */

/* What is to become of an object. */
struct change {
    bool is_due;
    ERL_NIF_TERM term; /* the object, if it is taken; the one in its place, if it is replaced */
    bool is_encoded;
    struct xe_encoder e; /* of the new object */
};

static void change_end(struct change *c)
{
    if (c->is_encoded)
        xe_encoder_clear(&c->e);
}

/* Encodes the new object, which is to have the same key. */
static enum xe_result encode_new(struct job *j, ERL_NIF_TERM key, struct change *c)
{
    const ERL_NIF_TERM *elements;
    int arity, keypos = j->scan.form.keypos;
    if (!enif_get_tuple(j->scan.env, c->term, &arity, &elements) || arity < keypos)
        return XE_CALL_BADARG;
    ERL_NIF_TERM is = elements[keypos - 1];
    bool same = j->scan.form.kind == XE_ORDERED ? enif_compare(is, key) == 0
                                                : enif_is_identical(is, key);
    if (!same)
        return XE_CALL_BADARG;
    xe_call_encoder(&c->e, j->scan.env, &j->scan.form, j->scan.budget);
    c->is_encoded = true;
    return xe_call_of_term(xe_term_encode_object(&c->e, elements, arity, keypos));
}

/* Runs the program on an object. */
static enum xe_result decide(struct job *j, const struct xe_view *view, ERL_NIF_TERM key,
                             struct change *c)
{
    bool replaces = j->what == REPLACE;
    enum xe_matched matched = xe_matcher_run(
        j->matcher, view, replaces ? XE_WANT_RESULT : XE_WANT_TRUE, &c->term);
    enum xe_result result = of_matched(j, matched);
    c->is_due = matched == XE_MATCHED;
    if (result != XE_CALL_OK || !c->is_due || j->what == DELETE)
        return result;
    return replaces ? encode_new(j, key, c) : decode(j, j->scan.env, view, 0, &c->term);
}

/* Makes the change, if it is still that version. XE_ABSENT: it is not. */
static enum xe_status make(struct job *j, struct xe_use *use, const struct xe_key *key,
                           const struct xe_version *version, ERL_NIF_TERM term, struct change *c)
{
    struct xe_object o;
    struct xe_prepared p;
    if (j->what != REPLACE)
        return xe_table_remove(use->table->core, use->slot, key, version, NULL);
    xe_term_object(&c->e, &o);
    enum xe_status status = xe_call_prepare(use->table, &o, term, &p);
    if (status != XE_OK)
        return status;
    status = xe_table_replace(use->table->core, use->slot, &p, version);
    if (status != XE_OK)
        xe_record_unprepare(&p);
    return status;
}

/* The same with an object in a blob, which is pinned, and looked at behind the section. *open:
 * whether there is one again. */
static enum xe_result change_blob(struct job *j, struct xe_use *use, const struct xe_key *key,
                                  ERL_NIF_TERM term, struct xe_view *view, struct change *c,
                                  bool *open, enum xe_status *status)
{
    struct xe_blob *blob = view->blob;
    struct xe_version version;
    xe_blob_pin(blob);
    xe_use_end(use);
    *open = false;
    enum xe_result result = decide(j, view, term, c);
    if (result == XE_CALL_OK)
        result = xe_scan_use(&j->scan, use);
    *open = result == XE_CALL_OK;
    if (*open && c->is_due) {
        *status = xe_table_find_version(use->table->core, key, view, &version);
        if (*status == XE_OK)
            *status = view->blob == blob ? make(j, use, key, &version, term, c) : XE_ABSENT;
    }
    xe_blob_unpin(blob);
    return result;
}

/* XE_ABSENT: it has changed meanwhile. XE_EXISTS: nothing is to be done. */
static enum xe_result change_found(struct job *j, ERL_NIF_TERM term, struct change *c,
                                   enum xe_status *status)
{
    struct xe_use use;
    struct xe_encoder e;
    struct xe_key key;
    struct xe_view view;
    struct xe_version version;
    enum xe_kind kind = j->scan.form.kind;
    bool open = true;
    enum xe_result result =
        xe_call_encode_key(&e, j->scan.env, kind, term, j->scan.budget, false);
    if (result != XE_CALL_OK)
        return result;
    result = xe_scan_use(&j->scan, &use);
    if (result != XE_CALL_OK) {
        xe_call_key_end(&e, kind, term);
        return result;
    }
    xe_call_key(&key, use.table, term, &e);
    *status = xe_table_find_version(use.table->core, &key, &view, &version);
    if (*status == XE_ABSENT) {
        *status = XE_EXISTS;
    } else if (*status == XE_OK && view.blob) {
        result = change_blob(j, &use, &key, term, &view, c, &open, status);
    } else if (*status == XE_OK) {
        result = decide(j, &view, term, c);
        if (result == XE_CALL_OK && c->is_due)
            *status = make(j, &use, &key, &version, term, c);
    }
    if (result == XE_CALL_OK && *status == XE_OK && !c->is_due)
        *status = XE_EXISTS;
    if (open)
        xe_use_end(&use);
    xe_call_key_end(&e, kind, term);
    return result;
}

/* Changes the object with a key, if it is to be. *made: what has become of it, see struct change;
 * 0: nothing. */
static enum xe_result change_key(struct job *j, ERL_NIF_TERM key, ERL_NIF_TERM *made)
{
    bool patient = xe_call_is_patient(j->scan.budget);
    *made = 0;
    for (int i = 0; patient || i < XE_CALL_TRIES; i++) {
        struct change c = {.term = xe_am.yes, .is_due = false, .is_encoded = false};
        enum xe_status status = XE_OK;
        enum xe_result result = change_found(j, key, &c, &status);
        change_end(&c);
        if (result == XE_CALL_OK && status == XE_OK)
            *made = c.term;
        if (result == XE_CALL_OK && (status == XE_OK || status == XE_EXISTS))
            return XE_CALL_OK;
        if (result == XE_CALL_OK && status != XE_ABSENT)
            result = xe_call_of_core(status);
        if (result == XE_CALL_RETRY || result == XE_CALL_OK)
            result = xe_scan_persist(j->scan.env, j->scan.budget, result);
        if (result != XE_CALL_OK)
            return result;
    }
    return XE_CALL_RETRY;
}

/* --- Changing what matches ---------------------------------------------- */

/* The key of an object that matches; in a bag the object. */
static enum xe_result visit_change(void *arg, const struct xe_view *view, ERL_NIF_TERM key,
                                   ERL_NIF_TERM *out)
{
    struct job *j = arg;
    ERL_NIF_TERM term;
    enum xe_matched matched = xe_matcher_run(
        j->matcher, view, j->what == REPLACE ? XE_WANT_RESULT : XE_WANT_TRUE, &term);
    enum xe_result result = of_matched(j, matched);
    if (result != XE_CALL_OK || matched == XE_MATCHED_NOT)
        return result;
    if (xe_kind_is_bag(j->scan.form.kind))
        return decode(j, j->what == TAKE ? j->scan.env : j->scratch, view, key, out);
    if (key) {
        *out = key;
        return XE_CALL_OK;
    }
    return xe_call_of_term(xe_term_decode_key(j->scratch, view, j->scan.budget, out));
}

static enum xe_result remove_one(struct job *j, ERL_NIF_TERM object, uint32_t *n)
{
    struct xe_use use;
    enum xe_result result = xe_scan_use(&j->scan, &use);
    if (result == XE_CALL_OK) {
        result = xe_call_remove_object(j->scan.env, &use, object, j->scan.budget, n);
        xe_use_end(&use);
    }
    return result;
}

/* Changes what was gathered under a key; in a bag: removes the object. */
static enum xe_result change_one(struct job *j, ERL_NIF_TERM term)
{
    ErlNifEnv *env = j->scan.env;
    ERL_NIF_TERM made = term;
    uint32_t n = 0;
    enum xe_result result;
    if (xe_kind_is_bag(j->scan.form.kind)) {
        do
            result = remove_one(j, term, &n);
        while (result == XE_CALL_RETRY && xe_call_is_patient(j->scan.budget) &&
               xe_scan_persist(env, j->scan.budget, result) == XE_CALL_OK);
    } else {
        result = change_key(j, term, &made);
        n = made != 0;
    }
    if (result != XE_CALL_OK)
        return result;
    j->changed += n;
    for (uint32_t i = 0; i < n && j->what == TAKE; i++)
        j->taken = enif_make_list_cell(env, made, j->taken);
    return XE_CALL_OK;
}

/* What has been done: the number of objects, or themselves. */
static ERL_NIF_TERM changes(struct job *j)
{
    ERL_NIF_TERM list = xe_call_nil;
    if (j->what != TAKE)
        return enif_make_uint64(j->scan.env, j->changed);
    enif_make_reverse_list(j->scan.env, j->taken, &list);
    return list;
}

static ERL_NIF_TERM stopped(struct job *j, size_t first)
{
    ErlNifEnv *env = j->scan.env;
    ERL_NIF_TERM left = xe_call_nil;
    for (size_t i = j->scan.kept.n; i-- > first;)
        left = enif_make_list_cell(env, enif_make_copy(env, j->scan.kept.at[i]), left);
    return enif_make_tuple4(env, xe_am.stopped, changes(j), left, xe_scan_position(&j->scan));
}

/* Objects that one call changes, about. */
static uint64_t most_changes(const struct job *j)
{
    if (!xe_call_is_patient(j->scan.budget))
        return CHANGES_INLINE;
    return j->what == REPLACE ? MOST_REPLACED : UINT64_MAX;
}

static enum xe_result change(struct job *j, ERL_NIF_TERM *out)
{
    struct xe_scan *s = &j->scan;
    enum xe_result result = XE_CALL_OK;
    uint64_t most = most_changes(j);
    size_t i = 0;
    while (result == XE_CALL_OK && !s->is_done && j->changed < most) {
        s->kept.n = i = 0;
        enif_clear_env(j->scratch);
        result = xe_scan_next(s, CHUNK_OF_CHANGES, visit_change, j);
        for (; result == XE_CALL_OK && i < s->kept.n; i += result == XE_CALL_OK)
            result = change_one(j, s->kept.at[i]);
    }
    bool is_over = result == XE_CALL_BADARG && !j->other;
    if (result != XE_CALL_OK && (j->changed == 0 || is_over))
        return result;
    *out = s->is_done && result == XE_CALL_OK ? changes(j) : stopped(j, i);
    j->other = false;
    return XE_CALL_OK;
}

/* --- The calls ---------------------------------------------------------- */

/* `infinity', or a number. */
static bool get_limit(ErlNifEnv *env, ERL_NIF_TERM term, uint64_t *limit)
{
    ErlNifUInt64 n;
    *limit = UINT64_MAX;
    if (enif_is_atom(env, term))
        return true;
    bool is_number = enif_get_uint64(env, term, &n) && n > 0;
    *limit = is_number ? n : 0;
    return is_number;
}

static enum xe_result run(struct job *j, uint64_t limit, ERL_NIF_TERM *out)
{
    j->scan.whole = limit == UINT64_MAX;
    switch (j->what) {
    case SELECT:
        return list_results(j, limit, out);
    case COUNT:
        return count(j, out);
    default:
        return change(j, out);
    }
}

/* (Table, Spec, What, Limit, From) */
static enum xe_result scan(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                           ERL_NIF_TERM *out)
{
    struct job j;
    unsigned flags;
    uint64_t limit;
    if (!enif_get_uint(env, argv[2], &flags) || (flags & ~REVERSE) >= WHATS ||
        !get_limit(env, argv[3], &limit))
        return XE_CALL_BADARG;
    enum xe_result result = job_begin(&j, env, argv[0], argv[1], (enum what)(flags & ~REVERSE),
                                      flags & REVERSE, budget);
    if (result != XE_CALL_OK)
        return result;
    result = xe_scan_go_to(&j.scan, argv[4]);
    if (result == XE_CALL_OK)
        result = compile(&j, argv[1], out);
    if (result == XE_CALL_OK && *out != xe_am.other) {
        result = run(&j, limit, out);
        if (j.other) {
            *out = xe_am.other;
            result = XE_CALL_OK;
        }
    }
    job_end(&j);
    return result;
}
XE_CALL_WRITE(scan, 5)

/* (Table, Key, Spec): the object that the one with the key was replaced by; false: none was. */
static enum xe_result update(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                             ERL_NIF_TERM *out)
{
    struct job j;
    ERL_NIF_TERM made = 0;
    enum xe_result result = job_begin(&j, env, argv[0], 0, REPLACE, false, budget);
    if (result != XE_CALL_OK)
        return result;
    result = xe_kind_is_bag(j.scan.form.kind) ? XE_CALL_BADARG : compile(&j, argv[2], out);
    if (result == XE_CALL_OK && *out != xe_am.other) {
        result = change_key(&j, argv[1], &made);
        if (j.other) {
            *out = xe_am.other;
            result = XE_CALL_OK;
        } else if (result == XE_CALL_OK) {
            *out = made ? made : xe_am.no;
        }
    }
    job_end(&j);
    return result;
}
XE_CALL_WRITE(update, 3)

/* (Table, Spec, Reverse, Least, From): {Objects, Position}, some that may match, and where the
 * others begin. */
static enum xe_result candidates(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                 ERL_NIF_TERM *out)
{
    struct job j;
    unsigned least;
    if (!enif_get_uint(env, argv[3], &least) || least == 0)
        return XE_CALL_BADARG;
    enum xe_result result =
        job_begin(&j, env, argv[0], argv[1], SELECT, argv[2] == xe_am.yes, budget);
    if (result != XE_CALL_OK)
        return result;
    result = xe_scan_go_to(&j.scan, argv[4]);
    struct xe_scan *s = &j.scan;
    while (result == XE_CALL_OK && !s->is_done && s->kept.n < least)
        result = xe_scan_next(s, least - (uint32_t)s->kept.n, visit_object, &j);
    if (result == XE_CALL_OK)
        *out = enif_make_tuple2(env, xe_scan_list(s, 0, s->kept.n), xe_scan_position(s));
    job_end(&j);
    return result;
}
XE_CALL(candidates, 5)

/* --- Groups of a bag ----------------------------------------------------- */

/* [{Number, Object}] of a run. */
static enum xe_result list_numbered(struct job *j, const struct xe_run *run, ERL_NIF_TERM key,
                                    ERL_NIF_TERM *out)
{
    ErlNifEnv *env = j->scan.env;
    ERL_NIF_TERM list = xe_call_nil, object;
    for (uint32_t i = run->n; i-- > 0;) {
        struct xe_view view;
        xe_record_view(run->at[i].rec, &view);
        enum xe_result result = decode(j, env, &view, key, &object);
        if (result != XE_CALL_OK)
            return result;
        object = enif_make_tuple2(env, enif_make_uint64(env, run->at[i].sequence), object);
        list = enif_make_list_cell(env, object, list);
    }
    *out = list;
    return XE_CALL_OK;
}

/* (Table, Key): the objects of a bag that have this key, in the order of insertion, with the
 * numbers that say so. What replace_in_group() puts in the place of one has its number. */
static enum xe_result group(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                            ERL_NIF_TERM *out)
{
    struct job j;
    struct xe_use use;
    struct xe_encoder e;
    struct xe_key key;
    struct xe_run run;
    bool patient = xe_call_is_patient(budget);
    j.left = budget;
    enum xe_result result = xe_call_open(env, argv[0], XE_NEED_READ, argv[1], budget, &use, &e);
    if (result != XE_CALL_OK)
        return result;
    j.scan.env = env;
    j.scan.form = xe_call_form(use.table);
    xe_call_key(&key, use.table, argv[1], &e);
    xe_run_begin(&run);
    enum xe_status status =
        !xe_kind_is_bag(j.scan.form.kind)
            ? XE_DEAD
            : xe_bag_find(use.table->core, use.slot, &key,
                          patient ? UINT32_MAX : XE_CALL_INLINE_MAX, patient, &run);
    *out = xe_call_nil;
    if (status == XE_OK)
        result = list_numbered(&j, &run, xe_call_reusable_key(argv[1], &e), out);
    else if (status != XE_ABSENT)
        result = status == XE_LIMIT && !patient ? XE_CALL_BUDGET : xe_call_of_core(status);
    xe_run_end(&run);
    xe_call_close(&use, argv[1], &e);
    return result;
}
XE_CALL(group, 2)

/* --- Chunks of objects, with marks --------------------------------------- */

/* Of the segment that a key of an ordered table has its place in: where it is in the directory, and
 * whether it is as marked. */
static enum xe_result at_key(ErlNifEnv *env, ERL_NIF_TERM table, ERL_NIF_TERM term,
                             const struct xe_mark *mark, uint64_t budget, uint64_t *place, bool *is)
{
    struct xe_use use;
    struct xe_encoder e;
    struct xe_key key;
    enum xe_result result = xe_call_open(env, table, XE_NEED_READ, term, budget, &use, &e);
    if (result != XE_CALL_OK)
        return result;
    if (use.table->kind == XE_ORDERED) {
        xe_call_key(&key, use.table, term, &e);
        *place = xe_scan_place(use.table->core, &key);
        *is = xe_scan_is_unchanged_at(use.table->core, &key, mark);
    }
    xe_call_close(&use, term, &e);
    return XE_CALL_OK;
}

/* Where the chunk was read, for unchanged(). */
static ERL_NIF_TERM mark_of(struct xe_scan *s)
{
    ERL_NIF_TERM where = xe_am.none;
    uint64_t place = 0;
    bool is;
    if (s->form.kind != XE_ORDERED) {
        where = enif_make_tuple2(s->env, xe_am.hash, enif_make_uint64(s->env, s->chunk_hash));
    } else if (s->kept.n > 0) {
        /* Only to find it sooner: where it cannot be told now, any place will do. */
        (void)at_key(s->env, s->table, s->key, &s->chunk.mark, s->budget, &place, &is);
        where = enif_make_tuple3(s->env, xe_am.key, s->key, enif_make_uint64(s->env, place));
    } else {
        return where;
    }
    return enif_make_tuple3(s->env, where, enif_make_uint64(s->env, s->chunk.mark.segment),
                            enif_make_uint64(s->env, s->chunk.mark.stamp));
}

/* (Table, From, Reverse): {Objects, Position, Mark} of one chunk. */
static enum xe_result objects(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                              ERL_NIF_TERM *out)
{
    enum { LEAST = 256 };
    struct job j;
    enum xe_result result = job_begin(&j, env, argv[0], 0, SELECT, argv[2] == xe_am.yes, budget);
    if (result != XE_CALL_OK)
        return result;
    result = xe_scan_go_to(&j.scan, argv[1]);
    struct xe_scan *s = &j.scan;
    s->marked = true;
    s->chunk.mark = (struct xe_mark){0};
    while (result == XE_CALL_OK && !s->is_done && s->kept.n == 0)
        result = xe_scan_next(s, LEAST, visit_object, &j);
    if (result == XE_CALL_OK)
        *out = enif_make_tuple3(env, xe_scan_list(s, 0, s->kept.n), xe_scan_position(s),
                                mark_of(s));
    job_end(&j);
    return result;
}
XE_CALL(objects, 3)

/* `where`: a hash, or the place of a segment of an ordered table. */
static enum xe_result is_unchanged(ErlNifEnv *env, ERL_NIF_TERM table, bool ordered,
                                   uint64_t where, const struct xe_mark *mark, bool *is)
{
    struct xe_use use;
    if (!xe_use_begin(env, table, XE_NEED_READ, &use))
        return XE_CALL_BADARG;
    if ((use.table->kind == XE_ORDERED) == ordered)
        *is = (ordered ? xe_scan_is_unchanged_in : xe_scan_is_unchanged)(use.table->core, where,
                                                                         mark);
    xe_use_end(&use);
    return XE_CALL_OK;
}

/* (Table, Mark): whether nothing has changed in the segment that the chunk was read of. False for
 * what is no mark. */
static enum xe_result unchanged(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                ERL_NIF_TERM *out)
{
    const ERL_NIF_TERM *parts, *where;
    struct xe_mark mark;
    ErlNifUInt64 segment, stamp, at;
    uint64_t place;
    int n, n_where;
    bool is = false;
    enum xe_result result = XE_CALL_OK;
    if (!enif_get_tuple(env, argv[1], &n, &parts) || n != 3 ||
        !enif_get_tuple(env, parts[0], &n_where, &where) || n_where < 2 ||
        !enif_get_uint64(env, parts[1], &segment) || !enif_get_uint64(env, parts[2], &stamp) ||
        !enif_get_uint64(env, where[n_where - 1], &at)) {
        *out = xe_am.no;
        return XE_CALL_OK;
    }
    mark = (struct xe_mark){.segment = segment, .stamp = stamp};
    bool ordered = n_where == 3 && where[0] == xe_am.key;
    if (ordered || (n_where == 2 && where[0] == xe_am.hash))
        result = is_unchanged(env, argv[0], ordered, at, &mark, &is);
    if (result == XE_CALL_OK && ordered && !is)
        result = at_key(env, argv[0], where[1], &mark, budget, &place, &is);
    *out = xe_call_bool(is);
    return result;
}
XE_CALL(unchanged, 2)
