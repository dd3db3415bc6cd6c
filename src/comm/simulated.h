// SPDX-License-Identifier: Apache-2.0
// Virtual workers with virtual time: the exchange code itself over a network that no machine here has.
//
// A worker is a thread with a clock, which only its rounds and simulated_compute() move. A message leaves when its worker's clock and
// port allow, one after the other in the order of the round's array; each takes the port for gap + bytes / bandwidth, its first byte
// comes `latency` later, and the receiver's port takes in what arrived, in the order of arrival (then of rank), as long each. So a
// message that waits for nobody takes latency + gap + bytes / bandwidth; the round ends when its last message is through. Senders do
// not wait for receivers. Nothing depends on how the threads are scheduled: the times are the same in every run (poll excepted, which
// sees what is really there). Source of the model: Alexandrov et al. 1995, LogGP, with g and o as one gap.
#ifndef STN_COMM_SIMULATED_H
#define STN_COMM_SIMULATED_H

#include "comm/comm.h"

// Between two workers: seconds, seconds a message, bytes a second (of one worker, in each direction).
struct link {
    double latency, gap, bandwidth;
};
struct network {
    struct link inside, between; // of a node; between nodes
    int node; // workers of a node: ranks [k node, (k + 1) node); at most 1: each worker is a node
};
// The port's time of a message.
double link_occupied(const struct link *link, double bytes);
const struct link *network_link(const struct network *network, int a, int b);

// The communicators of `workers` virtual workers, destroyed by comm_destroy(). comm_create("simulated") takes a network of 2 us and
// 10 GB/s. Unlike other transports' a round of more than 64 transfers allocates when it is the longest so far.
enum status simulated_create(const struct network *network, int workers,
                             struct comm **comm_p) CHECK_RESULT;
// Calls `body` on one thread with a small stack (256 KiB) for each worker, and waits for all. A worker that fails gives up; the
// failure that is returned is the first worker's whose own it was (not STATUS_PEER).
enum status simulated_run(struct comm **comm, int workers,
                          enum status (*body)(struct comm *comm, void *context),
                          void *context) CHECK_RESULT;
// By the worker's own thread: it computes for so long; its clock shows at least so much (what computes beside it is ready then).
void simulated_compute(struct comm *comm, double seconds);
void simulated_reach(struct comm *comm, double seconds);
// What a worker has sent and received so far.
struct simulated_traffic {
    int64_t sent_messages, received_messages;
    double sent_bytes, received_bytes;
};
struct simulated_traffic simulated_traffic(const struct comm *comm);
#endif
