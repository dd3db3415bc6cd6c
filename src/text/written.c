// SPDX-License-Identifier: Apache-2.0
#include "text/written.h"

enum status written_add(struct measure_work *work, const struct written_options *options,
                        struct text text, const struct text *wanted, int count,
                        struct written_counts *counts)
{
    if (options->rouge)
        TRY(rouge_add(work, &options->rouge_options, text, wanted, count, &counts->rouge));
    if (!options->bleu_chrf) return STATUS_OK;
    TRY(bleu_add(work, &options->bleu, text, wanted, count, &counts->bleu));
    return chrf_add(work, &options->chrf, text, wanted, count, &counts->chrf);
}
