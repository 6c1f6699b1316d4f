/*
 * hooks.h - lets a test stop a transition of a table in the middle, and hear who waits for it.
 *
 * In a build with XE_TEST_HOOKS, and nowhere else: if a process is registered with the name of the
 * point, xe_hook() sends it that name, and the thread stands still until the process has ended;
 * xe_hook_tell() sends it {Name, Caller}, and goes on.
 */
#ifndef XE_HOOKS_H
#define XE_HOOKS_H

#ifdef XE_TEST_HOOKS

#include <erl_nif.h>
#include <unistd.h>

static void xe_hook(ErlNifEnv *env, const char *point)
{
    ErlNifPid pid;
    ERL_NIF_TERM name = enif_make_atom(env, point);
    if (!enif_whereis_pid(env, name, &pid))
        return;
    enif_send(env, &pid, NULL, name);
    while (enif_is_process_alive(env, &pid))
        usleep(100);
}

__attribute__((unused)) static void xe_hook_tell(ErlNifEnv *env, const char *point)
{
    ErlNifPid pid, self;
    ERL_NIF_TERM name = enif_make_atom(env, point);
    if (enif_whereis_pid(env, name, &pid) && enif_self(env, &self))
        enif_send(env, &pid, NULL, enif_make_tuple2(env, name, self.pid));
}

#else
#define xe_hook(env, point) ((void)0)
#define xe_hook_tell(env, point) ((void)0)
#endif

#endif
