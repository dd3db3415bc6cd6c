// SPDX-License-Identifier: Apache-2.0
// The backends that registry.c lists.
#ifndef STN_BACKEND_REGISTRY_H
#define STN_BACKEND_REGISTRY_H

#include "backend/backend.h"

extern const struct backend reference_backend, null_backend;
extern const struct backend cpu_backend; // backend/cpu/cpu.c
#endif
