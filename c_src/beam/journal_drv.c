/*
 * journal_drv.c - the port driver: what is in the buffers of journals is written before the
 * emulator has stopped.
 *
 * A native library of functions is told nothing when the emulator stops; a driver is: its ports are
 * closed first, and the jobs that these have given to the asynchronous threads are waited for. So
 * this library is a driver too, by the name that its file has. The emulator loads both from one
 * file, so they have the same globals. src/xets_port.erl opens a port, one for the emulator.
 *
 *   start   the port watches: writes at level `memory` return at once
 *   stop    they wait from now on, as those at level `os`; and a thread that may wait for the disk
 *           flushes all journals
 *
 * Guarantees
 *   P1  While a port is open, a write at level `memory` returns at once; what such writes have
 *       returned for is written and synced when the emulator has stopped by halt/0,1 or
 *       init:stop/0, also for SIGTERM.
 *   P2  Whatever closes the port while the emulator goes on, no write that returns later is lost by
 *       any end of the emulator, and what was written before is synced as soon as the disk can.
 *       When the application stops, that is waited for: at init:stop/0 that is before all
 *       processes that use tables have stopped.
 *   P3  No scheduler waits for a disk, nor does anybody for one that has done nothing for
 *       XE_DURABLE_FLUSH_NS: P1 does not hold then.
 *   Nothing runs at halt("text"), halt(abort), halt(_, [{flush, false}]), when the emulator crashes
 *   or is killed: what was acknowledged at level `memory` only may be lost.
 *
 * The driver stays once it has had a port, as the library does (c_src/Makefile): one that goes with
 * its last port, or its process, can neither be opened nor loaded meanwhile. So after an upgrade
 * the driver is still that of the older copy, which is as good, for all copies have the same
 * journals. When a module that was unloaded comes back as another file, it has journals that the
 * driver does not know; nobody watches these, and level `memory` is as level `os`.
 */
#include <erl_nif.h>

#include <erl_driver.h>

#include "durable.h"

static ErlDrvData start(ErlDrvPort port, char *command)
{
    (void)command;
    if (driver_lock_driver(port) != 0)
        return ERL_DRV_ERROR_GENERAL;
    xe_durable_watch();
    return (ErlDrvData)port;
}

static void flush(void *none)
{
    (void)none;
    xe_journal_flush(XE_DURABLE_FLUSH_NS);
}

static void stop(ErlDrvData data)
{
    xe_durable_unwatch();
    driver_async((ErlDrvPort)data, NULL, flush, NULL, NULL);
}

static ErlDrvEntry entry = {
    .start = start,
    .stop = stop,
    .driver_name = (char[]){"xets"},
    .extended_marker = ERL_DRV_EXTENDED_MARKER,
    .major_version = ERL_DRV_EXTENDED_MAJOR_VERSION,
    .minor_version = ERL_DRV_EXTENDED_MINOR_VERSION,
    .driver_flags = ERL_DRV_FLAG_USE_PORT_LOCKING,
};

DRIVER_INIT(xets)
{
    return &entry;
}
