// SPDX-License-Identifier: Apache-2.0
#include "train/internal.h"

struct text_report trainer_text(const struct trainer *trainer)
{
    bool held_out = trainer->groups > 0;
    return (struct text_report){
        .tokens = trainer->training.last - trainer->training.first,
        .held_out = held_out ? trainer->evaluation.last - trainer->evaluation.first : 0,
        .tokenizer = tokenizer_kind(trainer->tokenizer),
        .vocabulary = tokenizer_size(trainer->tokenizer),
    };
}
