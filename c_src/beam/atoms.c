/*
 * atoms.c - see atoms.h.
 */
#include "atoms.h"

struct xe_atoms xe_am;

void xe_atoms_init(ErlNifEnv *env)
{
#define XE_ATOM_INIT(name, text) xe_am.name = enif_make_atom(env, text);
    XE_ATOMS(XE_ATOM_INIT)
#undef XE_ATOM_INIT
}
