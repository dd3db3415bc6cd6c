// SPDX-License-Identifier: Apache-2.0
// The other processes of this job, as far as the program has asked for them.
#ifndef STN_API_PROCESSES_H
#define STN_API_PROCESSES_H

#include "comm/comm.h"

// The net between processes; NULL: not joined, or alone. Borrowed until stn_leave.
struct comm *api_net(void);
// One trainer at a time has it. Fails: STATUS_USAGE.
enum status api_net_take(struct comm **net_p) CHECK_RESULT;
void api_net_give_back(void);
#endif
