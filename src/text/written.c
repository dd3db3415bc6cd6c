// SPDX-License-Identifier: Apache-2.0
#include "text/written.h"

enum status written_add(struct measure_work *work, const struct written_options *options,
                        struct text text, struct text wanted, struct written_counts *counts)
{
    if (options->rouge)
        TRY(rouge_add(work, &options->rouge_options, text, &wanted, 1, &counts->rouge));
    if (!options->bleu_chrf) return STATUS_OK;
    TRY(bleu_add(work, &options->bleu, text, &wanted, 1, &counts->bleu));
    return chrf_add(work, &options->chrf, text, &wanted, 1, &counts->chrf);
}
