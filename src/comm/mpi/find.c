// SPDX-License-Identifier: Apache-2.0
// Which MPI library: the one whose launcher started this process, among those that lie beside the program.
#include "base/file.h"
#include "comm/mpi.h"
#include "comm/mpi/internal.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *part, *name, *package;
    // Variables that only its launcher sets.
    const char *sign[3];
} libraries[] = {
    {"openmpi",
     "Open MPI",
     "libopenmpi-dev",
     {"OMPI_COMM_WORLD_SIZE", "OMPI_MCA_ess", "PMIX_RANK"}},
    {"mpich", "MPICH", "libmpich-dev", {"PMI_SIZE", "PMI_RANK", "MPI_LOCALNRANKS"}},
};
enum { LIBRARIES = sizeof libraries / sizeof *libraries };

static bool is_set(const char *name)
{
    const char *value = name ? getenv(name) : NULL;
    return value && *value;
}

// Of the launcher; -1 when there is no sign of one.
static int launched_by(void)
{
    for (int i = 0; i < LIBRARIES; i++)
        for (int k = 0; k < 3; k++)
            if (is_set(libraries[i].sign[k])) return i;
    return -1;
}

// Cuts the file's name off.
static void keep_directory(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = 0;
    else
        snprintf(path, 2, ".");
}

// The directories of the program and of the library that this code lies in.
static void own_directory(int which, char *path, size_t bytes)
{
    Dl_info info;
    path[0] = 0;
    if (which == 0) {
        ssize_t length = readlink("/proc/self/exe", path, bytes - 1);
        path[length > 0 ? length : 0] = 0;
    } else if (dladdr(libraries, &info) && info.dli_fname) {
        snprintf(path, bytes, "%s", info.dli_fname);
    }
    if (path[0]) keep_directory(path);
}

// Where `part` lies: beside the program, or where `make install` puts it.
static bool find_file(const char *part, char *path, size_t bytes)
{
    static const char *const below[] = {"", "/stentor", "/../lib/stentor"};
    char directory[3000];
    for (int which = 0; which < 2; which++) {
        own_directory(which, directory, sizeof directory);
        for (size_t i = 0; directory[0] && i < sizeof below / sizeof *below; i++) {
            int length = snprintf(path, bytes, "%s%s/mpi.%s.so", directory, below[i], part);
            if (length > 0 && (size_t)length < bytes && access(path, R_OK) == 0) return true;
        }
    }
    return false;
}

bool comm_mpi_has(const char *library)
{
    char path[4096];
    return find_file(library, path, sizeof path);
}

static enum status load(const char *path, const struct mpi_calls **calls_p, void **library_p)
{
    // Open MPI's own plugins look for their library among the global names.
    void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (!library) FAIL(STATUS_UNSUPPORTED, "cannot load MPI: %s", dlerror());
    const struct mpi_calls *calls = dlsym(library, MPI_TABLE_SYMBOL);
    if (!calls || calls->version != MPI_TABLE_VERSION) {
        dlclose(library);
        FAIL(STATUS_UNSUPPORTED, "%s is not of this version of Stentor", path);
    }
    *calls_p = calls;
    *library_p = library;
    return STATUS_OK;
}

enum status mpi_find(const struct mpi_calls **calls_p, void **library_p)
{
    char path[4096];
#ifdef WITHOUT_LOADING
    FAIL(STATUS_UNSUPPORTED, "a static stentor loads no MPI: build one that is not");
#endif
    // For tests and for libraries that lie elsewhere.
    const char *given = getenv("STENTOR_MPI");
    if (given && *given) return load(given, calls_p, library_p);
    int launcher = launched_by(), other = -1;
    for (int i = 0; i < LIBRARIES; i++) {
        if (!find_file(libraries[i].part, path, sizeof path)) continue;
        if (launcher < 0 || launcher == i) return load(path, calls_p, library_p);
        other = i;
    }
    if (other < 0)
        FAIL(STATUS_UNSUPPORTED,
             "this stentor was built without MPI; it finds Open MPI (libopenmpi-dev) and MPICH "
             "(libmpich-dev) by itself when it is built");
    FAIL(STATUS_UNSUPPORTED,
         "this process was started by the mpirun of %s, and this stentor was built with %s only: "
         "start it with mpirun.%s, or install %s and build again",
         libraries[launcher].name, libraries[other].name, libraries[other].part,
         libraries[launcher].package);
}

void mpi_forget(void *library) { dlclose(library); }
