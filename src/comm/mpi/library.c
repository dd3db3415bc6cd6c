// SPDX-License-Identifier: Apache-2.0
// The table of library.h over MPI-3.1. Compiled apart for each MPI library, with nothing else of Stentor.
#include "comm/mpi/library.h"

#include <mpi.h>
#include <stdio.h>
#include <string.h>

static MPI_Comm channel_comm[2];
static bool started_here;

static int start(int *rank_p, int *size_p, int *most_label_p)
{
    int error, running = 0, ended = 0, threads = 0, found = 0, *most = NULL;
    if ((error = MPI_Initialized(&running)) || (error = MPI_Finalized(&ended))) return error;
    if (ended) return MPI_ERR_OTHER;
    if (!running) {
        if ((error = MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &threads))) return error;
        started_here = true;
    }
    if ((error = MPI_Query_thread(&threads))) return error;
    if (threads < MPI_THREAD_SERIALIZED) return MPI_ERR_UNSUPPORTED_OPERATION;
    // Calls without a communicator, such as Testsome, report through the world's (MPI-3.1, 8.3).
    if ((error = MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN))) return error;
    for (int i = 0; i < 2; i++) {
        if ((error = MPI_Comm_dup(MPI_COMM_WORLD, &channel_comm[i]))) return error;
        if ((error = MPI_Comm_set_errhandler(channel_comm[i], MPI_ERRORS_RETURN))) return error;
    }
    if ((error = MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, (void *)&most, &found)))
        return error;
    *most_label_p = found ? *most : 32767; // the standard's least
    if ((error = MPI_Comm_rank(MPI_COMM_WORLD, rank_p))) return error;
    return MPI_Comm_size(MPI_COMM_WORLD, size_p);
}

static int finish(void)
{
    int error;
    for (int i = 0; i < 2; i++)
        if ((error = MPI_Comm_free(&channel_comm[i]))) return error;
    return started_here ? MPI_Finalize() : 0;
}

static int gather(const void *mine, int bytes, void *all)
{
    return MPI_Allgather(mine, bytes, MPI_BYTE, all, bytes, MPI_BYTE,
                         channel_comm[MPI_CHANNEL_DATA]);
}

static int send(enum mpi_channel channel, const void *data, int bytes, int peer, int label,
                void *requests, int i)
{
    return MPI_Isend(data, bytes, MPI_BYTE, peer, label, channel_comm[channel],
                     (MPI_Request *)requests + i);
}

static int receive(enum mpi_channel channel, void *data, int bytes, int peer, int label,
                   void *requests, int i)
{
    return MPI_Irecv(data, bytes, MPI_BYTE, peer == MPI_ANYBODY ? MPI_ANY_SOURCE : peer,
                     label == MPI_ANY_LABEL ? MPI_ANY_TAG : label, channel_comm[channel],
                     (MPI_Request *)requests + i);
}

static int sum(float *data, int n, void *requests, int i)
{
    return MPI_Iallreduce(MPI_IN_PLACE, data, n, MPI_FLOAT, MPI_SUM, channel_comm[MPI_CHANNEL_DATA],
                          (MPI_Request *)requests + i);
}

static int cancel(void *requests, int i)
{
    MPI_Request *request = (MPI_Request *)requests + i;
    return *request == MPI_REQUEST_NULL ? 0 : MPI_Cancel(request);
}

static struct mpi_done describe(int index, int error, MPI_Status *status)
{
    struct mpi_done done = {.index = index, .peer = status->MPI_SOURCE, .label = status->MPI_TAG};
    int cancelled = 0, bytes = 0, class = 0;
    if (error) {
        MPI_Error_class(error, &class);
        done.outcome = class == MPI_ERR_TRUNCATE ? MPI_TOO_LONG : MPI_FAILED;
        done.error = error;
        return done;
    }
    MPI_Test_cancelled(status, &cancelled);
    MPI_Get_count(status, MPI_BYTE, &bytes);
    done.outcome = cancelled ? MPI_CANCELLED : MPI_CAME;
    done.bytes = bytes < 0 ? 0 : (size_t)bytes;
    return done;
}

static void clear(void *requests, int count)
{
    for (int i = 0; i < count; i++) ((MPI_Request *)requests)[i] = MPI_REQUEST_NULL;
}

static int test(void *requests, int count, struct mpi_done done[MPI_MOST_DONE], int *done_p)
{
    enum { WINDOW = 64 };
    int index[WINDOW], n = 0;
    MPI_Status status[WINDOW];
    for (int first = 0; first < count && n + WINDOW <= MPI_MOST_DONE; first += WINDOW) {
        int window = count - first < WINDOW ? count - first : WINDOW, found = 0, class = 0;
        int error = MPI_Testsome(window, (MPI_Request *)requests + first, &found, index, status);
        if (error) MPI_Error_class(error, &class);
        if (error && class != MPI_ERR_IN_STATUS) return error;
        // MPI_UNDEFINED, a negative number: all entries are free.
        for (int i = 0; i < found; i++)
            done[n++] = describe(first + index[i], error ? status[i].MPI_ERROR : 0, &status[i]);
    }
    *done_p = n;
    return 0;
}

static int probe(int *peer_p)
{
    int there = 0;
    MPI_Status status;
    int error =
        MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, channel_comm[MPI_CHANNEL_DATA], &there, &status);
    if (error) return error;
    *peer_p = there ? status.MPI_SOURCE : -1;
    return 0;
}

static void explain(int error, char *text, size_t bytes)
{
    char words[MPI_MAX_ERROR_STRING];
    int length = 0;
    int ended = 0;
    MPI_Finalized(&ended);
    if (ended)
        snprintf(text, bytes, "MPI cannot be started twice in a process");
    else if (MPI_Error_string(error, words, &length))
        snprintf(text, bytes, "error %d", error);
    else
        snprintf(text, bytes, "%s", words);
}

extern const struct mpi_calls stentor_mpi_calls;
__attribute__((visibility("default"))) const struct mpi_calls stentor_mpi_calls = {
    .version = MPI_TABLE_VERSION,
#if defined(OPEN_MPI)
    .name = "Open MPI",
#elif defined(MPICH)
    .name = "MPICH",
#else
    .name = "MPI",
#endif
    .request_bytes = sizeof(MPI_Request),
    .start = start,
    .finish = finish,
    .gather = gather,
    .clear = clear,
    .send = send,
    .receive = receive,
    .sum = sum,
    .cancel = cancel,
    .test = test,
    .probe = probe,
    .explain = explain,
};
