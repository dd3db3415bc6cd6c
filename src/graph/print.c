// SPDX-License-Identifier: Apache-2.0
// Listing a graph, one line a value.
#include "graph/graph.h"
#include "graph/operation.h"

#include <stdio.h>

static void print_value(const struct value *v, FILE *file)
{
    static const char *const leaf[] = {[STORAGE_ARENA] = "?",
                                       [STORAGE_INPUT] = "input",
                                       [STORAGE_PARAMETER] = "parameter",
                                       [STORAGE_STATE] = "state"};
    char shape[64];
    fprintf(file, "%5d  %-24s ", v->id, v->name);
    if (v->aux_index >= 0)
        fprintf(file, "%s.%d(%d)", v->producer->op->name, v->aux_index, v->producer->id);
    else if (!v->op)
        fprintf(file, "%s", leaf[v->storage]);
    else {
        fprintf(file, "%s(", v->op->name);
        for (int i = 0; i < v->inputs; i++) {
            if (v->input[i])
                fprintf(file, i ? ", %d" : "%d", v->input[i]->id);
            else
                fprintf(file, i ? ", -" : "-");
        }
        fprintf(file, ")");
    }
    fprintf(file, "  %s %s", dtype_name(v->dtype), shape_print(v->shape, shape));
    if (v->region) fprintf(file, "  region %d", v->region);
    if (v->yield >= 0) fprintf(file, "  yield %d", v->yield);
    fprintf(file, "\n");
}

void graph_print(const struct graph *g, void *file)
{
    for (int i = 0; i < g->count; i++) print_value(g->values[i], file);
    if (g->status) fprintf((FILE *)file, "error: %s\n", g->message);
}
