/*
 * replay.h - replays and verifications that take no breath.
 */
#ifndef XE_TEST_REPLAY_H
#define XE_TEST_REPLAY_H

#include "journal.h"

/* As xe_replay_next(), until there is something. */
static inline enum xe_replay_status replay_next(struct xe_replay *r, struct xe_replay_unit *out,
                                                struct xe_io_error *error)
{
    enum xe_replay_status status;
    while ((status = xe_replay_next(r, out, error)) == XE_REPLAY_MORE)
        ;
    return status;
}

/* Whether all of a directory is valid. */
static inline bool replay_verify(const struct xe_io *io, const char *dir,
                                 struct xe_io_error *error)
{
    enum xe_replay_status status = XE_REPLAY_FAILED;
    struct xe_replay *r = xe_replay_open(io, dir, false, error);
    while (r && (status = xe_replay_verify(r, error)) == XE_REPLAY_MORE)
        ;
    xe_replay_close(r);
    return status == XE_REPLAY_END;
}

#endif
