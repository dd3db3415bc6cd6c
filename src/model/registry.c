// SPDX-License-Identifier: Apache-2.0
// The models that there are. A new one is a file here and a row in the table below.
#include "base/nearest.h"
#include "model/model.h"

#include <stdio.h>
#include <string.h>

extern const struct model_type gpt2_model, lstm_lm_model;
extern const struct model_type encoder_model, seq2seq_model, rnn_seq2seq_model, bag_model;
extern const struct model_type convolution_model, mlp_model, linear_model;

const struct model_type *const model_registry[] = {
    &gpt2_model, &lstm_lm_model,     &encoder_model, &seq2seq_model, &rnn_seq2seq_model,
    &bag_model,  &convolution_model, &mlp_model,     &linear_model,  NULL,
};

enum status model_find(const char *name, const struct model_type **type_p)
{
    char names[256] = "";
    struct nearest nearest;
    nearest_start(&nearest, name);
    for (int i = 0; model_registry[i]; i++) {
        const struct model_type *type = model_registry[i];
        if (strcmp(type->name, name) == 0) {
            *type_p = type;
            return STATUS_OK;
        }
        nearest_offer(&nearest, type->name);
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", type->name);
    }
    const char *meant = nearest_get(&nearest);
    FAIL(STATUS_USAGE, "model.type: there is no model \"%.*s\"%s%s%s; there are: %s", CUT(name, 60),
         meant ? " (did you mean \"" : "", meant ? meant : "", meant ? "\"?)" : "", names);
}
