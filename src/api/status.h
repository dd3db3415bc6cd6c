// SPDX-License-Identifier: Apache-2.0
// From the library's status to the public one.
#ifndef STN_API_STATUS_H
#define STN_API_STATUS_H

#include "base/status.h"
#include "stentor.h"

enum stn_status public_status(enum status status);
// Begins a public call: forgets this thread's last message; the first call of the process sets the verbosity.
void api_enter(void);
#endif
