/*
 * epoch.pml - the epochs of c_src/core/epoch.h on a machine with store buffers.
 *
 * The memory is x86-TSO (Sewell et al., CACM 2010): every process stores into a
 * FIFO of its own, which the machine empties into memory at any time; loads read
 * memory; a locked instruction and a fence wait until the FIFO is empty. No
 * process here loads what it stores itself, so forwarding does not matter.
 * membarrier empties the caller's FIFO, then the others', one after the other: the
 * processes reach their barriers at different instants of the call.
 *
 * READERS readers enter, load the pointer, use what they found, leave, for ever.
 * A writer links new objects in the place of old ones and stamps the old ones,
 * outside of any section (the hardest place). Two processes, the writer between
 * its steps and one that does nothing else, advance the clock.
 *
 *   E3  no reader uses a freed object: assert in reader().
 *   E4  (-DGATE) a closed gate whose writers were quiesced has none inside.
 *
 * Variants
 *   -DFENCED        readers fence their store, advancing fences instead of
 *                   membarrier: must be correct too
 *   -DNO_MEMBARRIER nobody orders anything: must fail
 *   -DSTAMP_NOW     a stamp is the clock, not one more: must fail
 *   -DONE_EPOCH     free at stamp+1: must fail
 *   -DBLIND         the clock advances over open sections: must fail
 *
 * run.sh runs them all.
 */
#define READERS 2
#define OBJECTS 2   /* the last one is never retired */
#ifndef CLOCK_MAX
#define CLOCK_MAX 4 /* the first stamp is 2, ripe at 4; with 5, two stamps become ripe */
#endif

#define WRITER READERS
#define STORING (READERS + 1) /* processes that store other than by locked instructions */

#ifdef STAMP_NOW
#define STAMP(g) (g)
#else
#define STAMP(g) ((g) + 1)
#endif

#ifdef ONE_EPOCH
#define RIPE(stamp) (clock >= (stamp) + 1)
#else
#define RIPE(stamp) (clock >= (stamp) + 2)
#endif

#ifdef BLIND
#define SEEN(e, now) true
#else
#define SEEN(e, now) ((e) == 0 || (e) == (now))
#endif

/* --- Memory --------------------------------------------------------------- */

mtype = { SLOT, POINTER, WRITING, GATE_WORD };

byte clock = 1;         /* changed by locked instructions only */
byte slot[READERS];     /* 0: no section */
byte pointer = 0;       /* the object that is linked */
byte stamp[OBJECTS];    /* 0: not retired; under the limbo's lock */
bool writing, closed;   /* of the gate */

chan buffer[STORING] = [2] of { mtype, byte };

inline store(p, where, value)
{
    buffer[p] ! where, value
}

inline fence(p)
{
    (p >= STORING || empty(buffer[p]))
}

/* A store, and xe_epoch_light_barrier() behind it. */
inline store_first(p, where, value)
{
    store(p, where, value)
#ifdef FENCED
    ;
    fence(p)
#endif
}

/* Moves the oldest store of process p to memory. */
inline drain_one(p)
{
    if
    :: buffer[p] ? SLOT, drained -> slot[p] = drained
    :: buffer[p] ? POINTER, drained -> pointer = drained
    :: buffer[p] ? WRITING, drained -> writing = drained
    :: buffer[p] ? GATE_WORD, drained -> closed = drained
    fi;
    drained = 0
}

active proctype machine()
{
    byte drained;
end:
    do
    :: atomic { nempty(buffer[0]) -> drain_one(0) }
    :: atomic { nempty(buffer[1]) -> drain_one(1) }
    :: atomic { nempty(buffer[2]) -> drain_one(2) }
    od
}

inline barrier_at(p)
{
    do
    :: nempty(buffer[p]) -> drain_one(p)
    :: empty(buffer[p]) -> break
    od
}

/* heavy_barrier() of process `self`. Its own FIFO stays empty once it is: so the
 * fence and the first barrier may be one step. */
inline heavy_barrier(self)
{
#if defined(FENCED) || defined(NO_MEMBARRIER)
    fence(self)
#else
    atomic { fence(self); barrier_at(0) };
    atomic { barrier_at(1) };
    atomic { barrier_at(2) }
#endif
}

#ifndef GATE
/* --- E3 ------------------------------------------------------------------- */

/* xe_epoch_try_advance(), by process `self` */
inline try_advance(self)
{
    now = clock;
    if
    :: now < CLOCK_MAX ->
        heavy_barrier(self);
        if
        :: SEEN(slot[0], now) ->
            if
            :: SEEN(slot[1], now) ->
                atomic { /* the locked instruction */
                    fence(self);
                    if
                    :: clock == now -> clock = now + 1
                    :: else
                    fi
                }
            :: else
            fi
        :: else
        fi
    :: else
    fi;
    now = 0
}

/* Freed as early as may be, the moment it is ripe: the hardest case. */
#define FREED(x) (stamp[x] != 0 && RIPE(stamp[x]))

proctype reader(byte self)
{
    byte entered, found;
    do
    ::
        entered = clock;               /* xe_epoch_enter() */
        store_first(self, SLOT, entered);
        atomic { found = pointer; entered = 0 };
        atomic {
            assert(!FREED(found));     /* used up to the last instant */
            store(self, SLOT, 0);      /* xe_epoch_leave() */
            found = 0
        }
    od
}

proctype writer()
{
    byte now, drained, k = 1;
    do
    :: k < OBJECTS ->
        store_first(WRITER, POINTER, k); /* unlinks k - 1 */
        atomic {
            stamp[k - 1] = STAMP(clock);
            k++
        }
    :: try_advance(WRITER)
    od
}

proctype other()
{
    byte now, drained;
    do
    :: try_advance(WRITER + 1)
    od
}

init
{
    atomic {
        run reader(0);
        run reader(1);
        run writer();
        run other()
    }
}

#else
/* --- E4 ------------------------------------------------------------------- */

byte inside;

proctype gate_writer(byte self)
{
    do
    ::
        store_first(self, WRITING, 1); /* xe_epoch_write_enter() */
        if
        :: !closed ->
            inside++;
            inside--
        :: else
        fi;
        store(self, WRITING, 0)        /* xe_epoch_write_leave() */
    od
}

proctype closer(byte self)
{
    byte drained;
    do
    ::
        store(self, GATE_WORD, 1);
        heavy_barrier(self);           /* xe_epoch_quiesce_writers() */
        !writing;
        assert(inside == 0);
        store(self, GATE_WORD, 0)
    od
}

init
{
    atomic {
        run gate_writer(0);
        run closer(1)
    }
}
#endif
