/*
 * files.h - the resource types of open files (calls_file.c).
 */
#ifndef XE_FILES_H
#define XE_FILES_H

#include <erl_nif.h>
#include <stdbool.h>

/* Opens them; takes over those of an older copy of the library. */
bool xe_files_open(ErlNifEnv *env, ErlNifResourceFlags flags);

#endif
